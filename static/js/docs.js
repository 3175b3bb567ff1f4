// Starts Swagger UI; calls made with the session carry the CSRF token. Whoever gives a key gets the document as the
// key's user sees it, with the templates that may be run.
const { openapi, csrf } = document.body.dataset;
let key = "";

function reload(ui, value) {
  key = value;
  ui.specActions.download(openapi);
}

const readAgain = {
  statePlugins: {
    auth: {
      wrapActions: {
        authorize: (original) => (payload) => {
          const result = original(payload);
          if (payload.ApiKeyAuth?.value) reload(docs, payload.ApiKeyAuth.value);
          return result;
        },
        logout: (original) => (names) => {
          const result = original(names);
          if (names.includes("ApiKeyAuth")) reload(docs, "");
          return result;
        },
      },
    },
  },
};

const docs = SwaggerUIBundle({
  url: openapi,
  dom_id: "#swagger-ui",
  deepLinking: true,
  plugins: [readAgain],
  requestInterceptor(request) {
    const target = new URL(request.url, location.href);
    if (target.origin !== location.origin) return request;
    if (csrf) request.headers["X-CSRFToken"] = csrf;
    if (key && target.pathname === openapi) request.headers.Authorization = `Bearer ${key}`;
    return request;
  },
});

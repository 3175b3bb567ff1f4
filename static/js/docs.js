// Starts Swagger UI; calls made with the session carry the CSRF token.
const { openapi, csrf } = document.body.dataset;
SwaggerUIBundle({
  url: openapi,
  dom_id: "#swagger-ui",
  deepLinking: true,
  requestInterceptor(request) {
    if (csrf && new URL(request.url, location.href).origin === location.origin) request.headers["X-CSRFToken"] = csrf;
    return request;
  },
});

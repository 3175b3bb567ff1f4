// Says in words why a request of the page failed. An answer that names its place (HX-Retarget) is shown there. Any other
// is not a part of this page (a whole error page, or a proxy's), so a sentence takes its place.
import { element } from "./element.js";

export const UNREACHABLE = "The server cannot be reached. Check your connection and try again.";
const SENTENCES = {
  401: "You are signed out. Reload the page to sign in again.",
  403: "That is not allowed. Reload the page and try again.",
  404: "This no longer exists. Reload the page.",
  413: "This is too large for the server.",
  504: "The server took too long. Reload the page to see whether it worked.",
};

export function sentenceFor(status) {
  const usual = status >= 500 ? "Something went wrong on our side, and nothing was changed. Try again." : "";
  return SENTENCES[status] || usual || "That did not work. Reload the page and try again.";
}

function notify(sentence) {
  const notices = document.getElementById("notices");
  if (!notices) return;
  const notice = element("p", { className: "notice error", textContent: sentence, role: "alert" });
  notices.replaceChildren(notice);
  notices.scrollIntoView({ block: "nearest" });
}

document.body.addEventListener("htmx:beforeRequest", () => document.getElementById("notices")?.replaceChildren());
document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (!event.detail.xhr.getResponseHeader("HX-Retarget")) return;
  event.detail.shouldSwap = true;
  event.detail.isError = false;
});
document.body.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id === "notices") event.detail.target.scrollIntoView({ block: "nearest" });
});
document.body.addEventListener("htmx:responseError", (event) => notify(sentenceFor(event.detail.xhr.status)));
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.body.addEventListener(name, () => notify(UNREACHABLE));
}

// Changes of the draft go to the server one after the other, however fast somebody clicks. After the answer to the last
// one, the page gets a "draft-answered".
import { element } from "../element.js";
import { page } from "./page.js";

let queue = Promise.resolve();
let underway = 0;
let openCards = new Set();
let focused = null;

export function send(path, values) {
  unsay();
  underway += 1;
  queue = queue.then(async () => {
    rememberPlace();
    try {
      const answer = { source: page, target: "#parameters", swap: "innerHTML" };
      await htmx.ajax("POST", page.dataset.url + path, { ...answer, values });
    } catch {
      // failures.js has said it, and the ticks go back to what holds.
    } finally {
      underway -= 1;
      if (!underway) page.dispatchEvent(new Event("draft-answered"));
    }
  });
}

// An answer replaces all parameters: what was open and had the focus is and has it again.
export function keepPlace() {
  document.body.addEventListener("htmx:afterSettle", ({ target }) => {
    if (target.id !== "parameters") return;
    for (const card of page.querySelectorAll(".studio-parameter")) {
      if (openCards.has(card.dataset.parameter)) card.open = true;
    }
    if (focused) page.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  });
}

function rememberPlace() {
  openCards = new Set([...page.querySelectorAll(".studio-parameter[open]")].map((card) => card.dataset.parameter));
  focused = document.activeElement?.getAttribute("aria-label");
}

export function say(sentence) {
  unsay();
  const note = { className: "studio-say studio-warning", textContent: sentence, role: "status" };
  page.querySelector("#status").after(element("p", note));
}

export function unsay() {
  page.querySelector(".studio-say")?.remove();
}

// The form as users see it, in a frame beside the settings.
import { page } from "./page.js";

const WAIT_MS = 150; // changes that come together renew it once

export function startPreview() {
  const frame = page.querySelector("[data-preview-frame]");
  if (!frame) return;
  let timer = 0;
  let newest = 0;
  document.body.addEventListener("draft-changed", () => {
    clearTimeout(timer);
    newest += 1;
    const mine = newest;
    frame.setAttribute("aria-busy", "true");
    timer = setTimeout(async () => {
      await renew(frame);
      if (mine === newest) frame.removeAttribute("aria-busy");
    }, WAIT_MS);
  });
  const button = page.querySelector("[data-narrow]");
  button.addEventListener("click", () => {
    button.ariaPressed = page.querySelector(".studio-preview").classList.toggle("is-narrow");
  });
}

// Renews the form alone, so that what was tried stays below it. The frame's own page says what fails.
async function renew(frame) {
  const inner = frame.contentWindow;
  if (inner?.htmx && inner.document.getElementById("run-form")) {
    const part = { target: "#run-form", select: "#run-form", swap: "outerHTML" };
    await inner.htmx.ajax("GET", frame.src, part).catch(() => {});
    return;
  }
  const loaded = new Promise((resolve) => frame.addEventListener("load", resolve, { once: true }));
  inner?.location.reload();
  await loaded;
}

// Draws a mask over the picture that it belongs to: white is painted anew, black stays. On every change the mask goes
// into the file input of its field as a grey PNG of the picture's own size, so that the form is sent as any other.
import { Editor } from "./mask/editor.js";
import { root } from "./root.js";

const addressOf = (asset) => `${root}assets/${asset}/`;

function prepare(input) {
  if (input.dataset.hasEditor) return;
  const { elements } = input.form;
  const picture = elements[input.dataset.drawnOn];
  if (!picture) return;
  input.dataset.hasEditor = "true";
  const editor = new Editor(input);
  const load = () => {
    const file = picture.files?.[0];
    const earlier = elements[`${picture.name}_asset`]?.value;
    const earlierMask = elements[`${input.name}_asset`]?.value;
    if (file?.type.startsWith("image/")) editor.show(URL.createObjectURL(file));
    else if (earlier) editor.show(addressOf(earlier), earlierMask ? addressOf(earlierMask) : "");
    else editor.hide();
  };
  picture.addEventListener("change", load);
  // A mask that somebody made elsewhere takes the place of the drawing.
  input.addEventListener("change", (event) => event.isTrusted && editor.take(input.files[0]));
  load();
}

function prepareAll() {
  for (const input of document.querySelectorAll("input[type=file][data-drawn-on]")) prepare(input);
}

prepareAll();
document.body.addEventListener("htmx:afterSwap", prepareAll);

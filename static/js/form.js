// Comforts of the run form. Without this script it works all the same.
import { element } from "./element.js";
import { root } from "./root.js";

// With more steps than a slider has pixels, values cannot be met, and what people use sits at one end of it.
const SLIDER_STEPS = 300;

function prepare(form) {
  for (const input of form.querySelectorAll("input[type=number][data-min][data-max]")) addSlider(input);
  for (const input of form.querySelectorAll("input[data-random]")) addDice(input);
  for (const input of form.querySelectorAll("input[type=file]")) addPreview(input);
}

function addSlider(input) {
  const step = Number(input.dataset.step || (input.step === "any" ? 0.01 : 1));
  const [low, high] = [Number(input.dataset.min), Number(input.dataset.max)];
  if (input.closest(".with-range") || !(high > low) || (high - low) / step > SLIDER_STEPS) return;
  const ariaLabel = input.labels[0]?.firstChild.textContent.trim() ?? "";
  const slider = element("input", { type: "range", min: low, max: high, step, value: input.value, ariaLabel });
  slider.addEventListener("input", () => {
    input.value = slider.value;
  });
  input.addEventListener("input", () => {
    slider.value = input.value;
  });
  wrap(input, "with-range").prepend(slider);
}

function addDice(input) {
  if (input.closest(".with-button")) return;
  const button = element("button", { type: "button", textContent: "Random" });
  button.addEventListener("click", () => {
    input.value = input.dataset.random;
  });
  wrap(input, "with-button").append(button);
}

function addPreview(input) {
  const image = document.querySelector(`[data-preview-of="${CSS.escape(input.id)}"]`);
  const hidden = input.form.elements[`${input.name}_asset`];
  if (image && hidden?.value && !image.src) {
    image.src = `${root}assets/${hidden.value}/thumbnail/`;
    image.hidden = false;
  }
  input.addEventListener("change", () => {
    const file = input.files[0];
    if (!image) return;
    if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
    image.hidden = !file?.type.startsWith("image/");
    if (!image.hidden) image.src = URL.createObjectURL(file);
  });
}

function wrap(input, className) {
  const box = element("div", { className });
  input.replaceWith(box);
  box.append(input);
  return box;
}

document.querySelectorAll("[data-run-form]").forEach(prepare);
document.body.addEventListener("htmx:afterSwap", (event) => {
  const form = document.querySelector("[data-run-form]");
  if (!form) return;
  prepare(form);
  if (event.detail.target.id === "runs") {
    // It was accepted: what was said about an earlier try no longer holds.
    for (const said of form.querySelectorAll(".errorlist, .notice.error")) said.remove();
    for (const field of form.querySelectorAll(".invalid")) field.classList.remove("invalid");
    if (matchMedia("(width < 860px)").matches) event.detail.target.scrollIntoView({ behavior: "smooth" });
  } else {
    document.querySelector(".invalid :is(input, textarea, select)")?.focus();
  }
});

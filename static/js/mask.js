// Draws a mask over the picture that it belongs to: white is painted anew, black stays. On every change the mask goes
// into the file input of its field as a grey PNG of the picture's own size, so that the form is sent as any other.
import { root } from "./root.js";

const UNDO_STEPS = 20;
const TINT = [143, 91, 255]; // of what is painted, so that it shows on white pictures, too

function prepare(input) {
  if (input.dataset.hasEditor) return;
  const form = input.form;
  const picture = form.elements[input.dataset.drawnOn];
  if (!picture) return;
  input.dataset.hasEditor = "true";
  const editor = build(input);
  const load = () => {
    const file = picture.files?.[0];
    const earlier = form.elements[`${picture.name}_asset`]?.value;
    if (file?.type.startsWith("image/")) editor.show(URL.createObjectURL(file), "");
    else if (earlier) editor.show(`${root}assets/${earlier}/`, form.elements[`${input.name}_asset`]?.value);
    else editor.hide();
  };
  picture.addEventListener("change", load);
  // A mask that somebody made elsewhere takes the place of the drawing.
  input.addEventListener("change", (event) => event.isTrusted && editor.take(input.files[0]));
  load();
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function build(input) {
  const image = element("img", { alt: "" });
  const canvas = element("canvas", { tabIndex: 0 });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Mask: paint what is to be made anew. Arrow keys move, space paints.");
  const size = element("input", { type: "range", min: 1, max: 100, value: 25 });
  const brush = element("button", { type: "button", textContent: "Brush" });
  const eraser = element("button", { type: "button", textContent: "Eraser" });
  const undo = element("button", { type: "button", textContent: "Undo", disabled: true });
  const invert = element("button", { type: "button", textContent: "Invert" });
  const clear = element("button", { type: "button", textContent: "Clear" });
  const tools = element("div", { className: "mask-tools" }, brush, eraser, element("label", {}, "Size", size), undo, invert, clear);
  const hint = element("small", { className: "muted", textContent: "Paint over what is to be made anew." });
  const stage = element("div", { className: "mask-stage" }, image, canvas);
  const root = element("div", { className: "mask-editor", hidden: true }, tools, stage, hint);
  input.before(root);

  // What is painted is opaque; everything else is transparent, so that the picture shines through.
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const past = [];
  let isErasing = false;
  let last = null;
  let at = null;

  const select = (erasing) => {
    isErasing = erasing;
    brush.setAttribute("aria-pressed", !erasing);
    eraser.setAttribute("aria-pressed", erasing);
  };
  const remember = () => {
    past.push(context.getImageData(0, 0, canvas.width, canvas.height));
    if (past.length > UNDO_STEPS) past.shift();
    undo.disabled = false;
  };
  const width = () => (Math.max(canvas.width, canvas.height) * size.value) / 250;
  const stroke = (from, to) => {
    context.globalCompositeOperation = isErasing ? "destination-out" : "source-over";
    Object.assign(context, { strokeStyle: `rgb(${TINT})`, lineWidth: width(), lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y);
    context.stroke();
    context.globalCompositeOperation = "source-over";
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * canvas.width,
      y: ((event.clientY - box.top) / box.height) * canvas.height,
    };
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    remember();
    last = place(event);
    stroke(last, last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) {
      const next = place(each);
      stroke(last, next);
      last = next;
    }
  });
  const finish = () => {
    if (!last) return;
    last = null;
    write();
  };
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = Math.max(canvas.width, canvas.height) / 40;
    at ??= { x: canvas.width / 2, y: canvas.height / 2 };
    if (event.key in moves) {
      event.preventDefault();
      const [x, y] = moves[event.key];
      const next = {
        x: Math.min(canvas.width, Math.max(0, at.x + x * step)),
        y: Math.min(canvas.height, Math.max(0, at.y + y * step)),
      };
      if (event.shiftKey) stroke(at, next), write();
      at = next;
      hint.textContent = `At ${Math.round((at.x / canvas.width) * 100)} %, ${Math.round((at.y / canvas.height) * 100)} %. Space paints, shift and arrows draw.`;
    } else if (event.key === " ") {
      event.preventDefault();
      remember();
      stroke(at, at);
      write();
    }
  });
  brush.addEventListener("click", () => select(false));
  eraser.addEventListener("click", () => select(true));
  undo.addEventListener("click", () => {
    const before = past.pop();
    if (before) context.putImageData(before, 0, 0);
    undo.disabled = !past.length;
    write();
  });
  clear.addEventListener("click", () => {
    remember();
    context.clearRect(0, 0, canvas.width, canvas.height);
    write();
  });
  invert.addEventListener("click", () => {
    remember();
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let index = 0; index < pixels.data.length; index += 4) {
      pixels.data.set([...TINT, 255 - pixels.data[index + 3]], index);
    }
    context.putImageData(pixels, 0, 0);
    write();
  });
  select(false);

  function isEmpty() {
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let index = 3; index < data.length; index += 4) if (data[index]) return false;
    return true;
  }

  function write() {
    const hidden = input.form.elements[`${input.name}_asset`];
    if (hidden) hidden.value = "";
    if (isEmpty()) {
      input.value = "";
      return;
    }
    const flat = element("canvas", { width: canvas.width, height: canvas.height });
    const target = flat.getContext("2d");
    target.drawImage(canvas, 0, 0);
    target.globalCompositeOperation = "source-in";
    target.fillStyle = "#fff";
    target.fillRect(0, 0, flat.width, flat.height);
    target.globalCompositeOperation = "destination-over";
    target.fillStyle = "#000";
    target.fillRect(0, 0, flat.width, flat.height);
    const name = `${input.name}.png`;
    // Synchronous, so that a form that is sent at once has it.
    const bytes = Uint8Array.from(atob(flat.toDataURL("image/png").split(",")[1]), (each) => each.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type: "image/png" }));
    input.files = transfer.files;
  }

  // A grey picture as what is painted: white stays white, black becomes transparent.
  async function paint(url) {
    const mask = element("img", { src: url });
    await mask.decode();
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(mask, 0, 0, canvas.width, canvas.height);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let index = 0; index < pixels.data.length; index += 4) {
      pixels.data.set([...TINT, pixels.data[index]], index);
    }
    context.putImageData(pixels, 0, 0);
  }

  return {
    show(url, earlierMask) {
      image.src = url;
      image.onload = () => {
        root.hidden = false;
        const isNew = canvas.width !== image.naturalWidth || canvas.height !== image.naturalHeight;
        if (isNew) Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
        past.length = 0;
        if (earlierMask) paint(`${root}assets/${earlierMask}/`);
        else if (isNew) write();
      };
      image.onerror = () => (root.hidden = true);
    },
    hide() {
      root.hidden = true;
    },
    take(file) {
      if (file && !root.hidden) paint(URL.createObjectURL(file));
    },
  };
}

const prepareAll = () => document.querySelectorAll("input[type=file][data-drawn-on]").forEach(prepare);
prepareAll();
document.body.addEventListener("htmx:afterSwap", prepareAll);

// The picture with the drawing over it, and the tools above both.
import { element } from "../element.js";
import { Drawing } from "./drawing.js";
import { History } from "./history.js";
import { paintWithKeys, paintWithPointer } from "./strokes.js";

const LABEL = "Mask: paint over the part to change. Arrow keys move the brush, Space paints.";

export class Editor {
  isErasing = false;

  constructor(input) {
    this.input = input;
    this.image = element("img", { alt: "" });
    const canvas = element("canvas", { tabIndex: 0, role: "img", ariaLabel: LABEL });
    this.drawing = new Drawing(canvas);
    this.history = new History(this.drawing, () => {
      this.undo.disabled = !this.history.canUndo;
    });
    this.hint = element("small", { className: "muted", textContent: "Paint over the part to change." });
    const stage = element("div", { className: "mask-stage" }, this.image, canvas);
    this.box = element("div", { className: "mask-editor", hidden: true }, this.#tools(), stage, this.hint);
    input.before(this.box);
    this.#listen();
    this.#select(false);
  }

  // The picture at this address, with an earlier mask ("" if there is none).
  show(address, earlierMask = "") {
    this.image.onload = () => {
      this.box.hidden = false;
      const isNew = this.drawing.resize(this.image.naturalWidth, this.image.naturalHeight);
      this.history.forget();
      if (earlierMask) this.drawing.load(earlierMask);
      else if (isNew) this.#write();
    };
    this.image.onerror = () => this.hide();
    this.image.src = address;
  }

  hide() {
    this.box.hidden = true;
  }

  // A mask as a file takes the place of what is drawn.
  take(file) {
    if (file && !this.box.hidden) this.drawing.load(URL.createObjectURL(file));
  }

  #tools() {
    const button = (textContent, onclick) => element("button", { type: "button", textContent, onclick });
    this.size = element("input", { type: "range", min: 1, max: 100, value: 25 });
    this.brush = button("Brush", () => this.#select(false));
    this.eraser = button("Eraser", () => this.#select(true));
    this.undo = button("Undo", () => this.#change(() => this.history.undo(), false));
    this.undo.disabled = true;
    const invert = button("Invert", () => this.#change(() => this.drawing.invert()));
    const clear = button("Clear", () => this.#change(() => this.drawing.clear()));
    const size = element("label", {}, "Size", this.size);
    return element("div", { className: "mask-tools" }, this.brush, this.eraser, size, this.undo, invert, clear);
  }

  #listen() {
    const { drawing, history } = this;
    const onStroke = () => this.#write();
    paintWithPointer({ drawing, history, pen: this, onStroke });
    paintWithKeys({ drawing, history, pen: this, onStroke, onMove: (x, y) => this.#say(x, y) });
  }

  get width() {
    return (this.drawing.longerSide * this.size.value) / 250;
  }

  #select(isErasing) {
    this.isErasing = isErasing;
    this.brush.ariaPressed = !isErasing;
    this.eraser.ariaPressed = isErasing;
  }

  #change(change, canUndo = true) {
    if (canUndo) this.history.remember();
    change();
    this.#write();
  }

  #say(x, y) {
    const percent = (part) => `${Math.round(part * 100)} %`;
    const place = `${percent(x)} from the left, ${percent(y)} from the top`;
    this.hint.textContent = `${place}. Space paints; Shift with an arrow key draws a line.`;
  }

  // The drawing goes into the form, instead of an earlier mask.
  #write() {
    const { input } = this;
    const earlier = input.form.elements[`${input.name}_asset`];
    if (earlier) earlier.value = "";
    if (this.drawing.isEmpty) {
      input.value = "";
      return;
    }
    const transfer = new DataTransfer();
    transfer.items.add(this.drawing.file(`${input.name}.png`));
    input.files = transfer.files;
  }
}

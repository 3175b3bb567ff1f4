// What is painted, in the picture's own pixels: opaque where the picture is made anew. Everything else is transparent,
// so that the picture shines through.
import { element } from "../element.js";

const TINT = [143, 91, 255]; // shows on white pictures, too

export class Drawing {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
  }

  // Returns whether the size is another one than before: then the drawing is empty.
  resize(width, height) {
    const { canvas } = this;
    if (canvas.width === width && canvas.height === height) return false;
    Object.assign(canvas, { width, height });
    return true;
  }

  get longerSide() {
    return Math.max(this.canvas.width, this.canvas.height);
  }

  get pixels() {
    return this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
  }

  set pixels(pixels) {
    this.context.putImageData(pixels, 0, 0);
  }

  stroke(from, to, width, isErasing) {
    const { context } = this;
    context.globalCompositeOperation = isErasing ? "destination-out" : "source-over";
    Object.assign(context, { strokeStyle: `rgb(${TINT})`, lineWidth: width, lineCap: "round", lineJoin: "round" });
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y); // a line without length is not drawn
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }

  clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  invert() {
    this.#paint((data, index) => 255 - data[index + 3]);
  }

  // White of a grey picture is painted, black becomes transparent.
  async load(address) {
    const mask = element("img", { src: address });
    await mask.decode();
    this.clear();
    this.context.drawImage(mask, 0, 0, this.canvas.width, this.canvas.height);
    this.#paint((data, index) => data[index]);
  }

  #paint(opacityAt) {
    const { pixels } = this;
    for (let index = 0; index < pixels.data.length; index += 4) {
      pixels.data.set([...TINT, opacityAt(pixels.data, index)], index);
    }
    this.pixels = pixels;
  }

  get isEmpty() {
    const { data } = this.pixels;
    for (let index = 3; index < data.length; index += 4) if (data[index]) return false;
    return true;
  }

  // A PNG, white on black. Synchronous, so that a form that is sent at once has it.
  file(name) {
    const flat = element("canvas", { width: this.canvas.width, height: this.canvas.height });
    const context = flat.getContext("2d");
    context.drawImage(this.canvas, 0, 0);
    for (const [operation, colour] of [
      ["source-in", "#fff"],
      ["destination-over", "#000"],
    ]) {
      Object.assign(context, { globalCompositeOperation: operation, fillStyle: colour });
      context.fillRect(0, 0, flat.width, flat.height);
    }
    const text = atob(flat.toDataURL("image/png").split(",")[1]);
    return new File([Uint8Array.from(text, (each) => each.charCodeAt(0))], name, { type: "image/png" });
  }
}

// The drawing as it was before each of the last changes.
const STEPS = 20;

export class History {
  #past = [];

  constructor(drawing, onChange) {
    this.drawing = drawing;
    this.onChange = onChange;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  // Call it before a change.
  remember() {
    this.#past.push(this.drawing.pixels);
    if (this.#past.length > STEPS) this.#past.shift();
    this.onChange();
  }

  undo() {
    const before = this.#past.pop();
    if (before) this.drawing.pixels = before;
    this.onChange();
  }

  forget() {
    this.#past.length = 0;
    this.onChange();
  }
}

// A workflow is dropped, chosen or pasted.
import { areSeveral, sendSeveral } from "./several.js";

export class Drop {
  constructor(form) {
    this.form = form;
    this.input = form.querySelector("input[type=file]");
    this.zone = form.querySelector(".studio-drop");
    this.name = form.querySelector("[data-drop-name]");
    this.usualName = this.name.textContent;
    this.input.hasChangeListener = true; // else the theme writes the file's name into the next text field
    this.input.addEventListener("change", () => this.#showChosen());
    form.addEventListener("submit", (event) => this.#submit(event));
    form.addEventListener("dragover", (event) => this.#over(event, true));
    form.addEventListener("dragleave", (event) => this.#over(event, false));
    form.addEventListener("drop", (event) => this.#drop(event));
    document.addEventListener("paste", (event) => this.#paste(event));
  }

  #showChosen() {
    const { files } = this.input;
    if (files.length) this.name.textContent = files.length > 1 ? `${files.length} files` : files[0].name;
  }

  #submit(event) {
    if (this.form.dataset.several === undefined || !areSeveral(this.input.files)) {
      this.form.classList.add("is-busy");
      return;
    }
    event.preventDefault();
    sendSeveral(this.form, [...this.input.files]);
    this.input.value = "";
    this.name.textContent = this.usualName;
  }

  #over(event, isOver) {
    event.preventDefault();
    this.zone.classList.toggle("is-over", isOver);
  }

  #drop(event) {
    this.#over(event, false);
    if (event.dataTransfer.files.length && this.#take(event.dataTransfer)) this.form.requestSubmit();
  }

  #paste(event) {
    const { files } = event.clipboardData;
    const isTyping = event.target.closest?.("input, textarea");
    const isShown = this.form.offsetParent !== null;
    if (!isShown || this.form.inert || (isTyping && !files.length)) return;
    if (!(files.length ? this.#take(event.clipboardData) : this.#takeText(event.clipboardData))) return;
    event.preventDefault();
    this.form.requestSubmit();
  }

  // Returns whether the files were taken; if not, the zone says why.
  #take(data) {
    if (this.form.inert) return false;
    const reason = this.#whyNot(data);
    this.name.textContent = reason || this.usualName;
    this.name.classList.toggle("studio-fault", Boolean(reason));
    if (!reason) this.input.files = data.files;
    return !reason;
  }

  #takeText(data) {
    const text = data.getData("text").trim();
    if (!text.startsWith("{")) return false;
    this.form.querySelector("textarea").value = text;
    return true;
  }

  // A folder has no bytes to send, and a template has one workflow.
  #whyNot({ files, items }) {
    const entries = [...(items ?? [])].map((item) => item.webkitGetAsEntry?.());
    if (entries.some((entry) => entry?.isDirectory)) return "This is a folder. Drop its files, or a ZIP of them.";
    if (files.length > 1 && !this.input.multiple) return "Choose one file: a template has a single workflow.";
    return "";
  }
}

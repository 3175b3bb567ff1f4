// The studio: ticks, moves and settings go to the server, which answers with the parts of the page that changed.
import "./confirm.js";
import "./failures.js";
import { areSeveral, sendSeveral } from "./several.js";

const page = document.querySelector("[data-studio]");

// ---------------------------------------------------------------- a workflow is dropped, chosen or pasted
for (const form of document.querySelectorAll("[data-drop]")) {
  const input = form.querySelector("input[type=file]");
  const zone = form.querySelector(".studio-drop");
  const name = form.querySelector("[data-drop-name]");
  const usualName = name.textContent;
  // What cannot be taken is not sent: a folder has no bytes, and a template has one workflow.
  const whyNot = ({ files, items }) => {
    const entries = [...(items ?? [])].map((item) => item.webkitGetAsEntry?.());
    if (entries.some((entry) => entry?.isDirectory)) return "This is a folder. Drop the files in it, or a ZIP of it.";
    if (files.length > 1 && !input.multiple) return "Choose one: a template has a single workflow.";
    return "";
  };
  const take = (data) => {
    if (form.inert) return false;
    const reason = whyNot(data);
    name.textContent = reason || usualName;
    name.classList.toggle("studio-fault", Boolean(reason));
    if (!reason) input.files = data.files;
    return !reason;
  };
  input.hasChangeListener = true; // else the theme writes the file's name into the next text field
  input.addEventListener("change", () => {
    const { length } = input.files;
    if (length) name.textContent = length > 1 ? `${length} files` : input.files[0].name;
  });
  form.addEventListener("submit", (event) => {
    if (form.dataset.several === undefined || !areSeveral(input.files)) return void form.classList.add("is-busy");
    event.preventDefault();
    sendSeveral(form, [...input.files]);
    input.value = "";
    name.textContent = usualName;
  });
  const over = (event, isOver) => {
    event.preventDefault();
    zone.classList.toggle("is-over", isOver);
  };
  form.addEventListener("dragover", (event) => over(event, true));
  form.addEventListener("dragleave", (event) => over(event, false));
  form.addEventListener("drop", (event) => {
    over(event, false);
    if (event.dataTransfer.files.length && take(event.dataTransfer)) form.requestSubmit();
  });
  document.addEventListener("paste", (event) => {
    const isTyping = event.target.closest?.("input, textarea");
    const text = event.clipboardData.getData("text").trim();
    const isShown = form.offsetParent !== null;
    if (!isShown || form.inert || (isTyping && !event.clipboardData.files.length)) return;
    if (event.clipboardData.files.length) {
      if (!take(event.clipboardData)) return;
    } else if (text.startsWith("{")) form.querySelector("textarea").value = text;
    else return;
    event.preventDefault();
    form.requestSubmit();
  });
}

for (const button of document.querySelectorAll("[data-open]")) {
  button.addEventListener("click", () => document.getElementById(button.dataset.open).showModal());
}
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
document.querySelector("[data-open-now]")?.showModal();
if (page) start();

function start() {
  // A file that is dropped anywhere means: another workflow.
  const dialog = document.getElementById("import");
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (dialog && !dialog.open) dialog.showModal();
  });

  const search = page.querySelector("[data-search]");
  const nodes = [...page.querySelectorAll("[data-node]")];
  const wereOpen = new Set(nodes.filter((node) => node.open));
  search?.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const node of nodes) {
      const fits = words.every((word) => node.dataset.words.includes(word));
      node.hidden = !fits;
      node.open = words.length ? fits : wereOpen.has(node);
      found += fits;
    }
    page.querySelector("[data-nothing]").hidden = found > 0;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, textarea, select")) {
      event.preventDefault();
      search?.focus();
    } else if (event.key === "Escape") {
      stopJoining();
    }
  });

  page.addEventListener("change", (event) => {
    const tick = event.target;
    if (tick.dataset.keep !== undefined) send("keep/", { node: tick.dataset.keep, on: tick.checked ? "1" : "" });
    if (tick.dataset.safety !== undefined) {
      for (const other of page.querySelectorAll("[data-safety]")) other.checked &&= other === tick;
      send("safety/", { node: tick.dataset.safety, on: tick.checked ? "1" : "" });
    }
    if (tick.dataset.input === undefined) return;
    const key = { node: tick.dataset.nodeId, input: tick.dataset.input };
    if (joining) {
      const name = joining;
      stopJoining();
      send("join/", { ...key, name });
    } else {
      send("expose/", { ...key, on: tick.checked ? "1" : "" });
    }
  });
  page.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { move, to, remove, hideNode, hideInput, join } = button.dataset;
    if (button.closest("summary")) event.preventDefault();
    if (move !== undefined) send(`parameters/${move}/move/`, { to });
    else if (remove !== undefined) send(`parameters/${remove}/remove/`, {});
    else if (hideNode !== undefined) send("expose/", { node: hideNode, input: hideInput, on: "" });
    else if (join !== undefined) startJoining(join);
    else if (button.dataset.narrow !== undefined) {
      const isNarrow = page.querySelector(".studio-preview").classList.toggle("is-narrow");
      button.setAttribute("aria-pressed", isNarrow);
    }
  });
  dragging();
  // A node that is gone to is open, whatever was searched for.
  const showNode = (node) => {
    if (!node) return;
    if (search?.value) {
      search.value = "";
      search.dispatchEvent(new Event("input"));
    }
    node.open = true;
    node.scrollIntoView({ block: "start" });
    node.querySelector("summary").focus();
  };
  page.addEventListener("click", (event) => {
    const link = event.target.closest("[data-node-link]");
    if (!link) return;
    event.preventDefault();
    history.replaceState(null, "", link.hash);
    showNode(document.getElementById(`node-${link.dataset.nodeLink}`));
  });
  showNode(page.querySelector("[data-node]:target"));
  // A tick that was not taken goes back; failures.js says why.
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
    document.body.addEventListener(name, ({ detail: { elt } }) => {
      if (elt.dataset.flag !== undefined) elt.checked = !elt.checked;
    });
  }
  document.body.addEventListener("draft-changed", renewPreview);
  document.body.addEventListener("htmx:afterSettle", afterChange);
  page.addEventListener("change", (event) => event.target.name === "type" && showSettings());
  showSettings();
  placeFaults();
}

let joining = "";
function startJoining(name) {
  joining = name;
  page.querySelector(".studio-nodes").classList.add("is-joining");
  say("Now tick the input that is to be set as well. Escape ends this.");
  page.querySelector("[data-search]").focus();
}
function stopJoining() {
  joining = "";
  page.querySelector(".studio-nodes")?.classList.remove("is-joining");
  page.querySelector(".studio-say")?.remove();
}

// One after the other, however fast somebody clicks. Ticks follow the answer to the last one alone.
let queue = Promise.resolve();
let underway = 0;
function send(path, values) {
  page.querySelector(".studio-say")?.remove();
  underway += 1;
  queue = queue.then(async () => {
    opened = new Set([...page.querySelectorAll(".studio-parameter[open]")].map((card) => card.dataset.parameter));
    focused = document.activeElement?.getAttribute("aria-label");
    try {
      await htmx.ajax("POST", page.dataset.url + path, { source: page, target: "#parameters", swap: "innerHTML", values });
    } catch {
      // Said already (failures.js); the ticks go back to what holds.
    } finally {
      underway -= 1;
      if (!underway) syncTicks();
    }
  });
}

function say(sentence) {
  page.querySelector(".studio-say")?.remove();
  const note = Object.assign(document.createElement("p"), { className: "studio-say studio-warning", textContent: sentence });
  note.setAttribute("role", "status");
  page.querySelector("#status").after(note);
}

let opened = new Set();
let focused = null;
function afterChange(event) {
  if (event.target.id !== "parameters") return void placeFaults();
  for (const card of page.querySelectorAll(".studio-parameter")) {
    if (opened.has(card.dataset.parameter)) card.open = true;
  }
  if (focused) page.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  showSettings();
  placeFaults();
}

function syncTicks() {
  const source = document.getElementById("exposed");
  if (!source) return;
  const exposed = new Map(
    JSON.parse(source.textContent).map((each) => [`${each.node_id}\n${each.input_name}`, each.label]),
  );
  for (const tick of page.querySelectorAll("[data-input]")) {
    const label = exposed.get(`${tick.dataset.nodeId}\n${tick.dataset.input}`);
    tick.checked = label !== undefined;
    tick.parentElement.querySelector("[data-label]").textContent = label ?? "";
  }
}

// Of a parameter's settings and roles, those that its type has.
function showSettings() {
  for (const card of page.querySelectorAll(".studio-parameter")) {
    const type = card.querySelector("select[name=type]").value;
    for (const control of card.querySelectorAll("[data-types]")) {
      control.closest("[data-field]").hidden = !control.dataset.types.split(" ").includes(type);
    }
    for (const role of card.querySelectorAll("option[data-fits]")) {
      role.hidden = role.disabled = !role.dataset.fits.split(" ").includes(type);
      if (role.hidden && role.selected) role.parentElement.value = "";
    }
  }
}

// What is wrong goes beside the setting that it speaks of.
function placeFaults() {
  for (const card of page.querySelectorAll(".studio-parameter")) {
    card.querySelectorAll(".studio-field > .studio-fault").forEach((place) => place.replaceChildren());
    const faults = card.querySelectorAll(".studio-faults [data-setting]");
    card.classList.toggle("is-wrong", faults.length > 0);
    for (const fault of faults) {
      const field = card.querySelector(`[data-field="${CSS.escape(fault.dataset.setting || "-")}"]`);
      fault.hidden = Boolean(field);
      field?.querySelector(".studio-fault").append(Object.assign(fault.cloneNode(true), { hidden: false }));
    }
  }
}

let pending = 0;
let renewals = 0;
function renewPreview() {
  clearTimeout(pending);
  const frame = page.querySelector("[data-preview-frame]");
  if (!frame) return;
  const mine = ++renewals;
  const done = () => mine === renewals && frame.removeAttribute("aria-busy");
  frame.setAttribute("aria-busy", "true");
  pending = setTimeout(() => {
    // The form alone: what was tried stays below it.
    const inner = frame.contentWindow;
    if (!inner?.htmx || !inner.document.getElementById("run-form")) {
      frame.addEventListener("load", done, { once: true });
      inner?.location.reload();
    } else {
      inner.htmx.ajax("GET", frame.src, { target: "#run-form", select: "#run-form", swap: "outerHTML" }).then(done, done);
    }
  }, 150);
}

function dragging() {
  let from = null;
  page.addEventListener("dragstart", (event) => {
    from = event.target.dataset?.position ?? null;
    if (from !== null) event.dataTransfer.setData("text/plain", from);
  });
  page.addEventListener("dragover", (event) => {
    if (from !== null && event.target.closest(".studio-parameter")) event.preventDefault();
  });
  page.addEventListener("drop", (event) => {
    const card = event.target.closest(".studio-parameter");
    if (from === null || !card) return;
    event.preventDefault();
    send(`parameters/${from}/move/`, { to: card.id.replace("parameter-", "") });
    from = null;
  });
}

// What users may set: cards that are moved, removed and filled in.
import { send } from "./draft.js";
import { page } from "./page.js";

export function startParameters() {
  page.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.closest("summary")) event.preventDefault();
    const { move, to, remove, hideNode, hideInput } = button.dataset;
    if (move !== undefined) send(`parameters/${move}/move/`, { to });
    else if (remove !== undefined) send(`parameters/${remove}/remove/`, {});
    else if (hideNode !== undefined) send("expose/", { node: hideNode, input: hideInput, on: "" });
  });
  page.addEventListener("change", (event) => event.target.name === "type" && showSettings());
  document.body.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id === "parameters") showSettings();
    placeFaults();
  });
  startDragging();
  showSettings();
  placeFaults();
}

const cards = () => page.querySelectorAll(".studio-parameter");

function startDragging() {
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

// Of all settings and roles, each card shows those that its type has.
function showSettings() {
  for (const card of cards()) {
    const type = card.querySelector("select[name=type]").value;
    const fits = (types) => types.split(" ").includes(type);
    for (const control of card.querySelectorAll("[data-types]")) {
      control.closest("[data-field]").hidden = !fits(control.dataset.types);
    }
    for (const role of card.querySelectorAll("option[data-fits]")) {
      role.hidden = role.disabled = !fits(role.dataset.fits);
      if (role.hidden && role.selected) role.parentElement.value = "";
    }
  }
}

// What is wrong goes beside the setting that it speaks of.
function placeFaults() {
  for (const card of cards()) {
    for (const place of card.querySelectorAll(".studio-field > .studio-fault")) place.replaceChildren();
    const faults = card.querySelectorAll(".studio-faults [data-setting]");
    card.classList.toggle("is-wrong", faults.length > 0);
    for (const fault of faults) {
      const field = card.querySelector(`[data-field="${CSS.escape(fault.dataset.setting || "-")}"]`);
      fault.hidden = Boolean(field);
      field?.querySelector(".studio-fault").append(Object.assign(fault.cloneNode(true), { hidden: false }));
    }
  }
  countFaults();
}

// The server counts what is wrong with the draft. A setting that it refused is in no draft, but stays on the page.
function countFaults() {
  const number = page.querySelectorAll(".studio-faults [data-setting]").length;
  const told = page.querySelector("[data-fault-count]");
  if (!number || !told) return;
  told.textContent = number === 1 ? "1 setting needs fixing below." : `${number} settings need fixing below.`;
  told.hidden = false;
  const publish = page.querySelector("[data-publish]");
  if (publish) publish.disabled = true;
}

// Ticks at nodes and inputs: which outputs users see, and which inputs they may set.
import { say, send, unsay } from "./draft.js";
import { page } from "./page.js";

let joining = ""; // the parameter that fills in the next ticked input, too

export function startTicks() {
  page.addEventListener("change", ({ target: tick }) => {
    const { keep, safety, input } = tick.dataset;
    if (keep !== undefined) send("keep/", { node: keep, on: sent(tick) });
    else if (safety !== undefined) chooseSafety(tick);
    else if (input !== undefined) expose(tick);
  });
  page.addEventListener("click", (event) => {
    const button = event.target.closest("[data-join]");
    if (button) startJoining(button.dataset.join);
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && stopJoining());
  page.addEventListener("draft-answered", showExposed);
  takeBackFlags();
}

const sent = (tick) => (tick.checked ? "1" : "");

function chooseSafety(tick) {
  for (const other of page.querySelectorAll("[data-safety]")) other.checked &&= other === tick;
  send("safety/", { node: tick.dataset.safety, on: sent(tick) });
}

function expose(tick) {
  const key = { node: tick.dataset.nodeId, input: tick.dataset.input };
  const name = joining;
  stopJoining();
  if (name) send("join/", { ...key, name });
  else send("expose/", { ...key, on: sent(tick) });
}

function startJoining(name) {
  joining = name;
  page.querySelector(".studio-nodes").classList.add("is-joining");
  say("Tick the input that this parameter fills in, too. Escape cancels.");
  page.querySelector("[data-search]").focus();
}

function stopJoining() {
  joining = "";
  page.querySelector(".studio-nodes")?.classList.remove("is-joining");
  unsay();
}

// Ticks show what the server keeps.
function showExposed() {
  const source = document.getElementById("exposed");
  if (!source) return;
  const keyOf = (node, input) => `${node}\n${input}`;
  const exposed = JSON.parse(source.textContent);
  const labels = new Map(exposed.map((each) => [keyOf(each.node_id, each.input_name), each.label]));
  for (const tick of page.querySelectorAll("[data-input]")) {
    const label = labels.get(keyOf(tick.dataset.nodeId, tick.dataset.input));
    tick.checked = label !== undefined;
    tick.parentElement.querySelector("[data-label]").textContent = label ?? "";
  }
}

// A flag whose tick did not get through goes back; failures.js says why.
function takeBackFlags() {
  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
    document.body.addEventListener(name, ({ detail: { elt } }) => {
      if (elt.dataset.flag !== undefined) elt.checked = !elt.checked;
    });
  }
}

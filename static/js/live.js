// Keeps each live panel on the page up to date. Progress and previews go straight into the DOM; whenever more than
// that changes, the server renders the panel again, so that there is one description of each state.
import { fetchPart, oneAtATime } from "./parts.js";
import { root } from "./root.js";
import { connect } from "./socket.js";

const POLL_MS = 4000;
const BAR_AT = { queued: 0, storing: 1 };
const followed = new Map();

function follow(panel) {
  const id = panel.dataset.promptId;
  if (panel.dataset.terminal === "true" || followed.has(id)) return;
  const poller = setInterval(() => !entry.isConnected && refresh(id), POLL_MS);
  const entry = { isConnected: false, poller, socket: null };
  followed.set(id, entry);
  entry.socket = connect(
    `${root}ws/generations/${id}/`,
    (event) => apply(id, event),
    (isConnected) => (entry.isConnected = isConnected),
  );
}

function forget(id) {
  const entry = followed.get(id);
  if (!entry) return;
  clearInterval(entry.poller);
  entry.socket?.close();
  followed.delete(id);
}

const panelOf = (id) => document.getElementById(`panel-${id}`);

function apply(id, event) {
  const panel = panelOf(id);
  if (!panel) return forget(id);
  if (event.type === "snapshot") {
    const state = event.generation;
    if (state.is_terminal) return void refresh(id);
    show(panel, state);
    if (state.progress) progress(panel, state.progress);
    if (state.outputs.length !== panel.querySelectorAll("[data-output]").length) refresh(id);
  } else if (event.type === "status") {
    if (event.is_terminal) return void refresh(id);
    show(panel, event);
  } else if (event.type === "progress") {
    progress(panel, event.progress);
  } else if (event.type === "preview") {
    preview(panel, event);
  } else if (event.type === "output") {
    refresh(id);
  }
}

function show(panel, state) {
  const badge = panel.querySelector("[data-status]");
  badge.className = `badge ${state.status}`;
  badge.textContent = state.status_label;
  text(panel, "[data-message]", state.message);
  text(panel, "[data-now]", state.now);
  if (state.status !== "running") text(panel, "[data-step]", "");
  const bar = panel.querySelector("[data-bar]");
  if (bar && state.status in BAR_AT) bar.value = BAR_AT[state.status];
}

function progress(panel, snapshot) {
  const bar = panel.querySelector("[data-bar]");
  if (bar) bar.value = snapshot.value;
  text(panel, "[data-now]", snapshot.node_title ?? "");
  text(panel, "[data-step]", snapshot.steps ? `${snapshot.step} / ${snapshot.steps}` : "");
}

function preview(panel, event) {
  const image = panel.querySelector("[data-preview]");
  if (!image || !/^image\/(jpeg|png|webp)$/.test(event.content_type)) return;
  image.src = `data:${event.content_type};base64,${event.data_base64}`;
  image.hidden = false;
}

function text(panel, selector, value) {
  const place = panel.querySelector(selector);
  if (place && place.textContent !== value) place.textContent = value;
}

const refresh = oneAtATime(async (id) => {
  const address = panelOf(id)?.dataset.panelUrl;
  if (!address) return forget(id);
  const { status, part } = await fetchPart(address);
  if (status === 401) return location.reload();
  if (status === 404) return forget(id);
  if (part) replace(id, part);
});

// The old panel is looked up only now: the answer to “Cancel” may have replaced it while this one was on its way.
function replace(id, fresh) {
  const old = panelOf(id);
  if (!old) return forget(id);
  const shown = old.querySelector("[data-preview]:not([hidden])");
  const stage = fresh.querySelector("[data-stage]");
  if (shown && stage) stage.replaceChildren(shown);
  old.replaceWith(fresh);
  window.htmx?.process(fresh);
  if (fresh.dataset.terminal === "true") forget(id);
}

function scan(part) {
  if (part.matches?.("[data-prompt-id]")) follow(part);
  for (const panel of part.querySelectorAll?.("[data-prompt-id]") ?? []) follow(panel);
}

scan(document);
new MutationObserver((changes) => {
  for (const change of changes) for (const node of change.addedNodes) scan(node);
}).observe(document.body, { childList: true, subtree: true });

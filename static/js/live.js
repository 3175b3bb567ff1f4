// Keeps each live panel on the page up to date. Progress and previews go straight into the DOM; whenever more than
// that changes, the server renders the panel again, so that there is one description of each state.
import { root } from "./root.js";
import { connect } from "./socket.js";

const POLL_MS = 4000;
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
  badge.textContent = state.is_canceling ? "Stopping" : state.status_label;
  text(panel, "[data-message]", state.message);
  const bar = panel.querySelector("[data-bar]");
  if (state.status === "queued") {
    text(panel, "[data-now]", state.queue_position ? `Place ${state.queue_position} in the queue` : "");
    if (bar) bar.value = 0;
  } else if (state.status === "storing") {
    text(panel, "[data-now]", "Saving your results …");
    text(panel, "[data-step]", "");
    if (bar) bar.value = 1;
  } else if (state.status === "submitted") {
    text(panel, "[data-now]", "");
  }
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
  const element = panel.querySelector(selector);
  if (element && element.textContent !== value) element.textContent = value;
}

const running = new Map();

async function refresh(id) {
  // One request at a time for each panel; what comes meanwhile asks for one more.
  if (running.has(id)) {
    running.set(id, true);
    return;
  }
  running.set(id, false);
  try {
    const panel = panelOf(id);
    if (!panel) return forget(id);
    const response = await fetch(panel.dataset.panelUrl, { headers: { "HX-Request": "true" } });
    if (response.status === 401) return location.reload();
    if (response.status === 404) return forget(id);
    if (!response.ok) return;
    const holder = document.createElement("template");
    holder.innerHTML = await response.text();
    const fresh = holder.content.firstElementChild;
    const shown = panel.querySelector("[data-preview]:not([hidden])");
    const stage = fresh.querySelector("[data-stage]");
    if (shown && stage) stage.replaceChildren(shown);
    panel.replaceWith(fresh);
    window.htmx?.process(fresh);
    if (fresh.dataset.terminal === "true") forget(id);
  } catch {
    // Offline: the poller or the next event tries again.
  } finally {
    const again = running.get(id);
    running.delete(id);
    if (again) refresh(id);
  }
}

function scan(root) {
  if (root.matches?.("[data-prompt-id]")) follow(root);
  root.querySelectorAll?.("[data-prompt-id]").forEach(follow);
}

scan(document);
new MutationObserver((changes) => {
  for (const change of changes) for (const node of change.addedNodes) scan(node);
}).observe(document.body, { childList: true, subtree: true });

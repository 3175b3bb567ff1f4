// The history's cards: progress of what is under way, and the finished card as soon as there is one.
import { fetchPart, oneAtATime } from "./parts.js";
import { root } from "./root.js";
import { connect } from "./socket.js";

const cardOf = (id) => document.querySelector(`[data-card="${CSS.escape(id)}"]`);

const refresh = oneAtATime(async (id) => {
  const { part } = await fetchPart(cardOf(id).dataset.cardUrl);
  if (part) cardOf(id)?.replaceWith(part);
});

connect(`${root}ws/generations/`, (event) => {
  const card = cardOf(event.prompt_id);
  if (!card) return;
  const bar = card.querySelector("[data-bar]");
  if (event.type === "progress") {
    if (bar) bar.value = event.progress.value;
    return;
  }
  const state = event.type === "snapshot" ? event.generation : event;
  if (event.type === "output" || state.is_terminal) {
    refresh(event.prompt_id);
    return;
  }
  const badge = card.querySelector("[data-status]");
  badge.className = `badge ${state.status}`;
  badge.textContent = state.status_label;
});

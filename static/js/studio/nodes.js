// The list of the workflow's nodes: a search narrows it, and links lead to its nodes.
import { page } from "./page.js";

export function startNodes() {
  const search = page.querySelector("[data-search]");
  const nodes = [...page.querySelectorAll("[data-node]")];
  const wereOpen = new Set(nodes.filter((node) => node.open));
  search?.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const node of nodes) {
      const isFound = words.every((word) => node.dataset.words.includes(word));
      node.hidden = !isFound;
      node.open = words.length ? isFound : wereOpen.has(node);
    }
    page.querySelector("[data-nothing]").hidden = nodes.some((node) => !node.hidden);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    search?.focus();
  });
  followLinks(search);
}

function followLinks(search) {
  page.addEventListener("click", (event) => {
    const link = event.target.closest("[data-node-link]");
    if (!link) return;
    event.preventDefault();
    history.replaceState(null, "", link.hash);
    show(document.getElementById(`node-${link.dataset.nodeLink}`), search);
  });
  show(page.querySelector("[data-node]:target"), search);
}

// Opens a node, whatever was searched for.
function show(node, search) {
  if (!node) return;
  if (search?.value) {
    search.value = "";
    search.dispatchEvent(new Event("input"));
  }
  node.open = true;
  node.scrollIntoView({ block: "start" });
  node.querySelector("summary").focus();
}

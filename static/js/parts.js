// Parts of the page that the server renders again.
import { element } from "./element.js";

// The part as a new element; null if the server refused it.
export async function fetchPart(address) {
  const response = await fetch(address, { headers: { "HX-Request": "true" } });
  const html = response.ok ? await response.text() : "";
  return { status: response.status, part: element("template", { innerHTML: html }).content.firstElementChild };
}

// A function that runs `work` once at a time for each id: whatever asks meanwhile makes it run once more. Otherwise an
// older answer could come last and stay.
export function oneAtATime(work) {
  const isWantedAgain = new Map();
  return async function run(id) {
    if (isWantedAgain.has(id)) {
      isWantedAgain.set(id, true);
      return;
    }
    isWantedAgain.set(id, false);
    try {
      await work(id);
    } catch {
      // Offline: the poller or the next event tries again.
    }
    const again = isWantedAgain.get(id);
    isWantedAgain.delete(id);
    if (again) run(id);
  };
}

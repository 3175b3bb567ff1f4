// The studio: ticks, moves and settings go to the server, which answers with the parts of the page that changed.
import "./confirm.js";
import "./failures.js";
import { openImportForFiles, startDialogs } from "./studio/dialogs.js";
import { keepPlace } from "./studio/draft.js";
import { Drop } from "./studio/dropping.js";
import { startNodes } from "./studio/nodes.js";
import { page } from "./studio/page.js";
import { startParameters } from "./studio/parameters.js";
import { startPreview } from "./studio/preview.js";
import { startTicks } from "./studio/ticks.js";

for (const form of document.querySelectorAll("[data-drop]")) new Drop(form);
startDialogs();
if (page) {
  openImportForFiles();
  keepPlace();
  startNodes();
  startTicks();
  startParameters();
  startPreview();
}

// Buttons open and close dialogs. A file that is dragged over the studio, wherever it is, opens the import.
export function startDialogs() {
  for (const button of document.querySelectorAll("[data-open]")) {
    button.addEventListener("click", () => document.getElementById(button.dataset.open).showModal());
  }
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  document.querySelector("[data-open-now]")?.showModal();
}

export function openImportForFiles() {
  const dialog = document.getElementById("import");
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (dialog && !dialog.open) dialog.showModal();
  });
}

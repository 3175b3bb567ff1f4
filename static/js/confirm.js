// Asks data-confirm's question before a button does what cannot be undone. Buttons that htmx brings later ask, too.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-confirm]");
  if (button && !confirm(button.dataset.confirm)) event.preventDefault();
});

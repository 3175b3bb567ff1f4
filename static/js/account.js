// The account's pages: copy buttons, and the log of a webhook, which is fetched anew while a message waits.
let openDeliveries = [];

document.body.addEventListener("htmx:beforeSwap", () => {
  const open = document.querySelectorAll("#deliveries details[open] > summary");
  openDeliveries = [...open].map((summary) => summary.id);
});
document.body.addEventListener("htmx:afterSwap", () => {
  for (const id of openDeliveries) {
    const summary = document.getElementById(id);
    if (summary) summary.parentElement.open = true;
  }
});

for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copies);
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      field.type = "text";
      field.select();
      document.execCommand("copy");
    }
    const label = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = label), 1500);
  });
}

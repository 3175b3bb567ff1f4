// Shows the settings of the inputs that are ticked, and of those only what their type has. What is hidden is not sent:
// large workflows would otherwise send more fields than the server reads.
for (const row of document.querySelectorAll("[data-input]")) {
  const tick = row.querySelector("input[type=checkbox]");
  const settings = row.querySelector("[data-settings]");
  const type = settings.querySelector("select");
  const update = () => {
    settings.hidden = settings.disabled = !tick.checked;
    for (const control of settings.querySelectorAll("[data-types]")) {
      control.closest("[data-field]").hidden = !control.dataset.types.split(" ").includes(type.value);
    }
  };
  tick.addEventListener("change", update);
  type.addEventListener("change", update);
  update();
}
document.querySelector(".studio-card .errorlist")?.closest("[data-input]")?.scrollIntoView({ block: "center" });

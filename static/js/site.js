// What every page does: htmx requests carry the CSRF token by themselves (it is in the forms); menus close.
import "./failures.js";

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
for (const input of document.querySelectorAll("[data-submits]")) {
  input.addEventListener("change", () => input.files.length && input.form.requestSubmit());
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelectorAll("details.menu[open]").forEach((menu) => (menu.open = false));
});

// What every page does. The CSRF token needs no script: it is in the forms.
import "./confirm.js";
import "./failures.js";

const openMenus = () => document.querySelectorAll("details.menu[open]");

document.addEventListener("click", (event) => {
  for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of openMenus()) menu.open = false;
});
for (const input of document.querySelectorAll("[data-submits]")) {
  input.addEventListener("change", () => input.files.length && input.form.requestSubmit());
}

// What every page does. The CSRF token needs no script: it is in the forms.
import "./confirm.js";
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

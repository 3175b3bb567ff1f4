// The profile: suggests the browser's time zone where another one is chosen.
const select = document.getElementById("id_time_zone");
const hint = document.getElementById("zone-hint");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const option = [...select.options].find((each) => each.value === zone);

if (option && !option.selected) {
  hint.querySelector("strong").textContent = option.textContent;
  hint.hidden = false;
  hint.querySelector("button").addEventListener("click", () => {
    select.value = zone;
    hint.hidden = true;
  });
}

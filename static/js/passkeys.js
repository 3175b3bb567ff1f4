// Says on the page why a passkey was not used. allauth's own script would only tell the console.
const REASONS = {
  NotAllowedError: "Nothing was chosen, or it took too long. Try again.",
  InvalidStateError: "This device already has a passkey for your account.",
  SecurityError: "Browsers do not use passkeys at this address. Open the site at its own name.",
};

document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const { exception } = event.detail;
  const notice = document.createElement("p");
  notice.className = "notice error";
  notice.textContent = `The passkey did not work. ${REASONS[exception?.name] ?? exception?.message ?? ""}`;
  const place = document.getElementById("notices");
  place.replaceChildren(notice);
  place.scrollIntoView({ block: "nearest" });
});

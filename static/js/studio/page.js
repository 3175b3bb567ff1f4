// The studio of one template; null on the admin's other pages.
export const page = document.querySelector("[data-studio]");

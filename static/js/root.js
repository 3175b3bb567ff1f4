// Where the site lies on its host: "/", or a path such as "/studio/".
export const root = document.documentElement.dataset.root;

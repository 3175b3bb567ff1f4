// A new element with these properties (`role` and `ariaLabel` are some, too) and children.
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

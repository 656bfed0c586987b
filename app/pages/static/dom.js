// Finds and makes the elements of a page, and its colours.

/**
 * @param {string} id
 * @returns {any} the element, whose kind the caller knows
 */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * @param {string} name such as "li"
 * @param {object} properties such as {textContent: "7"}
 * @param {(Node | string)[]} children
 * @returns {any} a new element
 */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Give an element a text. The same text again would lay out the page anew. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Return the context of a canvas that has this size. Giving a canvas its size again would build it anew. */
export function sized(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return canvas.getContext("2d");
}

const colours = new Map(); // as far as they were asked for, in light or dark

globalThis.matchMedia?.("(prefers-color-scheme: dark)").addEventListener("change", () => colours.clear());

/**
 * @param {string} name of a colour in tokens.css that is registered there
 * @returns {string} such as "rgb(15, 107, 102)", for a canvas
 */
export function colour(name) {
  if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name));
  return colours.get(name);
}

/**
 * Load a style sheet of a part of the page that few visitors open.
 *
 * @param {string} name of a file beside this one. A second element for the same file would do no harm.
 * @returns {Promise<void>} resolves when its rules apply, or cannot be loaded
 */
export function loadStyle(name) {
  const link = element("link", { rel: "stylesheet", href: new URL(name, import.meta.url).href });
  const loaded = new Promise((resolve) => (link.onload = link.onerror = () => resolve()));
  document.head.append(link);
  return loaded;
}

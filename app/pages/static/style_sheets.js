// Style sheets of the parts of the page that few visitors open.

const loading = new Map();

/**
 * Load a style sheet once.
 *
 * @param {string} name of a file of the page, such as "inside.css"
 * @returns {Promise<void>} resolves when its rules apply, or cannot be loaded
 */
export function loadStyle(name) {
  if (!loading.has(name)) {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: `page/${name}` });
    loading.set(name, new Promise((resolve) => (link.onload = link.onerror = () => resolve())));
    document.head.append(link);
  }
  return loading.get(name);
}

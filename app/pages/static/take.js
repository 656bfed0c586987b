// What one can take away from the page: a link to the drawing, the number as text, and the paper as a PNG.

const byId = (id) => document.getElementById(id);

/** Say below the buttons what was done, or nothing. */
export function say(words) {
  byId("taken").textContent = words;
}

/**
 * @param {string} text
 * @param {string} done what to say afterwards
 * @returns {Promise<boolean>} whether the browser has copied the text. Over plain HTTP, it does so for localhost only.
 */
export async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return false;
  }
  say(done);
  return true;
}

/** Save what is seen on the paper: the drawing or the picture, with its boxes. */
export async function savePng(name) {
  const [drawn, boxes] = [byId("canvas"), byId("boxes")];
  const canvas = Object.assign(document.createElement("canvas"), { width: drawn.width, height: drawn.height });
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(drawn).getPropertyValue("--paper");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(drawn, 0, 0);
  context.drawImage(boxes, 0, 0, canvas.width, canvas.height);
  const file = fileName(name);
  download(await new Promise((resolve) => canvas.toBlob(resolve, "image/png")), file);
  say(`Saved as ${file}.`);
}

/** Let the browser save data as a file. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers read it after the click
}

/** Return the name of a file for what was read. */
export function fileName(text) {
  const words = text.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60);
  return `${words || "drawing"}.png`;
}

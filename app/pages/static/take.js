// What one can take away from the page: a link to the drawing, the number as text, and the paper as a PNG.

import { parseFragment, setAddress } from "./address.js";
import { byId, colour, element } from "./dom.js";
import { inWords, linesOf, marksSentence, summary, verdict } from "./verdict.js";

const MAX_NAME = 200; // characters; a file system takes 255 bytes

/** Say below the buttons what was done, or nothing. */
function say(words) {
  byId("taken").textContent = words;
}

/** @param {string | null} url of a page with the strokes of the drawing, or null if they are too many */
export async function copyLink(url) {
  if (url === null) say("This drawing is too long for a link. Save it as PNG.");
  else if (await copy(url)) say("Copied. The link itself says what to show, and nothing was sent.");
  else {
    setAddress(parseFragment(new URL(url).hash));
    say("This browser copies only over HTTPS. Copy the address of this page, which now holds the drawing.");
  }
}

/** Copy the number or the digit that was read, with its signs of doubt. */
export async function copyAnswer(reading) {
  const { digits } = reading;
  const lines = linesOf(digits);
  const done = await copy(lines.join("\n"));
  const words = digits.length > 1 ? summary({ digits }) : verdict(digits[0]).sentence;
  say(done ? `Copied “${lines.join(", ")}”. ${words} ${marksSentence(reading)}` : "This browser copies only over HTTPS.");
}

/** Return whether the browser has copied a text. Over plain HTTP, it does so for localhost only. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Save what is seen on the paper: the drawing or the picture, with its boxes. */
export async function savePng({ digits }) {
  const [drawn, boxes] = [byId("canvas"), byId("boxes")];
  const canvas = element("canvas", { width: drawn.width, height: drawn.height });
  const context = canvas.getContext("2d");
  context.fillStyle = colour("--paper");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(drawn, 0, 0);
  context.drawImage(boxes, 0, 0, canvas.width, canvas.height);
  const file = fileName(linesOf(digits).join(" "));
  download(await new Promise((resolve) => canvas.toBlob(resolve, "image/png")), file);
  say(`Saved as ${file}.`);
}

/** Let the browser save data as a file. */
export function download(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers read it after the click
}

/** Return the name of a file for what was read: all of its digits or none, since a part of a number is another number. */
export function fileName(text) {
  const names = [inWords(text), text.replace(/[^\p{L}\p{N} ]/gu, "")].map(withDashes);
  return `${names.find((name) => name && name.length <= MAX_NAME) ?? "drawing"}.png`;
}

function withDashes(words) {
  return words.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
}

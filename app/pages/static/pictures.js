// Prepares a picture file for sending: reduces a large one, and converts a format that the service does not read.

import { element } from "./dom.js";

const MAX_SENT_SIDE = 1600; // pixels; a digit needs a few hundred
const MAX_UNCHANGED_BYTES = 2 * 1024 * 1024;
const MAX_BYTES = 16 * 1024 * 1024; // the service's default limit
const MAX_SHOWN_SIDE = 1200; // pixels

const ACCEPTED_TYPES = ["image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff", "image/heic", "image/heif"]; // as in digits/pictures/decode.py
const PICTURE_NAME = /\.(heic|heif|avif|tiff?|bmp|png|jpe?g|webp|gif)$/i; // for a system that gives no type

/** A file that is not sent. The message is shown on the page. */
export class NotAPicture extends Error {}

/**
 * @param {File} file
 * @returns {Promise<{shown: HTMLCanvasElement | null, name: string, body: Blob, type: string, width: number,
 *   height: number}>} The size is that of the picture that is sent. `shown` is null if the browser cannot decode the
 *   file. Then the file is sent unchanged, and the service accepts or refuses it.
 * @throws {NotAPicture}
 */
export async function preparePicture(file) {
  const name = file.name || "picture";
  if (!file.type.startsWith("image/") && !(file.type === "" && PICTURE_NAME.test(name))) {
    throw new NotAPicture(`“${name}” is not a picture. Choose a photo, a scan or a drawing.`);
  }
  if (file.size === 0) throw new NotAPicture(`“${name}” is empty.`);

  let bitmap;
  try {
    bitmap = await createImageBitmap(file, /** @type {any} */ ({ imageOrientation: "from-image" }));
  } catch {
    if (file.size > MAX_BYTES) throw tooLarge(name, file.size);
    const first = await file.slice(0, 1).arrayBuffer().catch(() => null);
    if (first === null) throw new NotAPicture(`“${name}” can no longer be read. Choose it again.`);
    return { shown: null, name, body: file, type: acceptedType(file.type), width: 1, height: 1 };
  }
  try {
    const shown = reduce(bitmap, MAX_SHOWN_SIDE);
    if (isSentUnchanged(file, bitmap)) {
      return { shown, name, body: file, type: file.type, width: bitmap.width, height: bitmap.height };
    }
    const type = convertedType(file.type);
    const canvas = reduce(bitmap, MAX_SENT_SIDE);
    const body = await new Promise((resolve) => canvas.toBlob(resolve, type, 0.92));
    if (body === null) throw tooLarge(name, file.size);
    return { shown, name, body, type, width: canvas.width, height: canvas.height };
  } finally {
    bitmap.close();
  }
}

export function isSentUnchanged({ type, size }, { width, height }) {
  return Math.max(width, height) <= MAX_SENT_SIDE && size <= MAX_UNCHANGED_BYTES && ACCEPTED_TYPES.includes(type);
}

/** PNG keeps transparency. A photo has none, and as JPEG it has a tenth of the size. */
export function convertedType(type) {
  return ["image/jpeg", "image/heic", "image/heif"].includes(type) ? "image/jpeg" : "image/png";
}

function reduce(bitmap, maxSide) {
  const scale = Math.min(1, maxSide / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = element("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** Return a type that the service accepts. The service detects the format from the bytes. */
function acceptedType(type) {
  return ACCEPTED_TYPES.includes(type) ? type : "image/png";
}

function tooLarge(name, bytes) {
  const megabytes = (bytes / 1024 / 1024).toFixed(0);
  return new NotAPicture(`“${name}” is too large: ${megabytes} MB. Take a smaller picture, or crop it.`);
}

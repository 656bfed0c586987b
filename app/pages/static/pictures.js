// A file to what is sent of it: small enough, in a format that the service reads, and never more than needed.

const MOST_SIDE = 1600; // pixels; a digit needs a few hundred
const MOST_BYTES_UNTOUCHED = 2 * 1024 * 1024;
const MOST_BYTES = 16 * 1024 * 1024; // the service's default limit
const SHOWN_SIDE = 1200;

const READ_BY_THE_SERVICE = ["image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/tiff"];
const LOOKS_LIKE_A_PICTURE = /\.(heic|heif|avif|tiff?|bmp|png|jpe?g|webp|gif)$/i; // where the system gives no type

/** Why a file is not sent; the message is for the reader of the page. */
export class NotAPicture extends Error {}

/**
 * @param {File} file
 * @returns {Promise<{shown: HTMLCanvasElement | null, name: string, body: Blob, type: string}>} `shown` is null where
 *   the browser cannot decode it; it is sent as it is then, and the service says what it thinks of it
 * @throws {NotAPicture}
 */
export async function prepare(file) {
  const name = file.name || "picture";
  if (!file.type.startsWith("image/") && !(file.type === "" && LOOKS_LIKE_A_PICTURE.test(name))) {
    throw new NotAPicture(`“${name}” is not a picture. Choose a photo, a scan or a drawing of one digit.`);
  }
  if (file.size === 0) throw new NotAPicture(`“${name}” is empty.`);

  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    if (file.size > MOST_BYTES) throw tooLarge(name, file.size);
    return { shown: null, name, body: file, type: accepted(file.type) };
  }
  try {
    const shown = reduced(bitmap, SHOWN_SIDE);
    const fits = Math.max(bitmap.width, bitmap.height) <= MOST_SIDE && file.size <= MOST_BYTES_UNTOUCHED;
    if (fits && READ_BY_THE_SERVICE.includes(file.type)) return { shown, name, body: file, type: file.type };
    // PNG keeps what is transparent; photos have nothing that is, and are a tenth of the size as JPEG.
    const type = ["image/jpeg", "image/heic", "image/heif"].includes(file.type) ? "image/jpeg" : "image/png";
    const canvas = reduced(bitmap, MOST_SIDE);
    const body = await new Promise((resolve) => canvas.toBlob(resolve, type, 0.92));
    if (body === null) throw tooLarge(name, file.size);
    return { shown, name, body, type };
  } finally {
    bitmap.close();
  }
}

function reduced(bitmap, mostSide) {
  const scale = Math.min(1, mostSide / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** The service looks at the bytes, not at the name of their type; it only has to be one that it takes. */
function accepted(type) {
  return READ_BY_THE_SERVICE.includes(type) ? type : "image/png";
}

function tooLarge(name, bytes) {
  const megabytes = (bytes / 1024 / 1024).toFixed(0);
  return new NotAPicture(`“${name}” is too large: ${megabytes} MB. Take a smaller picture, or cut the digit out of it.`);
}

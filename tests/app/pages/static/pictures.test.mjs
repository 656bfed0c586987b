// Which files are sent, unchanged or converted, and how the others are refused.

import assert from "node:assert/strict";
import { test } from "node:test";

import { convertedType, isSentUnchanged, NotAPicture, preparePicture } from "../../../../app/pages/static/pictures.js";

const MEGABYTE = 1024 * 1024;

/** Node decodes no pictures, like a browser that does not know the format. */
const file = (name, type, bytes = 1) => new File([new Uint8Array(bytes)], name, { type });

/** A file that was changed or removed after it was chosen. */
const gone = (name) => {
  const missing = file(name, "image/tiff");
  missing.slice = () => ({ arrayBuffer: () => Promise.reject(new DOMException("", "NotReadableError")) });
  return missing;
};

for (const [what, refused, words] of [
  ["a file that has gone", gone("scan.tif"), "“scan.tif” can no longer be read. Choose it again."],
  ["text", file("diary.txt", "text/plain"), "“diary.txt” is not a picture. Choose a photo, a scan or a drawing."],
  ["text with a picture's name", file("diary.png", "text/plain"), "“diary.png” is not a picture"],
  ["a name without a type", file("notes", ""), "“notes” is not a picture"],
  ["an empty file", file("empty.png", "image/png", 0), "“empty.png” is empty."],
  ["a large unknown format", file("a.heic", "image/heic", 16 * MEGABYTE + 1), "“a.heic” is too large: 16 MB."],
]) {
  test(`a file is refused with the reason: ${what}`, async () => {
    const problem = await preparePicture(refused).catch((error) => error);

    assert.ok(problem instanceof NotAPicture && problem.message.startsWith(words), problem.message);
  });
}

for (const [sent, type] of [
  [file("IMG_1.HEIC", "image/heic", 16 * MEGABYTE), "image/heic"],
  [file("IMG_1.HEIC", ""), "image/png"],
  [file("scan.tif", "image/tiff"), "image/tiff"],
  [file("", "image/png"), "image/png"],
]) {
  test(`a picture that the browser cannot show is sent unchanged: ${sent.name}, ${sent.type}`, async () => {
    const picture = await preparePicture(sent);

    assert.deepEqual(picture, { shown: null, name: sent.name || "picture", body: sent, type, width: 1, height: 1 });
  });
}

test("a picture is sent unchanged if it is small and the service reads its format", () => {
  const unchanged = (type, size, width, height) => isSentUnchanged({ type, size }, { width, height });

  assert.ok(unchanged("image/png", 2 * MEGABYTE, 1600, 900));
  assert.ok(!unchanged("image/png", 2 * MEGABYTE + 1, 1600, 900));
  assert.ok(!unchanged("image/png", 1, 900, 1601));
  assert.ok(!unchanged("image/avif", 1, 28, 28));
  const converted = ["image/jpeg", "image/heic", "image/avif"].map(convertedType);
  assert.deepEqual(converted, ["image/jpeg", "image/jpeg", "image/png"]);
});

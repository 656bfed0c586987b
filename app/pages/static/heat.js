// Values of pixels as a picture: grey ones as they are, signed ones in blue (positive) and orange (negative).

import { colour, element, sized } from "./dom.js";

const SIDE = 28;
const SCALE = 8; // pixels of the canvas for each value of a picture with an outline
const INK = 128; // grey value from which a pixel counts as ink

let values28; // a canvas with a pixel for each value, from which the larger pictures are drawn

/** Draw rows of grey values, one pixel of the canvas for each. */
export function drawGrey(canvas, rows) {
  const context = sized(canvas, rows[0].length, rows.length);
  const image = new ImageData(canvas.width, canvas.height);
  let at = 0;
  for (const grey of rows.flat()) {
    image.data[at] = image.data[at + 1] = image.data[at + 2] = grey;
    image.data[at + 3] = 255;
    at += 4;
  }
  context.putImageData(image, 0, 0);
}

/**
 * @param {HTMLCanvasElement} canvas becomes transparent where values are 0
 * @param {ArrayLike<number>} values 784, row by row
 * @param {ArrayLike<number> | null} pixels 784 grey values whose ink is outlined
 * @param {number} strongest the absolute value that is opaque
 */
export function drawHeat(canvas, values, pixels = null, strongest = largest(values)) {
  const [positive, negative] = ["--for", "--against"].map((name) => colour(name).match(/\d+/g).map(Number));
  const image = new ImageData(SIDE, SIDE);
  for (let index = 0; index < SIDE * SIDE; index++) {
    const [red, green, blue] = values[index] > 0 ? positive : negative;
    image.data[4 * index] = red;
    image.data[4 * index + 1] = green;
    image.data[4 * index + 2] = blue;
    image.data[4 * index + 3] = 255 * opacity(values[index], strongest);
  }
  if (pixels === null) {
    sized(canvas, SIDE, SIDE).putImageData(image, 0, 0);
    return;
  }
  values28 ??= element("canvas");
  sized(values28, SIDE, SIDE).putImageData(image, 0, 0);
  const context = sized(canvas, SIDE * SCALE, SIDE * SCALE);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(values28, 0, 0, canvas.width, canvas.height);
  context.strokeStyle = colour("--text");
  context.lineWidth = 1.5;
  context.beginPath();
  for (const [x, y, toX, toY] of outline(pixels)) {
    context.moveTo(SCALE * x, SCALE * y);
    context.lineTo(SCALE * toX, SCALE * toY);
  }
  context.stroke();
}

/** Return the largest absolute value, or 1 if all values are 0. */
export function largest(values) {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
}

/** Return how opaque a value is. The root makes weak values visible, and keeps their order. */
export function opacity(value, strongest) {
  return Math.sqrt(Math.min(1, Math.abs(value) / strongest));
}

/** Return the sides between pixels with and without ink, as [x, y, x, y] of their ends in pixels. */
export function outline(pixels) {
  const isInk = (x, y) => x >= 0 && x < SIDE && y >= 0 && y < SIDE && pixels[SIDE * y + x] >= INK;
  const sides = [];
  for (let y = 0; y <= SIDE; y++) {
    for (let x = 0; x <= SIDE; x++) {
      if (isInk(x, y) !== isInk(x - 1, y)) sides.push([x, y, x, y + 1]);
      if (isInk(x, y) !== isInk(x, y - 1)) sides.push([x, y, x + 1, y]);
    }
  }
  return sides;
}

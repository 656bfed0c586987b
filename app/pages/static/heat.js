// Signed values of 28x28 pixels as a picture: blue for positive, orange for negative, with the outline of the ink.

const SIDE = 28;
const SCALE = 8; // pixels of the canvas for each value
const INK = 128; // grey value from which a pixel counts as ink

/**
 * @param {HTMLCanvasElement} canvas becomes transparent where values are 0
 * @param {ArrayLike<number>} values 784, row by row
 * @param {ArrayLike<number> | null} pixels 784 grey values whose ink is outlined
 * @param {number} strongest the absolute value that is opaque
 */
export function drawHeat(canvas, values, pixels = null, strongest = largest(values)) {
  canvas.width = canvas.height = SIDE * SCALE;
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const [positive, negative] = ["--for", "--against"].map((name) => style.getPropertyValue(name));
  for (let index = 0; index < SIDE * SIDE; index++) {
    context.globalAlpha = opacity(values[index], strongest);
    context.fillStyle = values[index] > 0 ? positive : negative;
    context.fillRect(SCALE * (index % SIDE), SCALE * Math.floor(index / SIDE), SCALE, SCALE);
  }
  if (pixels === null) return;
  context.globalAlpha = 1;
  context.strokeStyle = style.color;
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

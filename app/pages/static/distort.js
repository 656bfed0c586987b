// Changes to the 28x28 pixels that the network sees: turn, shift, size, thickness of the strokes, and noise.

const SIDE = 28;
const MIDDLE = (SIDE - 1) / 2;

/**
 * @param {number[][]} rows grey values from 0 to 255, light ink on dark
 * @param {{turn: number, right: number, down: number, size: number, thickness: number, noise: number}} changes `turn` in
 *   degrees clockwise; `right` and `down` in pixels; `size` in percent; `thickness` in pixels on each side of a stroke;
 *   `noise` as its standard deviation in grey values
 * @returns {number[][]} grey values, rounded
 */
export function distort(rows, { turn, right, down, size, thickness, noise }) {
  const thick = change(rows, thickness);
  const angle = (turn * Math.PI) / 180;
  const [cos, sin, scale] = [Math.cos(angle), Math.sin(angle), size / 100];
  const random = gaussian();
  return map(rows, (_, x, y) => {
    const [dx, dy] = [(x - MIDDLE - right) / scale, (y - MIDDLE - down) / scale];
    const grey = between(thick, MIDDLE + cos * dx + sin * dy, MIDDLE - sin * dx + cos * dy);
    return Math.round(Math.min(255, Math.max(0, grey + (noise && noise * random()))));
  });
}

/** Return the rows of a picture's pixels. */
export function rowsOf(pixels) {
  return Array.from({ length: SIDE }, (_, row) => [...pixels.slice(row * SIDE, (row + 1) * SIDE)]);
}

/** Let strokes grow by a number of pixels, which may be negative or a fraction. */
function change(rows, thickness) {
  const extreme = thickness > 0 ? Math.max : Math.min;
  let grown = rows;
  for (let left = Math.abs(thickness); left > 0; left--) {
    const [before, share] = [grown, Math.min(1, left)];
    const around = (x, y) => extreme(...[[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]].map(([a, b]) => at(before, x + a, y + b)));
    grown = map(before, (grey, x, y) => grey + share * (around(x, y) - grey));
  }
  return grown;
}

/** Return the grey value at a place between pixels (bilinear interpolation). */
function between(rows, x, y) {
  const [left, top] = [Math.floor(x + 1e-9), Math.floor(y + 1e-9)];
  const [a, b] = [x - left, y - top];
  const row = (y) => (1 - a) * at(rows, left, y) + a * at(rows, left + 1, y);
  return (1 - b) * row(top) + b * row(top + 1);
}

function at(rows, x, y) {
  return rows[y]?.[x] ?? 0;
}

function map(rows, valueOf) {
  return rows.map((row, y) => row.map((grey, x) => valueOf(grey, x, y)));
}

/** Return a source of normally distributed numbers that are the same each time, so that noise stays while a slider moves. */
function gaussian() {
  let state = 784;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

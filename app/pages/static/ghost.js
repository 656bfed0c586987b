// On the paper: what the sliders of the lab have made of a digit, over its pale original.

import { byId, colour } from "./dom.js";

const SIDE = 28;
const INK = 128; // grey value from which a pixel counts as ink

/**
 * @param {number[][]} pixels grey values of the changed digit
 * @param {number[][]} original those of the digit
 * @param {{x: number, y: number, width: number, height: number} | null} box around the digit on the paper, in its pixels
 */
export function showGhost(pixels, original, box) {
  const [red, green, blue] = colour("--ink").match(/\d+/g).map(Number);
  const image = new ImageData(SIDE, SIDE);
  pixels.flat().forEach((grey, index) => image.data.set([red, green, blue, grey], 4 * index));
  byId("ghost").getContext("2d").putImageData(image, 0, 0);
  const { clientWidth: width, clientHeight: height } = byId("paper");
  const [columns, rows] = [extent(original[0].map((_, x) => original.map((row) => row[x]))), extent(original)];
  const place = box ?? { x: (width - height) / 2, y: 0, height };
  const scale = place.height / (box ? rows.size : SIDE);
  const [left, top] = box ? [place.x - columns.first * scale, place.y - rows.first * scale] : [place.x, 0];
  Object.assign(byId("ghost").style, { left: `${(100 * left) / width}%`, top: `${(100 * top) / height}%`, width: `${(100 * SIDE * scale) / width}%` });
}

/** Return the first of the lines with ink, and how many there are to the last one. */
function extent(lines) {
  const inked = lines.map((line) => line.some((grey) => grey >= INK));
  const first = Math.max(0, inked.indexOf(true));
  return { first, size: Math.max(1, inked.lastIndexOf(true) + 1 - first) };
}

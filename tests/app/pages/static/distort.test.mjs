// What the sliders do to the pixels.

import assert from "node:assert/strict";
import { test } from "node:test";

import { distort } from "../../../../app/pages/static/distort.js";

const NONE = { turn: 0, right: 0, down: 0, size: 100, thickness: 0, noise: 0 };
const SIDE = [...Array(28).keys()];

/** Return a picture that has ink at some places, [x, y]. */
const picture = (...ink) => SIDE.map((y) => SIDE.map((x) => (ink.some(([a, b]) => a === x && b === y) ? 200 : 0)));
/** Return the places and values of the ink. */
const ink = (rows) => rows.flatMap((row, y) => row.flatMap((grey, x) => (grey > 0 ? [[x, y, grey]] : [])));

for (const [what, changes, places, expected] of [
  ["nothing", {}, [[3, 4]], [[3, 4, 200]]],
  ["a shift", { right: 2, down: -1 }, [[3, 4]], [[5, 3, 200]]],
  ["half a pixel", { right: 0.5 }, [[3, 4]], [[3, 4, 100], [4, 4, 100]]],
  ["a shift out of the picture", { right: 28 }, [[3, 4]], []],
  ["a quarter turn clockwise", { turn: 90 }, [[13, 0]], [[27, 13, 200]]],
  [
    "half the size",
    { size: 50 },
    [[0, 13], [0, 14], [27, 13], [27, 14]],
    [[7, 13, 50], [20, 13, 50], [7, 14, 50], [20, 14, 50]],
  ],
  ["thicker strokes", { thickness: 1 }, [[9, 9]], [[9, 8, 200], [8, 9, 200], [9, 9, 200], [10, 9, 200], [9, 10, 200]]],
  ["half as much", { thickness: 0.5 }, [[9, 9]], [[9, 8, 100], [8, 9, 100], [9, 9, 200], [10, 9, 100], [9, 10, 100]]],
  ["thinner strokes", { thickness: -1 }, [[9, 8], [8, 9], [9, 9], [10, 9], [9, 10]], [[9, 9, 200]]],
]) {
  test(`the pixels are changed by ${what}`, () => {
    const changed = ink(distort(picture(...places), { ...NONE, ...changes }));

    assert.deepEqual(changed, expected);
  });
}

test("noise is the same each time, has its strength, and stays between black and white", () => {
  const grey = SIDE.map(() => SIDE.map(() => 128));
  const noisy = distort(grey, { ...NONE, noise: 30 });
  const deviation = Math.sqrt(noisy.flat().reduce((sum, value) => sum + (value - 128) ** 2, 0) / 784);

  assert.deepEqual(noisy, distort(grey, { ...NONE, noise: 30 }));
  assert.ok(deviation > 25 && deviation < 35, `${deviation}`);
  const wild = distort(grey, { ...NONE, noise: 500 }).flat();
  assert.deepEqual([Math.min(...wild), Math.max(...wild)], [0, 255]);
});

// Where the boxes around digits and their labels lie, and how digits are selected by point and by key.

import assert from "node:assert/strict";
import { test } from "node:test";

import { labels, nearestTo, padded, smallestAt } from "../../../app/pages/static/boxes.js";
import { destination } from "../../../app/pages/static/number.js";

const box = (x, y, width, height, fields = {}) => ({ x, y, width, height, ...fields });
const LARGE = box(0, 0, 100, 100);
const SMALL = box(40, 40, 20, 20);

test("a box keeps a distance from its digit that is smaller for small digits", () => {
  assert.deepEqual(padded(box(50, 50, 30, 40)), box(46, 46, 38, 48));
  assert.deepEqual(padded(box(50, 50, 30, 10)), box(49, 49, 32, 12));
});

test("a point selects the smallest box that contains it, with its rim", () => {
  const at = (x, y) => smallestAt([LARGE, SMALL], { x, y });

  assert.deepEqual([at(50, 50), at(40, 60), at(39, 50), at(100, 100), at(101, 50)], [1, 1, 0, 0, -1]);
  assert.equal(smallestAt([], { x: 0, y: 0 }), -1);
});

test("a stroke belongs to the box nearest to its end", () => {
  const boxes = [box(0, 0, 10, 50), box(40, 0, 10, 50)];
  const nearest = (x, y) => nearestTo(boxes, { x, y });

  assert.deepEqual([nearest(5, 20), nearest(24, 20), nearest(26, 20), nearest(45, 90)], [0, 0, 1, 1]);
});

test("a label lies above its box, or inside of it at the edge, and never over an earlier label", () => {
  const corners = [[0, 50], [200, 19], [300, 20], [10, 45]];
  const boxes = corners.map(([x, y], index) => box(x, y, 30, 40, { text: `${index}` }));

  const places = labels([...boxes, box(400, 50, 30, 27, { text: "too low" })], () => 12);

  const shown = places.map(({ text, x, y, width, height }) => [text, x, y, width, height]);
  assert.deepEqual(shown, [["0", 0, 31, 22, 18], ["1", 200, 21, 22, 18], ["2", 300, 1, 22, 18]]);
});

test("the keys lead through the digits of a number and its lines", () => {
  // 407
  // 52
  const digits = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]].map(([line, column]) => ({ line, column }));

  for (const [key, from, to] of [
    ["ArrowRight", 2, 3],
    ["ArrowRight", 4, 4],
    ["ArrowLeft", 3, 2],
    ["ArrowLeft", 0, 0],
    ["ArrowDown", 1, 4],
    ["ArrowDown", 2, 4],
    ["ArrowDown", 4, 4],
    ["ArrowUp", 4, 1],
    ["ArrowUp", 1, 1],
    ["Home", 4, 0],
    ["End", 0, 4],
    ["Enter", 1, null],
  ]) {
    assert.equal(destination(key, digits, from), to, `${key} from ${from}`);
  }
});

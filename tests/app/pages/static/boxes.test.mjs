// Where the boxes around digits and their labels lie, and how digits are selected by point and by key.

import assert from "node:assert/strict";
import { test } from "node:test";

import { labels, nearestTo, padded, smallestAt } from "../../../../app/pages/static/boxes.js";
import { destination } from "../../../../app/pages/static/number.js";

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

test("a label lies where it hides no digit and no earlier label, and in the area", () => {
  const area = { width: 400, height: 300 };
  const place = (boxes) => labels(boxes, () => 12, area).map(({ text, x, y }) => [text, x, y]);
  const [first, close] = [box(50, 50, 20, 40, { text: "first" }), box(71, 50, 20, 40, { text: "close" })];

  for (const [what, boxes, expected] of [
    ["above", [first], [["first", 50, 31]]],
    ["below at the upper edge", [{ ...first, y: 19 }], [["first", 50, 60]]],
    ["inside between both edges", [box(50, 5, 20, 290, { text: "high" })], [["high", 50, 7]]],
    ["inside the area at the right", [{ ...first, x: 390 }], [["first", 378, 31]]],
    ["flush right beside a neighbour's label", [first, { ...close, x: 65, width: 30 }], [["first", 50, 31], ["close", 73, 31]]],
    ["below beside a neighbour's label", [first, close], [["first", 50, 31], ["close", 71, 91]]],
    ["not above a digit", [box(50, 150, 20, 40, { text: "lower" }), box(45, 120, 30, 27)], [["lower", 50, 191]]],
    ["nowhere for a low box", [box(50, 50, 30, 27, { text: "low" })], []],
    ["nowhere if all places are taken", Array(5).fill(box(50, 19, 22, 262, { text: "same" })), [["same", 50, 21]]],
  ]) {
    assert.deepEqual(place(boxes), expected, what);
  }
});

test("the keys lead through the digits of a number and its rows", () => {
  // 407
  // 52
  const digits = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]].map(([row, column]) => ({ row, column }));

  for (const [key, ...moves] of [
    ["ArrowRight", [2, 3], [4, 4]],
    ["ArrowLeft", [3, 2], [0, 0]],
    ["ArrowDown", [1, 4], [2, 4], [4, 4]],
    ["ArrowUp", [4, 1], [1, 1]],
    ["Home", [4, 0]],
    ["End", [0, 4]],
    ["Enter", [1, null]],
  ]) {
    for (const [from, to] of moves) assert.equal(destination(key, digits, from), to, `${key} from ${from}`);
  }
});

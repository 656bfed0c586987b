// Signed pictures: how strong a colour is, and where the ink ends.

import assert from "node:assert/strict";
import { test } from "node:test";

import { largest, opacity, outline } from "../../../../app/pages/static/heat.js";

const picture = (...ink) => Array.from({ length: 784 }, (_, index) => (ink.includes(index) ? 128 : 127));

test("the strongest value has full colour, weaker ones the root of their share, and a blank picture none", () => {
  const opacities = (...values) => values.map((value) => opacity(value, largest(values)));

  assert.deepEqual(opacities(0, -1, 4), [0, 0.5, 1]);
  assert.deepEqual(opacities(0, 0), [0, 0]);
  assert.equal(opacity(-9, 4), 1);
});

test("the ink's outline has the sides between ink and paper, also at the edge of the picture", () => {
  assert.deepEqual(outline(picture()), []);
  assert.deepEqual(outline(picture(0)), [[0, 0, 0, 1], [0, 0, 1, 0], [1, 0, 1, 1], [0, 1, 1, 1]]);
  assert.equal(outline(picture(782, 783)).length, 6); // the side between both is none
  assert.equal(outline(Array(784).fill(255)).length, 4 * 28);
});

// The search for the smallest change that changes an answer, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";

import { nextChange, sizeOf } from "../../../../app/pages/static/adversarial.js";
import { Network, indexOfLargest } from "../../../../app/pages/static/network.js";

// Two units, two classes: the first class gains from pixel 0, the second from pixel 1, ten times as much.
const network = new Network([Float32Array.of(1, 0, 0, 10), new Float32Array(2), Float32Array.of(1, 0, 0, 1), new Float32Array(2)]);

function search(pixels, wished) {
  let change = new Float64Array(2);
  for (let steps = 1; steps < 400; steps++) {
    change = nextChange(network, pixels, change, wished, 0.2 * steps);
    const changed = pixels.map((grey, index) => grey + change[index]);
    if (indexOfLargest(network.forward(changed).logits) === wished) return change;
  }
  return null;
}

test("the change is the smallest, and goes along the slope", () => {
  const change = search([202, 10], 1);

  // From a logit of 202 to 100, in grey values: the nearest point of the border is -102 / 101 and 1020 / 101 away.
  assert.ok(sizeOf(change) < 1.05 * sizeOf([-102 / 101, 1020 / 101]), String(change));
  assert.ok(Math.abs(change[1] / change[0] + 10) < 0.5);
});

test("no pixel becomes darker than black or lighter than white", () => {
  const change = search([3, 20], 0);

  assert.ok(3 + change[0] <= 255 && 20 + change[1] >= 0);
});

// What the page says about the answers of two networks, and about a moment of a training.

import assert from "node:assert/strict";
import { test } from "node:test";

import { agreement, moment } from "../../../app/pages/static/comparison.js";

test("two networks agree if their most probable classes are the same", () => {
  assert.equal(agreement([0.1, 0.9], [0.4, 0.6], "Version 2"), "Both say 1.");
  assert.equal(agreement([0.1, 0.9], [0.6, 0.4], "Version 2"), "This model says 1. Version 2 says 0.");
});

test("a training is counted in steps, and in epochs once one is complete", () => {
  for (const [step, epoch, words] of [
    ["0", "0", "Before its training"],
    ["50", "0.127877", "After 50 steps"],
    ["391", "1", "After epoch 1"],
    ["1955", "5", "After epoch 5"],
  ]) {
    assert.equal(moment({ step, epoch }), words);
  }
});

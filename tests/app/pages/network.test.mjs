// The network in the browser: it reads safetensors, computes what the lecture's network computes, and takes it apart.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  Network,
  arrange,
  indexOfLargest,
  largestDifference,
  neighbour,
  parseTensors,
  strongest,
} from "../../../app/pages/static/network.js";

/** Return a safetensors file of float16 values, which are given as bits. */
function safetensors(tensors, dtype = "F16") {
  const header = { __metadata__: { format: "np" } };
  let end = 0;
  for (const [name, { shape, bits }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [end, (end += 2 * bits.length)] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const bits = Object.values(tensors).flatMap((tensor) => tensor.bits);
  const file = new Uint8Array(8 + text.length + 2 * bits.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(new Uint8Array(Uint16Array.from(bits).buffer), 8 + text.length);
  return file.buffer;
}

const tensor = (shape, values) => ({ shape, values: Float32Array.from(values) });

const OUTPUT_BIAS = [0.25, 0, -0.25];

// 3 pixels, 2 units, 3 classes
const network = new Network({
  "hidden.kernel": tensor([3, 2], [1, -1, 2, 0, -1, 3]),
  "hidden.bias": tensor([2], [0.5, -1]),
  "probabilities.kernel": tensor([2, 3], [2, 1, -1, 0, 3, 1]),
  "probabilities.bias": tensor([3], OUTPUT_BIAS),
});
const pass = network.forward([255, 0, 127.5]);

test("safetensors are read whatever the length of the header", () => {
  const bits = [0x0000, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x0001, 0x8400, 0xfc00];

  for (const name of ["a", "ab"]) {
    const { [name]: read, other } = parseTensors(safetensors({ [name]: { shape: [2, 4], bits }, other: { shape: [1], bits: [0x3c00] } }));

    assert.deepEqual(read.shape, [2, 4]);
    assert.deepEqual([...read.values], [0, 1, -2, 0.333251953125, 65504, 2 ** -24, -(2 ** -14), -Infinity]);
    assert.deepEqual([...other.values], [1]);
  }
  assert.throws(() => parseTensors(safetensors({ a: { shape: [1], bits: [0] } }, "BF16")), /expected float16, received BF16 for a/);
});

test("the forward pass is a dense layer with relu, and one with softmax", () => {
  assert.deepEqual([...pass.sums], [1, -0.5]);
  assert.deepEqual([...pass.hidden], [1, 0]);
  assert.deepEqual([...pass.logits], [2.25, 1, -1.25]);
  const odds = [2.25, 1, -1.25].map(Math.exp);
  assert.ok(largestDifference(pass.probabilities, odds.map((each) => each / (odds[0] + odds[1] + odds[2]))) < 1e-12);
});

test("the evidence of all units, or of all pixels with the biases, is the difference of two logits", () => {
  const both = network.forward([0, 0, 127.5]); // units 0 and 1: 0 and 0.5
  const favoured = OUTPUT_BIAS[1] - OUTPUT_BIAS[0];
  const sum = (values) => values.reduce((a, b) => a + b);

  for (const each of [pass, both]) {
    const difference = each.logits[1] - each.logits[0];
    assert.equal(sum(network.unitEvidence(each, 1, 0)) + favoured, difference);
    const biases = sum(each.hidden.map((h, unit) => (h > 0 ? network.bias(unit) * (network.outputWeights(unit)[1] - network.outputWeights(unit)[0]) : 0)));
    assert.equal(sum(network.pixelEvidence(each, 1, 0)) + biases + favoured, difference);
  }
  assert.deepEqual([...network.weights(1)], [-1, 0, 3]);
});

test("units are ranked by their evidence, with their share of all of it", () => {
  const { supporting, opposing } = strongest([1, -2, 0, 4, -1], 1);

  assert.deepEqual(supporting, [{ unit: 3, value: 4, share: 0.5 }]);
  assert.deepEqual(opposing, [{ unit: 1, value: -2, share: 0.25 }]);
  assert.deepEqual(strongest([0, 0], 8), { supporting: [], opposing: [] });
});

test("the largest value and the second are found", () => {
  assert.deepEqual([indexOfLargest([1, 3, 2]), indexOfLargest([1, 3, 2], 1), indexOfLargest([3, 3], 0)], [1, 2, 1]);
});

test("dots are grouped by the class that a unit supports most, and keys lead from dot to dot", () => {
  assert.deepEqual(network.groups(), [[0], [1], []]);
  // 5 6
  // 7
  // 8 9
  const { places, rows } = arrange([[5, 6, 7], [8, 9], []], 2);

  assert.equal(rows, 4);
  assert.deepEqual(places.map(({ unit, group, column, row }) => [unit, group, column, row]), [
    [5, 0, 0, 0],
    [6, 0, 1, 0],
    [7, 0, 0, 1],
    [8, 1, 0, 2],
    [9, 1, 1, 2],
  ]);
  for (const [key, from, to] of [
    ["ArrowRight", 1, 2],
    ["ArrowRight", 4, 4],
    ["ArrowLeft", 0, 0],
    ["ArrowDown", 1, 2],
    ["ArrowDown", 4, 4],
    ["ArrowUp", 4, 2],
    ["Home", 3, 0],
    ["End", 0, 4],
    ["Enter", 0, null],
  ]) {
    assert.equal(neighbour(key, places, from), to, `${key} from ${from}`);
  }
});

// The network in the browser: it reads safetensors, computes what the lecture's network computes, and takes it apart.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Network, arrange, largestDifference } from "../../../../app/pages/static/network.js";
import { parseTensors, strongest } from "../../../../app/pages/static/network.js";

/** Return a safetensors file. The values are float16 numbers, given as bits, or other ones of one byte. */
function safetensors(tensors) {
  const header = { __metadata__: { format: "np" } };
  const bytes = [];
  for (const [name, { dtype = "F16", shape, bits }] of Object.entries(tensors)) {
    const start = bytes.length;
    bytes.push(...new Uint8Array((dtype === "F16" ? Uint16Array : Int8Array).from(bits).buffer));
    header[name] = { dtype, shape, data_offsets: [start, bytes.length] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + bytes.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(bytes, 8 + text.length);
  return file.buffer;
}

const OUTPUT_BIAS = [0.25, 0, -0.25];

// 3 pixels, 2 units, 3 classes
const tensors = {
  "hidden.kernel": Float32Array.of(1, -1, 2, 0, -1, 3),
  "hidden.bias": Float32Array.of(0.5, -1),
  "probabilities.kernel": Float32Array.of(2, 1, -1, 0, 3, 1),
  "probabilities.bias": Float32Array.from(OUTPUT_BIAS),
};
const network = Network.of(tensors);
const pass = network.forward([255, 0, 127.5]);

test("safetensors are read whatever the length of the header", () => {
  const bits = [0x0000, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x0001, 0x8400, 0xfc00];

  for (const name of ["a", "ab"]) {
    const { [name]: read, small, other, ...more } = parseTensors(
      safetensors({ [name]: { shape: [2, 4], bits }, small: { dtype: "I8", shape: [3], bits: [-128, 0, 127] }, other: { shape: [1], bits: [0x3c00] } }),
    );

    assert.deepEqual([...read], [0, 1, -2, 0.333251953125, 65504, 2 ** -24, -(2 ** -14), -Infinity]);
    assert.deepEqual([...small], [-128, 0, 127]);
    assert.deepEqual([...other], [1]);
    assert.deepEqual(more, {}); // and no metadata
  }
  const unknown = safetensors({ a: { dtype: "BF16", shape: [1], bits: [0] } });
  assert.throws(() => parseTensors(unknown), /expected float16 or int8, received BF16 for a/);
});

test("small weights have a scale for each unit", () => {
  const scaled = Network.of({ ...tensors, "hidden.scale": Float32Array.of(0.5, 2) });

  assert.deepEqual([0, 1].map((unit) => [...scaled.weights(unit)]), [[0.5, 1, -0.5], [-2, 0, 6]]);
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

test("dots are grouped by the class that a unit supports most", () => {
  assert.deepEqual(network.groups(), [[0], [1], []]);
  // 5 6
  // 7
  // 8 9
  const { places, rows } = arrange([[5, 6, 7], [8, 9], []], 2);

  assert.equal(rows, 4);
  const placed = places.map(({ unit, group, column, row }) => [unit, group, column, row]);
  assert.deepEqual(placed, [[5, 0, 0, 0], [6, 0, 1, 0], [7, 0, 0, 1], [8, 1, 0, 2], [9, 1, 1, 2]]);
});

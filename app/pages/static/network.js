// The model's dense network in the browser: its layers from a safetensors file, its forward pass, and what each unit does.

const NAMES = ["hidden.kernel", "hidden.bias", "probabilities.kernel", "probabilities.bias"];

const DECODERS = {
  F16: (bytes) => Float32Array.from(new Uint16Array(bytes), float16),
  I8: (bytes) => Float32Array.from(new Int8Array(bytes)),
};

/**
 * Parse a file in the format of safetensors: the length of a JSON header, the header, the values (float16 or int8).
 *
 * @param {ArrayBuffer} file
 * @returns {Record<string, Float32Array>}
 */
export function parseTensors(file) {
  const start = 8 + Number(new DataView(file).getBigUint64(0, true));
  const { __metadata__: _, ...header } = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, start - 8)));
  const tensors = Object.entries(header).map(([name, { dtype, data_offsets: [from, to] }]) => {
    if (!(dtype in DECODERS)) throw new TypeError(`expected float16 or int8, received ${dtype} for ${name}`);
    return [name, DECODERS[dtype](file.slice(start + from, start + to))];
  });
  return Object.fromEntries(tensors);
}

/** Return the value of a half-precision number (IEEE 754 binary16). */
function float16(bits) {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** A dense layer with relu and a dense layer with softmax. Weights are row by row: a row for each input of a layer. */
export class Network {
  #kernel;
  #bias;
  #outputKernel;
  #outputBias;

  /** @param {Float32Array[]} weights kernel and bias of the hidden layer, then of the outputs */
  constructor(weights) {
    [this.#kernel, this.#bias, this.#outputKernel, this.#outputBias] = weights;
    this.units = this.#bias.length;
    this.classes = this.#outputBias.length;
    this.inputs = this.#kernel.length / this.units;
  }

  /** @param {ReturnType<typeof parseTensors>} tensors whose hidden kernel may be int8, with a scale for each unit */
  static of(tensors) {
    const [kernel, bias, ...outputs] = NAMES.map((name) => tensors[name]);
    const scale = tensors["hidden.scale"];
    return new Network([scale ? kernel.map((weight, index) => weight * scale[index % bias.length]) : kernel, bias, ...outputs]);
  }

  /**
   * @param {ArrayLike<number>} pixels grey values from 0 to 255
   * @returns {{x: Float64Array, sums: Float64Array, hidden: Float64Array, logits: Float64Array,
   *   probabilities: Float64Array}} `x` from 0 to 1; `sums` with the bias, before relu
   */
  forward(pixels) {
    const x = Float64Array.from(pixels, (grey) => grey / 255);
    const sums = dense(x, this.#kernel, this.#bias);
    const hidden = sums.map((sum) => Math.max(sum, 0));
    const logits = dense(hidden, this.#outputKernel, this.#outputBias);
    return { x, sums, hidden, logits, probabilities: softmax(logits) };
  }

  /** Return the weights of a unit, one for each pixel. */
  weights(unit) {
    const weights = new Float32Array(this.inputs);
    for (let pixel = 0; pixel < this.inputs; pixel++) weights[pixel] = this.#kernel[pixel * this.units + unit];
    return weights;
  }

  bias(unit) {
    return this.#bias[unit];
  }

  /** Return the weight of a unit in each output. */
  outputWeights(unit) {
    return this.#outputKernel.subarray(unit * this.classes, (unit + 1) * this.classes);
  }

  /** Return how much each unit adds to the difference of two logits. What it adds to all logits alike does not count. */
  unitEvidence({ hidden }, best, rival) {
    const [kernel, classes] = [this.#outputKernel, this.classes];
    return hidden.map((activation, unit) => activation * (kernel[unit * classes + best] - kernel[unit * classes + rival]));
  }

  /**
   * Return by how much a sum of logits changes with each pixel, through all units that are active.
   *
   * @param {ReturnType<Network["forward"]>} pass
   * @param {ArrayLike<number>} shares of each logit in the sum
   */
  slope({ hidden }, shares) {
    const effects = hidden.map((activation, unit) => {
      if (activation === 0) return 0;
      return this.outputWeights(unit).reduce((sum, weight, index) => sum + shares[index] * weight, 0);
    });
    const active = [...effects.keys()].filter((unit) => effects[unit] !== 0);
    return Float64Array.from({ length: this.inputs }, (_, pixel) => {
      let sum = 0;
      for (const unit of active) sum += effects[unit] * this.#kernel[pixel * this.units + unit];
      return sum;
    });
  }

  /** Return how much each pixel adds to the difference of two logits. */
  pixelEvidence(pass, best, rival) {
    const shares = Array.from({ length: this.classes }, (_, index) => Number(index === best) - Number(index === rival));
    return this.slope(pass, shares).map((slope, pixel) => slope * pass.x[pixel]);
  }

  /** Return the units in groups: a list for each class of the units that support it most, the strongest first. */
  groups() {
    const groups = Array.from({ length: this.classes }, () => []);
    for (let unit = 0; unit < this.units; unit++) {
      const weights = this.outputWeights(unit);
      const most = Math.max(...weights);
      const mean = weights.reduce((sum, weight) => sum + weight, 0) / this.classes;
      groups[weights.indexOf(most)].push({ unit, strength: most - mean });
    }
    return groups.map((group) => group.sort((a, b) => b.strength - a.strength).map(({ unit }) => unit));
  }
}

/** Return the `count` units with the largest evidence for and against, the strongest first, with their share of all. */
export function strongest(evidence, count) {
  const total = evidence.reduce((sum, value) => sum + Math.abs(value), 0) || 1;
  const ranked = Array.from(evidence, (value, unit) => ({ unit, value, share: Math.abs(value) / total }))
    .filter(({ value }) => value !== 0)
    .sort((a, b) => b.value - a.value);
  return {
    supporting: ranked.filter(({ value }) => value > 0).slice(0, count),
    opposing: ranked.filter(({ value }) => value < 0).slice(-count).reverse(),
  };
}

/** Return the index of the largest value, apart from that of `without`. */
export function indexOfLargest(values, without = -1) {
  return values.reduce((best, value, index) => (index !== without && !(value <= values[best]) ? index : best), -1);
}

/** Return the largest difference between the probabilities of this page and those of the service. */
export function largestDifference(probabilities, expected) {
  return probabilities.reduce((most, p, index) => Math.max(most, Math.abs(p - expected[index])), 0);
}

/** Return where each unit has its dot: groups begin a row, and long groups go on in the next one. */
export function arrange(groups, columns) {
  let row = 0;
  const places = groups.flatMap((group, index) => {
    const first = row;
    row += Math.max(1, Math.ceil(group.length / columns));
    return group.map((unit, at) => ({ unit, group: index, column: at % columns, row: first + Math.floor(at / columns) }));
  });
  return { places, rows: row };
}

function dense(inputs, kernel, bias) {
  const sums = Float64Array.from(bias);
  for (let input = 0, row = 0; input < inputs.length; input++, row += sums.length) {
    const value = inputs[input];
    if (value === 0) continue; // most pixels
    for (let output = 0; output < sums.length; output++) sums[output] += value * kernel[row + output];
  }
  return sums;
}

function softmax(logits) {
  const largest = Math.max(...logits);
  const odds = logits.map((logit) => Math.exp(logit - largest));
  const sum = odds.reduce((a, b) => a + b);
  return odds.map((each) => each / sum);
}

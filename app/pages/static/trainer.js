// Trains the lecture's network by hand: a hidden layer with relu, outputs with softmax, and RMSprop as Keras has it.

import { Network } from "./network.js";

const [PIXELS, CLASSES] = [784, 10];
const [DECAY, EPSILON] = [0.9, 1e-7]; // Keras' `rho` and `epsilon`

/** Weights are row by row: a row for each input of a layer. */
export class Trainer {
  #gradients;
  #squares; // a running mean of each weight's squared gradient
  #errors; // what a picture's loss changes by with each hidden unit

  /** @param {Float32Array[]} weights kernel and bias of the hidden layer, then of the outputs */
  constructor(weights) {
    this.weights = weights;
    this.network = new Network(weights);
    [this.#gradients, this.#squares] = [0, 1].map(() => weights.map(({ length }) => new Float32Array(length)));
    this.#errors = new Float32Array(this.network.units);
  }

  /**
   * Learn from a batch.
   *
   * @param {ArrayLike<number>[]} pictures
   * @param {number[]} labels
   * @param {number} learningRate
   * @returns {{loss: number, hits: number}} the mean loss, and how many answers were right, both before this step
   */
  step(pictures, labels, learningRate) {
    for (const gradient of this.#gradients) gradient.fill(0);
    let [loss, hits] = [0, 0];
    pictures.forEach((pixels, index) => {
      const pass = this.network.forward(pixels);
      const probability = pass.probabilities[labels[index]];
      loss += crossEntropy(probability) / pictures.length;
      if (probability === Math.max(...pass.probabilities)) hits++;
      this.#backward(pass, labels[index], 1 / pictures.length);
    });
    this.weights.forEach((weights, index) => descend(weights, this.#gradients[index], this.#squares[index], learningRate));
    return { loss, hits };
  }

  /** Add a picture's share of the gradients, from the outputs back to the pixels. */
  #backward({ x, hidden, probabilities }, label, share) {
    const [kernel, bias, outputKernel, outputBias] = this.#gradients;
    const [errors, units, outputWeights] = [this.#errors, this.network.units, this.weights[2]];
    // The loss's derivative by the logits: the probabilities, less 1 for the right class.
    const outputErrors = probabilities.map((p, digit) => share * (p - Number(digit === label)));
    addRow(outputBias, 0, outputErrors, 1);
    for (let unit = 0; unit < units; unit++) {
      errors[unit] = 0;
      if (hidden[unit] === 0) continue; // relu's derivative is 0
      addRow(outputKernel, unit * CLASSES, outputErrors, hidden[unit]);
      for (let digit = 0; digit < CLASSES; digit++) errors[unit] += outputErrors[digit] * outputWeights[unit * CLASSES + digit];
    }
    addRow(bias, 0, errors, 1);
    for (let pixel = 0; pixel < PIXELS; pixel++) {
      if (x[pixel] > 0) addRow(kernel, pixel * units, errors, x[pixel]); // most are 0
    }
  }
}

/** Return fresh weights as Keras makes them: uniform within a limit by the size of the layer (Glorot and Bengio 2010). */
export function freshWeights(units) {
  const uniform = (inputs, outputs) => {
    const limit = Math.sqrt(6 / (inputs + outputs));
    return Float32Array.from({ length: inputs * outputs }, () => limit * (2 * Math.random() - 1));
  };
  return [uniform(PIXELS, units), new Float32Array(units), uniform(units, CLASSES), new Float32Array(CLASSES)];
}

/** Return the loss of the right class's probability, which is finite as in Keras. */
export function crossEntropy(probability) {
  return -Math.log(Math.max(probability, EPSILON));
}

/** Add a multiple of numbers to a row of sums. */
function addRow(sums, start, numbers, factor) {
  for (let index = 0; index < numbers.length; index++) sums[start + index] += factor * numbers[index];
}

/** RMSprop: divide each gradient by the root of the running mean of its square. */
function descend(weights, gradients, squares, learningRate) {
  for (let index = 0; index < weights.length; index++) {
    const gradient = gradients[index];
    squares[index] = DECAY * squares[index] + (1 - DECAY) * gradient * gradient;
    weights[index] -= (learningRate * gradient) / Math.sqrt(squares[index] + EPSILON);
  }
}

// Requests for readings, at most one in flight. The reply for an older picture never replaces that for a newer one.

import { fetchWithKey } from "./api_key.js";
import { withDoubt } from "./verdict.js";

const DEBOUNCE_MS = 150;
const PATIENCE_MS = 400; // after this time a request is cancelled if a newer picture waits
const TIMEOUT_MS = 30_000;
const RETRY_SECONDS = { first: 1, max: 30 };
const OTHER_CLASSES = 501; // the status of `POST /read` if the model's classes are not the digits
const TEMPORARY = [0, 429, 502, 503, 504]; // statuses after which the request is repeated

/** A failed request. `status` is the HTTP status, 0 if the service cannot be reached, or -1 after a timeout. */
export class Problem extends Error {
  constructor(status, detail = "", retryAfter = null) {
    super(detail);
    this.status = status;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }
}

/** How long to wait before a failed request is repeated: twice as long each time, and as long as the service asks. */
export class Backoff {
  #seconds = RETRY_SECONDS.first;

  /** An answer has arrived, so the next wait is the first again. */
  reset() {
    this.#seconds = RETRY_SECONDS.first;
  }

  /** @returns {number | null} milliseconds, or null if repeating the request would not help */
  after({ status, retryAfter }) {
    if (!TEMPORARY.includes(status)) return null;
    const seconds = Math.min(RETRY_SECONDS.max, Math.max(retryAfter ?? 0, this.#seconds));
    this.#seconds = Math.min(RETRY_SECONDS.max, 2 * this.#seconds);
    return 1000 * seconds;
  }
}

export class ReadingRequests {
  #next = null; // the picture of the next request
  #timer;
  #waitsFor = null; // the purpose of the timer: "debounce", "patience" or "retry"
  #inFlight = null; // the AbortController of the current request; replies to others are ignored
  #sentAt = 0;
  #backoff = new Backoff();
  #hasDigits = true; // whether the last answer was about digits, so that it is worth reading numbers
  #onReading;
  #onProblem;

  /**
   * @param {(reading: object, milliseconds: number) => void} onReading called with the reply of `POST /read`, and for
   *   one digit again with the fields of `POST /predict`
   * @param {(problem: Problem, retries: boolean) => void} onProblem `retries` is true if the request is repeated
   */
  constructor(onReading, onProblem) {
    this.#onReading = onReading;
    this.#onProblem = onProblem;
  }

  /**
   * Request a reading after a short delay. It replaces a request that still waits.
   *
   * @param {() => Promise<Content & {isUnfinished: boolean}>} picture called when the request is sent,
   *   so that the newest picture is sent. An unfinished drawing is sent to `POST /predict` alone: it is answered five
   *   times as fast, and `POST /read` may cut half a digit into several.
   * @param {{now?: boolean}} options `now` sends immediately and cancels a request in flight
   */
  request(picture, { now = false } = {}) {
    if (now) this.cancel();
    this.#next = picture;
    this.#backoff.reset();
    if (this.#waitsFor === null || this.#waitsFor === "retry") this.#wait("debounce", now ? 0 : DEBOUNCE_MS);
  }

  /** Cancel all requests. */
  cancel() {
    clearTimeout(this.#timer);
    this.#waitsFor = null;
    this.#next = null;
    this.#inFlight?.abort();
    this.#inFlight = null;
  }

  #wait(reason, milliseconds) {
    clearTimeout(this.#timer);
    this.#waitsFor = reason;
    this.#timer = setTimeout(() => this.#send(), milliseconds);
  }

  async #send() {
    const age = performance.now() - this.#sentAt;
    // Let a young request finish. On a slow network no answer would otherwise arrive while somebody draws.
    if (this.#inFlight !== null && age < PATIENCE_MS) {
      this.#wait("patience", PATIENCE_MS - age);
      return;
    }
    this.#waitsFor = null;
    this.#inFlight?.abort();
    const picture = this.#next;
    const controller = new AbortController();
    this.#next = null;
    this.#inFlight = controller;
    this.#sentAt = performance.now();
    let problem = null;
    try {
      const content = await picture();
      let reading = null;
      if (!content.isUnfinished && this.#hasDigits) {
        const start = performance.now();
        reading = await read("include=pixels", content, controller);
        if (this.#inFlight !== controller) return;
        this.#backoff.reset();
        if (reading) this.#onReading(withDoubt(reading), performance.now() - start);
      }
      if (reading === null || reading.digits.length === 1) {
        const start = performance.now();
        const prediction = await post("predict?include=pixels", content, controller);
        if (this.#inFlight !== controller) return;
        this.#hasDigits = prediction.class_name === undefined;
        this.#backoff.reset();
        this.#onReading(withPrediction(reading, prediction, content), performance.now() - start);
      }
    } catch (error) {
      if (this.#inFlight !== controller) return;
      if (!(error instanceof Problem)) throw error;
      problem = error;
    }
    this.#inFlight = null;
    if (problem !== null) this.#fail(problem, picture);
    else if (this.#waitsFor === "patience") this.#wait("debounce", 0);
  }

  #fail(problem, picture) {
    const milliseconds = this.#backoff.after(problem);
    if (this.#next !== null) {
      this.#backoff.reset();
      this.#wait("debounce", DEBOUNCE_MS);
    } else if (milliseconds !== null) {
      this.#next = picture;
      this.#wait("retry", milliseconds);
    }
    this.#onProblem(problem, milliseconds !== null);
  }
}

/** Return the reading of one digit with the fields of its prediction, which has the preprocessing too. */
function withPrediction(reading, prediction, { isUnfinished }) {
  const digit = { line: 0, ...reading?.digits[0], ...prediction, isUnfinished };
  const { accept, marks } = reading ?? { ...prediction, marks: [] };
  const { doubts, ink, model } = prediction;
  return withDoubt({ digits: [digit], marks, doubts, accept, model, ink });
}

/**
 * Ask about 28x28 grey values as they are.
 *
 * @param {number[][]} pixels
 * @param {AbortController} controller
 * @param {string} more of the query, such as "&include=saliency"
 * @returns {Promise<any>} the reply of `POST /predict`
 * @throws {Problem}
 */
export function askAboutPixels(pixels, controller, more = "") {
  return post(`predict?normalize=never${more}`, { body: JSON.stringify({ pixels }), type: "application/json" }, controller);
}

/**
 * @typedef {object} Content a picture to read
 * @property {Blob} body
 * @property {string} type
 * @property {boolean} [ignoresSeparators] whether separators between digits do not change `accept`
 */

/**
 * Ask `POST /read` about a picture.
 *
 * @param {string} query such as "include=pixels"
 * @param {Content} content
 * @param {AbortController} controller
 * @returns {Promise<object | null>} the reply with `ignoresSeparators`, or null if the model's classes are not the digits
 * @throws {Problem}
 */
export async function read(query, content, controller) {
  const { ignoresSeparators } = content;
  const parameters = [query, ignoresSeparators && "marks=ignore"].filter(Boolean).join("&");
  try {
    return { ...(await post(`read${parameters && "?"}${parameters}`, content, controller)), ignoresSeparators };
  } catch (problem) {
    if (problem.status === OTHER_CLASSES) return null;
    throw problem;
  }
}

/**
 * Send a picture, as `read` does, to any path, and return the reply.
 *
 * @param {string} path
 * @param {{body: BodyInit, type: string}} content
 * @param {AbortController} controller
 */
export async function post(path, { body, type }, controller) {
  const timeout = setTimeout(() => controller.abort(new DOMException("no answer", "TimeoutError")), TIMEOUT_MS);
  let reply;
  let text;
  try {
    reply = await fetchWithKey(path, {
      method: "POST",
      body,
      headers: { "Content-Type": type, Accept: "application/json" },
      signal: controller.signal,
    });
    text = await reply.text();
  } catch (error) {
    throw new Problem(error.name === "TimeoutError" ? -1 : 0);
  } finally {
    clearTimeout(timeout);
  }
  const answer = parseJson(text);
  if (!reply.ok || !answer?.model) {
    const seconds = Number.parseInt(reply.headers.get("Retry-After") ?? "", 10);
    throw new Problem(reply.ok ? 502 : reply.status, answer?.detail ?? "", Number.isNaN(seconds) ? null : seconds);
  }
  return answer;
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // for example the HTML page of a proxy
  }
}

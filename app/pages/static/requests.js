// Questions to the service, at most one on its way: a newer picture takes the place of an older, never the reverse.

import { ask } from "./key.js";

const DEBOUNCE = 150; // ms
const PATIENCE = 400; // ms that an answer may take before the newer picture that waits is asked about instead
const TIMEOUT = 30_000; // ms
const RETRY = { first: 1, most: 30 }; // seconds
const PASSING = [0, 429, 502, 503, 504]; // asked again without being told to

/** Why there is no answer. status: HTTP's, 0 when the service cannot be reached, -1 when it took too long. */
export class Problem extends Error {
  constructor(status, detail = "", retryAfter = null) {
    super(detail);
    Object.assign(this, { status, detail, retryAfter });
  }
}

export class Questions {
  #wanted = null; // what is to be asked next
  #timer;
  #waitsFor = null; // what the timer is for: "debounce", "patience" or "retry"
  #flight = null; // of the question that is on its way, and whose answer alone counts
  #sent = 0;
  #retrySeconds = RETRY.first;
  #answered;
  #failed;

  /**
   * @param {(answer: object, milliseconds: number) => void} answered
   * @param {(problem: Problem, again: boolean) => void} failed again: it will be asked again by itself
   */
  constructor(answered, failed) {
    this.#answered = answered;
    this.#failed = failed;
  }

  /**
   * Ask about a picture a moment from now; whatever was to be asked is forgotten.
   *
   * @param {() => Promise<{body: Blob, type: string, include: string}>} picture called when it is sent, so that it is
   *   the newest; `include` is what to reply besides the prediction
   * @param {{now?: boolean}} how now: at once, in place of what is on its way
   */
  ask(picture, { now = false } = {}) {
    if (now) this.forget();
    this.#wanted = picture;
    this.#retrySeconds = RETRY.first;
    if (this.#waitsFor === null || this.#waitsFor === "retry") this.#wait("debounce", now ? 0 : DEBOUNCE);
  }

  /** No answer is wanted any more. */
  forget() {
    clearTimeout(this.#timer);
    this.#waitsFor = null;
    this.#wanted = null;
    this.#flight?.abort();
    this.#flight = null;
  }

  #wait(reason, milliseconds) {
    clearTimeout(this.#timer);
    this.#waitsFor = reason;
    this.#timer = setTimeout(() => this.#send(), milliseconds);
  }

  async #send() {
    const age = performance.now() - this.#sent;
    // Not cut off at once: where the network is slower than the hand, no answer would come before the hand rests.
    if (this.#flight !== null && age < PATIENCE) {
      this.#wait("patience", PATIENCE - age);
      return;
    }
    this.#waitsFor = null;
    this.#flight?.abort();
    const picture = this.#wanted;
    const flight = new AbortController();
    this.#wanted = null;
    this.#flight = flight;
    this.#sent = performance.now();
    let problem = null;
    try {
      const question = await picture();
      const start = performance.now();
      const answer = await predict(question, flight);
      if (this.#flight !== flight) return;
      this.#retrySeconds = RETRY.first;
      this.#answered(answer, performance.now() - start);
    } catch (error) {
      if (this.#flight !== flight) return;
      if (!(error instanceof Problem)) throw error;
      problem = error;
    }
    this.#flight = null;
    if (problem !== null) this.#fail(problem, picture);
    else if (this.#waitsFor === "patience") this.#wait("debounce", 0);
  }

  #fail(problem, picture) {
    const again = PASSING.includes(problem.status);
    if (this.#wanted !== null) {
      this.#wait("debounce", DEBOUNCE);
    } else if (again) {
      const seconds = Math.max(problem.retryAfter ?? 0, this.#retrySeconds);
      this.#retrySeconds = Math.min(RETRY.most, 2 * this.#retrySeconds);
      this.#wanted = picture;
      this.#wait("retry", 1000 * Math.min(RETRY.most, seconds));
    }
    this.#failed(problem, again);
  }
}

async function predict({ body, type, include }, flight) {
  const timeout = setTimeout(() => flight.abort(new DOMException("no answer", "TimeoutError")), TIMEOUT);
  let reply;
  let text;
  try {
    reply = await ask(`predict?include=${include}`, {
      method: "POST",
      body,
      headers: { "Content-Type": type, Accept: "application/json" },
      signal: flight.signal,
    });
    text = await reply.text();
  } catch (error) {
    throw new Problem(error.name === "TimeoutError" ? -1 : 0);
  } finally {
    clearTimeout(timeout);
  }
  const answer = parsed(text);
  if (!reply.ok || !Array.isArray(answer?.probabilities)) {
    const seconds = Number.parseInt(reply.headers.get("Retry-After") ?? "", 10);
    throw new Problem(reply.ok ? 502 : reply.status, answer?.detail ?? "", Number.isNaN(seconds) ? null : seconds);
  }
  return answer;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // the page of something that stands in between
  }
}

// A queue of items that the service is asked about, a few at a time, until each has an answer or a final problem.

import { Backoff, Problem } from "./requests.js";

const AT_ONCE = 3; // a browser keeps six connections to a host, and the paper needs one too
const KEY_MISSING = 401;

export class Queue {
  #waiting = [];
  #asked = new Map(); // the AbortController of each request in flight, with its item; what others end with is ignored
  #backoff = new Backoff();
  #timer = null; // of the pause after a temporary problem
  isStopped = false; // whether nothing is asked until `resume`: after `stop`, or because the API key is missing
  problem = null; // the one that keeps all items waiting
  #ask;
  #onProblem;
  #onChange;

  /**
   * @param {(item: object, controller: AbortController) => Promise<void>} ask throws a Problem if there is no answer
   * @param {(item: object, problem: Problem) => void} onProblem called if asking again would not help
   * @param {() => void} onChange called whenever the state below has changed
   */
  constructor(ask, onProblem, onChange) {
    [this.#ask, this.#onProblem, this.#onChange] = [ask, onProblem, onChange];
  }

  /** Whether items are left. */
  get isBusy() {
    return this.#waiting.length + this.#asked.size > 0;
  }

  /** Append items, and go on if the queue was stopped. */
  add(items) {
    this.#waiting.push(...items);
    this.resume();
  }

  /** Cancel the requests in flight. Their items wait again. */
  stop() {
    this.#halt();
    this.problem = null;
    this.#onChange();
  }

  resume() {
    this.isStopped = false;
    this.#next();
  }

  /** Forget all items. */
  clear() {
    this.#halt();
    this.#waiting = [];
    this.problem = null;
    this.isStopped = false;
  }

  #halt() {
    this.isStopped = true;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#waiting.unshift(...this.#asked.values());
    const controllers = [...this.#asked.keys()];
    this.#asked.clear();
    for (const controller of controllers) controller.abort();
  }

  #next() {
    while (!this.isStopped && this.#timer === null && this.#asked.size < AT_ONCE && this.#waiting.length > 0) {
      this.#send(this.#waiting.shift());
    }
    this.#onChange();
  }

  async #send(item) {
    const controller = new AbortController();
    this.#asked.set(controller, item);
    let problem = null;
    try {
      await this.#ask(item, controller);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problem = error;
    }
    if (!this.#asked.delete(controller)) return;
    if (problem === null) {
      this.#backoff.reset();
      this.problem = null;
    } else {
      this.#fail(item, problem);
    }
    this.#next();
  }

  #fail(item, problem) {
    if (problem.status === KEY_MISSING) {
      this.#waiting.unshift(item);
      this.#halt();
      this.problem = problem;
      return;
    }
    // The requests in flight with this one probably fail too, and do not make the pause longer.
    const milliseconds = (this.#timer === null ? this.#backoff : new Backoff()).after(problem);
    if (milliseconds === null) {
      this.#onProblem(item, problem);
      return;
    }
    this.#waiting.push(item); // after all others, which may be answered
    this.problem = problem;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#next();
    }, milliseconds);
  }
}

// The networks beside the served one: the lecture's, which is loaded once a panel needs it, and the visitor's own.

import { loadNetwork } from "./layers.js";
import { Network } from "./network.js";

export class Others {
  own = null; // as far as it is trained
  lecture = null;
  state = ""; // why the lecture's network is not there
  #asked = null; // the digit for which it was asked for last
  #isLoading = false;
  #onChange;

  /** @param {() => void} onChange called when there is a network or a state to show */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** The one that is compared with the served network, and its name. */
  get rival() {
    return this.own ? { name: "Your network", network: this.own } : { name: "The lecture's network", network: this.lecture };
  }

  /**
   * Load the lecture's network unless it is there. After a failure, another digit tries again.
   *
   * @param {object} digit that is shown
   */
  async load(digit) {
    if (this.lecture !== null || this.#isLoading || this.#asked === digit) return;
    [this.#isLoading, this.#asked] = [true, digit];
    const url = new URL("lecture.safetensors", import.meta.url).href;
    const network = await loadNetwork(url, "the lecture's network", (words) => this.#say(words));
    this.#isLoading = false;
    if (network instanceof Network) this.lecture = network;
    this.#say(this.lecture ? "" : "The lecture's network could not be loaded. Your next stroke tries again.");
  }

  #say(words) {
    this.state = words;
    this.#onChange();
  }
}

// The lecture mode: the whole width in large type, for a room. It uses the full screen where the browser allows that.

import { loadStyle } from "./style_sheets.js";

export class Lecture {
  #onChange;

  /** @param {(isOn: boolean) => void} onChange called when the mode was switched */
  constructor(onChange) {
    this.#onChange = onChange;
    // The browser itself leaves the full screen with Escape, and the page hears of it only here.
    document.addEventListener("fullscreenchange", () => document.fullscreenElement ?? this.switch(false));
  }

  get isOn() {
    return document.documentElement.classList.contains("lecture");
  }

  /** @param {boolean} isOn */
  async switch(isOn) {
    if (isOn === this.isOn) return;
    document.documentElement.classList.toggle("lecture", isOn);
    if (isOn) loadStyle("lecture.css");
    this.#onChange(isOn);
    // A browser refuses the full screen without a click or a key, and some do not have it. The mode works without it.
    if (isOn) await document.documentElement.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) await document.exitFullscreen();
  }
}

/** Whether a key press enters text, so that it is no command. */
export function isTyping({ target }) {
  return target.closest?.("input:not([type=range]), textarea, select, [contenteditable]") != null;
}

// A stack of pictures: a table that fills while the service reads them, in which a person corrects what it doubts.

import { NotAPicture, preparePicture } from "./pictures.js";
import { Queue } from "./queue.js";
import { post, read } from "./requests.js";
import { answered, corrected, failed, toCsv } from "./rows.js";
import { download } from "./take.js";
import { problemSentence } from "./verdict.js";

const THUMBNAIL = 88; // pixels, twice its size on the page
const ANNOUNCEMENTS = 4; // of the progress, to screen readers

const byId = (id) => document.getElementById(id);

export class Stack {
  #rows = []; // {file, reading, result, element}; `result` is the reading, or what a person has made of it
  #queue = new Queue(
    (row, controller) => this.#read(row, controller).catch(showKeyField),
    (row, problem) => this.#show(row, failed(problemSentence(problem, false, { isDrawing: false }), problem.detail || undefined)),
    () => this.#showState(),
  );
  #hasDigits = true; // whether the last answer was about digits
  #version; // the model version that has answered
  #described; // when the page knows the names of its classes
  #announced = 0; // quarters of the progress
  #opened = null; // the row that is on the paper
  #open;
  #describe;

  /**
   * @param {(file: File) => void} open shows a file on the paper
   * @param {(version: number) => Promise | undefined} describe called when another version has answered
   */
  constructor(open, describe) {
    [this.#open, this.#describe] = [open, describe];
    byId("stop").addEventListener("click", () => (this.#queue.isStopped ? this.#queue.resume() : this.#queue.stop()));
    byId("doubtful").addEventListener("click", () => this.#filter(!this.#isFiltered));
    byId("download").addEventListener("click", () => this.#download());
    byId("remove").addEventListener("click", () => this.#remove());
    byId("back").addEventListener("click", () => this.#opened.element.querySelector("button").focus());
    byId("rows").addEventListener("click", ({ target }) => {
      if (target.closest("button")) this.#openRow(this.#rowOf(target));
    });
    byId("rows").addEventListener("change", ({ target }) => this.#correct(target));
    byId("rows").addEventListener("keydown", (event) => {
      event.stopPropagation(); // the page undoes strokes with the key that undoes typing here
      if (event.key === "Enter" && event.target.matches("input")) this.#correct(event.target);
    });
  }

  /** @param {File[]} files which follow those that the table has already */
  add(files) {
    const rows = files.map((file) => ({ file, reading: null, result: null, element: makeElement(file) }));
    this.#rows.push(...rows);
    this.#announced = 0;
    byId("rows").append(...rows.map(({ element }) => element));
    byId("stack").hidden = false;
    byId("stack").scrollIntoView();
    byId("stack-title").focus({ preventScroll: true });
    this.#filter(false);
    this.#queue.add(rows);
  }

  /** Go on, if the queue waits for an API key. */
  resume() {
    if (this.#queue.problem !== null) this.#queue.resume();
  }

  get #isFiltered() {
    return byId("doubtful").getAttribute("aria-pressed") === "true";
  }

  /** Ask the service about the picture of a row. Throws a Problem. */
  async #read(row, controller) {
    let picture;
    try {
      picture = await preparePicture(row.file);
    } catch (error) {
      if (!(error instanceof NotAPicture)) throw error;
      this.#show(row, failed(error.message));
      return;
    }
    if (picture.shown) drawThumbnail(row.element.querySelector("canvas"), picture.shown);
    const reading = this.#hasDigits ? await read("", picture, controller) : null;
    const reply = reading ?? (await post("predict", picture, controller));
    this.#hasDigits = reply.class_name === undefined;
    const { version } = reply.model;
    if (this.#version !== version) this.#described = this.#describe(version);
    this.#version = version;
    await this.#described;
    this.#show(row, answered(reply));
  }

  /** Show the service's answer in a row, or why there is none. */
  #show(row, result) {
    if (row.reading !== null) return; // the stack was stopped at the moment of the answer, and has asked again
    row.reading = result;
    this.#setResult(row, result);
    row.element.hidden = this.#isFiltered && result.isSure;
    row.element.querySelector("input").disabled = false;
  }

  #setResult(row, result) {
    row.result = result;
    const { element } = row;
    const isChecked = result !== row.reading;
    element.dataset.state = result.isSure ? "sure" : "check";
    element.querySelector("input").value = result.text;
    element.querySelector(".state").textContent = isChecked ? "checked" : element.dataset.state;
    element.querySelector(".reason").textContent = result.reason;
  }

  /** Take what a person has typed, or what was read if nothing is left of it. */
  #correct(input) {
    const row = this.#rowOf(input);
    const text = input.value.trim();
    this.#setResult(row, text ? corrected(text) : row.reading);
    this.#showState();
  }

  #rowOf(target) {
    const element = target.closest("tr");
    return this.#rows.find((row) => row.element === element);
  }

  #openRow(row) {
    this.#opened = row;
    this.#open(row.file);
    byId("back").hidden = false;
    byId("drawing").scrollIntoView();
    byId("back").focus({ preventScroll: true });
  }

  /** Rows that a person checks stay visible until the filter is used again, so that the focus stays where it is. */
  #filter(isFiltered) {
    byId("doubtful").setAttribute("aria-pressed", String(isFiltered));
    for (const { element, result } of this.#rows) element.hidden = isFiltered && (result?.isSure ?? true);
  }

  #showState() {
    const count = this.#rows.length;
    const done = this.#rows.filter(({ result }) => result);
    const doubtful = done.filter(({ result }) => !result.isSure).length;
    const checked = done.filter(({ result, reading }) => result !== reading).length;
    const { isBusy, isStopped, problem } = this.#queue;
    let state = `${count} pictures: ${count - doubtful - checked} sure, ${doubtful} to check`;
    state += checked > 0 ? `, ${checked} checked by you.` : ".";
    if (isBusy) state = `${done.length} of ${count} pictures read.`;
    if (isBusy && isStopped) state = `Stopped. ${state}`;
    if (isBusy && problem) state += ` ${problemSentence(problem, problem.status !== 401, { isDrawing: false })}`;
    byId("stack-state").textContent = state;
    byId("stack-progress").hidden = !isBusy;
    Object.assign(byId("stack-progress"), { max: count, value: done.length });
    byId("stop").hidden = !isBusy;
    byId("stop").textContent = isStopped ? "Continue" : "Stop";
    byId("doubtful").textContent = `Needs a person: ${doubtful}`;
    this.#announce(state, done.length / count);
  }

  /** Announce the end, whatever keeps the stack waiting, and the progress now and then. */
  #announce(state, share) {
    const { isBusy, isStopped, problem } = this.#queue;
    const quarters = Math.floor(ANNOUNCEMENTS * share);
    if (isBusy && !isStopped && problem === null && quarters === this.#announced) return;
    this.#announced = quarters;
    if (byId("stack-announcement").textContent !== state) byId("stack-announcement").textContent = state;
  }

  #download() {
    const text = toCsv(this.#rows.map(({ file, result, reading }) => ({ path: file.name, result, reading })));
    download(new Blob([text], { type: "text/csv" }), "pictures.csv");
  }

  #remove() {
    const isChecked = this.#rows.some(({ result, reading }) => result !== reading);
    if (isChecked && !confirm("Remove all pictures, and the texts that you have checked?")) return;
    this.#queue.clear();
    this.#rows = [];
    byId("rows").replaceChildren();
    byId("stack").hidden = true;
    byId("back").hidden = true;
    byId("choose").focus();
  }
}

/** Lead to the field for the API key, which may be out of view, if that is the problem. */
function showKeyField(problem) {
  if (problem.status === 401) byId("key").focus();
  throw problem;
}

function makeElement({ name }) {
  const element = byId("row").content.firstElementChild.cloneNode(true);
  element.querySelector("button span").textContent = name;
  element.querySelector("input").setAttribute("aria-label", `Text of ${name}`);
  return element;
}

/** Draw the whole picture into a square. */
function drawThumbnail(canvas, shown) {
  const scale = THUMBNAIL / Math.max(shown.width, shown.height);
  const [width, height] = [shown.width * scale, shown.height * scale];
  [canvas.width, canvas.height] = [THUMBNAIL, THUMBNAIL];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(shown, (THUMBNAIL - width) / 2, (THUMBNAIL - height) / 2, width, height);
}

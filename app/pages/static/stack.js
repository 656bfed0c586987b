// A stack of pictures: a table that fills while the service reads them, and a desk where a person checks what it doubts.

import { Correction } from "./correction.js";
import { byId, write } from "./dom.js";
import { baseName, expectedAnswers, grade } from "./expected.js";
import { separator } from "./number.js";
import { NotAPicture, preparePicture } from "./pictures.js";
import { Queue } from "./queue.js";
import { post, read } from "./requests.js";
import { answered, corrected, failed, toCsv } from "./rows.js";
import { download } from "./take.js";
import { problemSentence } from "./verdict.js";
import { uniquePaths, zip } from "./zip.js";

const THUMBNAIL = { width: 192, height: 128 }; // pixels, twice its size on the page
const ANNOUNCEMENTS = 4; // of the progress, to screen readers

export class Stack {
  #rows = []; // {file, sent, reading, result, draft, element}; `result` is the reading, or what a person has made of it
  #queue = new Queue(
    (row, controller) => this.#read(row, controller).catch(showKeyField),
    (row, problem) => this.#show(row, failed(problemSentence(problem, false, { isDrawing: false }), problem.detail || undefined)),
    () => this.#showState(),
  );
  #hasDigits = true; // whether the last answer was about digits
  #version; // the model version that has answered
  #described; // when the page knows the names of its classes
  #announced = 0; // quarters of the progress
  #current = null; // the row that is on the desk
  #confirmed = []; // what can be undone: each row that a person has confirmed, with its result before, the last one last
  #expected = expectedAnswers("");
  #correction;
  #page;

  /**
   * @param {object} page
   * @param {(file: File) => void} page.open shows a file on the paper
   * @param {(version: number) => Promise<void> | undefined} page.describe called when another version has answered
   * @param {(view: string) => void} page.show shows the desk
   * @param {() => boolean} page.isOpen whether the desk is shown
   * @param {(digit: number | undefined) => void} page.select marks a digit on the paper
   */
  constructor(page) {
    this.#page = page;
    this.#correction = new Correction(page.select);
    byId("stop").addEventListener("click", () => (this.#queue.isStopped ? this.#queue.resume() : this.#queue.stop()));
    byId("check").addEventListener("click", () => this.#openNext());
    byId("unconfirm").addEventListener("click", () => this.#undo());
    byId("download").addEventListener("click", () => download(this.#csv(this.#rows), "pictures.csv"));
    byId("corrections").addEventListener("click", () => this.#downloadCorrections());
    byId("remove").addEventListener("click", () => this.#remove());
    byId("rows").addEventListener("click", ({ target }) => {
      if (target.closest("button")) this.#openRow(this.#rows.find(({ element }) => element === target.closest("tr")));
    });
    byId("expected").addEventListener("input", () => this.#compare());
    byId("open-expected").addEventListener("click", () => byId("expected-file").click());
    byId("expected-file").addEventListener("change", async ({ target }) => {
      byId("expected").value = await target.files[0].text();
      target.value = ""; // allows choosing the same file again
      this.#compare();
    });
    byId("desk").addEventListener("click", (event) => {
      if (event.detail < 2 || !event.target.matches("button")) return;
      event.preventDefault(); // the second click of two would be about another row
      byId("text").focus();
    });
    byId("desk").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.#correction.confirm();
      if (text !== null) this.#confirm(text);
    });
  }

  /** @param {File[]} files which follow those that the table has already */
  add(files) {
    const rows = files.map((file) => ({ file, sent: null, reading: null, result: null, draft: null, element: newRow() }));
    this.#rows.push(...rows);
    this.#announced = 0;
    byId("rows").append(...rows.map(({ element }) => element));
    this.#nameRows();
    byId("stack").hidden = false;
    this.#setCurrent(null);
    this.#page.show("desk");
    byId("drawing").scrollIntoView();
    byId("stack-title").focus({ preventScroll: true });
    this.#queue.add(rows);
    this.#compare();
  }

  /** The index of the digit that the desk asks about, if it is about one. */
  get digit() {
    return this.#correction.digit;
  }

  /** Go on, if the queue waits for an API key. */
  resume() {
    if (this.#queue.problem !== null) this.#queue.resume();
  }

  /** Read all pictures again, except for those that failed or that a person has checked. What a person has typed stays. */
  readAgain() {
    this.#queue.stop(); // the rows that are being read wait again
    const current = this.#current;
    this.#setCurrent(null);
    this.#confirmed = []; // the results before are those of the other switch
    const rows = this.#rows.filter(({ result }) => ["sure", "check"].includes(result?.state));
    for (const row of rows) {
      if (row.draft?.guess === row.result.guess) row.draft = null;
      this.#setResult(row, null);
    }
    if (current?.draft) this.#setCurrent(current);
    this.#announced = 0;
    this.#queue.add(rows);
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
    const content = { ...picture, ignoresSeparators: byId("ignore").checked };
    const reading = this.#hasDigits ? await read("", content, controller) : null;
    const reply = reading ?? (await post("predict", picture, controller));
    this.#hasDigits = reply.class_name === undefined;
    row.sent = { body: picture.body, type: picture.type };
    const { version } = reply.model;
    if (this.#version !== version) this.#described = this.#page.describe(version);
    this.#version = version;
    await this.#described;
    if (!controller.signal.aborted) this.#show(row, answered(reply));
  }

  /** Show the service's answer in a row, or why there is none. */
  #show(row, result) {
    row.reading = result;
    if (row.result !== null) return; // a person was faster
    this.#setResult(row, result);
    if (this.#current === row) row.draft = this.#correction.draft;
    if (row.draft?.guess === "") row.draft = null; // it was opened before its answer
    if (this.#current === row && row.draft === null) this.#fillDesk({ isNew: true });
    else if (this.#current === null && this.#page.isOpen() && result.state === "check") this.#openRow(row);
  }

  /** @param {import("./rows.js").Result | null} result null if the row waits for its answer */
  #setResult(row, result) {
    row.result = result;
    const { element } = row;
    const { state, shown, reason } = result ?? { state: "", shown: [], reason: "" };
    element.dataset.state = state;
    element.querySelector(".text").replaceChildren(...shown.flatMap((part, index) => (index > 0 ? [separator(), part] : [part])));
    element.querySelector(".state").textContent = state;
    element.querySelector(".reason").textContent = reason;
    this.#grade(row);
  }

  /** Show the name of each row, and the folder too if another row has the same name. */
  #nameRows() {
    const names = this.#rows.map(({ file }) => baseName(file.name));
    this.#rows.forEach(({ file, element }, index) => {
      const isRepeated = names.indexOf(names[index]) !== names.lastIndexOf(names[index]);
      element.querySelector("button span").textContent = isRepeated ? file.name : names[index];
    });
  }

  // The expected answers

  #compare() {
    this.#expected = expectedAnswers(byId("expected").value);
    const count = this.#rows.filter(({ file }) => this.#expected.of(file.name) !== undefined).length;
    const words = `${count} of ${this.#rows.length} pictures have an expected answer. ${this.#expected.problem}`;
    write(byId("expected-note"), byId("expected").value.trim() ? words : "");
    byId("stack").classList.toggle("graded", count > 0);
    for (const row of this.#rows) this.#grade(row);
    this.#showState();
  }

  #grade({ file, result, element }) {
    const expected = this.#expected.of(file.name);
    element.querySelector(".expected").textContent = expected ?? "";
    element.querySelector(".grade").textContent = element.dataset.grade = grade(result, expected);
  }

  // The desk

  #setCurrent(row) {
    if (this.#current) this.#current.draft = this.#correction.draft;
    this.#current?.element.removeAttribute("aria-current");
    this.#current = row;
    row?.element.setAttribute("aria-current", "true");
    byId("desk").classList.toggle("empty", row === null);
  }

  #openRow(row) {
    this.#setCurrent(row);
    this.#page.show("desk");
    this.#page.open(row.file);
    row.element.scrollIntoView({ block: "nearest" });
    byId("drawing").scrollIntoView({ block: "nearest" });
    this.#fillDesk();
  }

  /** @param {{isNew?: boolean}} options `isNew` asks a person to look at an answer that has just arrived, even if it is sure */
  #fillDesk({ isNew = false } = {}) {
    const { file, result, draft } = this.#current;
    const shown = result ?? failed("The service has not read it yet.");
    const { guess, doubts } = draft ?? shown;
    byId("desk-title").textContent = `What is the text of ${file.name}?`;
    byId("desk-reason").textContent = shown.reason;
    const whole = { start: 0, end: guess.length, reason: shown.reason };
    this.#correction.fill({ guess, doubts: isNew && doubts.length === 0 ? [whole] : doubts });
  }

  /** Take the text of a person, who has seen the picture, and open the next row that needs one. */
  #confirm(text) {
    const row = this.#current;
    this.#confirmed.push({ row, result: row.result });
    this.#setResult(row, corrected(text, row.reading));
    this.#showState();
    this.#openNext();
    row.draft = null;
  }

  /** Take back the text that was confirmed last, and ask about its picture again. */
  #undo() {
    const { row, result } = this.#confirmed.pop();
    row.draft = null;
    this.#setResult(row, result ?? row.reading); // which may have arrived meanwhile
    this.#showState();
    this.#openRow(row);
  }

  /** Open the next row that needs a person, from the current one on and then from the start. Files that failed come last. */
  #openNext() {
    const start = Math.max(0, this.#rows.indexOf(this.#current));
    const others = [...this.#rows.slice(start), ...this.#rows.slice(0, start)];
    const next = ["check", "failed"].map((state) => others.find(({ result }) => result?.state === state)).find(Boolean);
    if (next) return this.#openRow(next);
    this.#setCurrent(null);
    byId("download").focus();
  }

  #showState() {
    const count = this.#rows.length;
    const done = this.#rows.filter(({ result }) => result);
    const [sure, doubtful, failures, checked] = ["sure", "check", "failed", "checked"].map(
      (state) => done.filter(({ result }) => result.state === state).length,
    );
    const { isBusy, isStopped, problem } = this.#queue;
    let state = `${count} pictures: ${sure} sure, ${doubtful} to check`;
    state += `${failures > 0 ? `, ${failures} failed` : ""}${checked > 0 ? `, ${checked} checked by you` : ""}.`;
    if (isBusy) state = `${done.length} of ${count} pictures read.`;
    if (isBusy && isStopped) state = `Stopped. ${state}`;
    if (isBusy && problem) state += ` ${problemSentence(problem, problem.status !== 401, { isDrawing: false })}`;
    const [right, wrong, open] = ["right", "wrong", "open"].map(
      (name) => this.#rows.filter(({ element }) => element.dataset.grade === name).length,
    );
    if (right + wrong + open > 0) state += ` ${right} right, ${wrong} wrong, ${open} open.`;
    byId("stack-state").textContent = state;
    byId("stack-progress").hidden = !isBusy;
    Object.assign(byId("stack-progress"), { max: count, value: done.length });
    if (!isBusy && document.activeElement === byId("stop")) byId("stack-title").focus();
    byId("stop").hidden = !isBusy;
    byId("unconfirm").hidden = this.#confirmed.length === 0;
    byId("corrections").hidden = this.#corrections.length === 0;
    byId("stop").textContent = isStopped ? "Continue" : "Stop";
    byId("check").textContent = `Check ${doubtful + failures}`;
    byId("check").hidden = doubtful + failures === 0;
    this.#announce(state, done.length / count);
  }

  /** Announce the end, whatever keeps the stack waiting, and the progress now and then. */
  #announce(state, share) {
    const { isBusy, isStopped, problem } = this.#queue;
    const quarters = Math.floor(ANNOUNCEMENTS * share);
    if (isBusy && !isStopped && problem === null && quarters === this.#announced) return;
    this.#announced = quarters;
    write(byId("stack-announcement"), state);
  }

  /** The rows from which `digits train --corrections` can learn: a person has checked what the service has read. */
  get #corrections() {
    return this.#rows.filter(({ result, sent }) => result?.state === "checked" && sent);
  }

  /** Save the corrections beside their pictures, as the service has received them. */
  async #downloadCorrections() {
    const rows = this.#corrections;
    const paths = uniquePaths(rows.map(({ file, sent }) => `pictures/${nameOf(file, sent)}`));
    const pictures = rows.map(({ sent }, index) => ({ path: paths[index], content: sent.body }));
    download(await zip([{ path: "results.csv", content: this.#csv(rows, paths) }, ...pictures]), "corrections.zip");
  }

  #csv(rows, paths = rows.map(({ file }) => file.name)) {
    const lines = rows.map(({ file, result, element }, index) => {
      return { path: paths[index], result, expected: this.#expected.of(file.name), grade: element.dataset.grade };
    });
    return new Blob([toCsv(lines)], { type: "text/csv" });
  }

  #remove() {
    const isChecked = this.#rows.some(({ result }) => result?.state === "checked");
    if (isChecked && !confirm("Remove all pictures, and the texts that you have checked?")) return;
    this.#queue.clear();
    [this.#rows, this.#confirmed] = [[], []];
    this.#setCurrent(null);
    byId("rows").replaceChildren();
    byId("stack").hidden = true;
    this.#page.show("");
    byId("choose").focus();
  }
}

/** Lead to the field for the API key, which may be out of view, if that is the problem. */
function showKeyField(problem) {
  if (problem.status === 401) byId("key").focus();
  throw problem;
}

function newRow() {
  return byId("row").content.firstElementChild.cloneNode(true);
}

/** Return the path of a picture, with the ending of the format that the service has received. */
function nameOf(file, { body, type }) {
  return body === file ? file.name : `${file.name.replace(/\.[^./]*$/, "")}.${type === "image/jpeg" ? "jpg" : "png"}`;
}

/** Draw the whole picture. */
function drawThumbnail(canvas, shown) {
  Object.assign(canvas, THUMBNAIL);
  const scale = Math.min(canvas.width / shown.width, canvas.height / shown.height);
  const [width, height] = [shown.width * scale, shown.height * scale];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(shown, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
}

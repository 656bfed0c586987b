// Connects the parts of the page: sends the drawing or the chosen picture, and shows what was read.

import { decodeStrokes, encodeStrokes, fragment, parseFragment } from "./address.js";
import { Answer, wordFor } from "./answer.js";
import { fetchWithKey, loadableUrl, whenKeyAccepted } from "./api_key.js";
import { Boxes, nearestTo, smallestAt } from "./boxes.js";
import { Drawing } from "./drawing.js";
import { Lecture, isTyping } from "./lecture.js";
import { NumberText } from "./number.js";
import { NotAPicture, preparePicture } from "./pictures.js";
import { ReadingRequests } from "./requests.js";
import { Saliency } from "./saliency.js";
import { loadStyle } from "./style_sheets.js";
import { copy, savePng, say } from "./take.js";
import { isUnsure, label, problemSentence, summary } from "./verdict.js";

const byId = (id) => document.getElementById(id);
const UNREACHABLE = problemSentence({ status: 0 }, false);

const answer = new Answer();
const number = new NumberText(select);
const saliency = new Saliency(() => (describedVersion = null)); // the service has switched to another version
const requests = new ReadingRequests(showReading, showProblem);
const drawing = new Drawing(byId("canvas"), {
  onChange: onDrawingChange,
  digitAt: (point) => (isNumber() ? smallestAt(boxes.places, point) : -1),
  onTap: select,
});
const boxes = new Boxes(byId("boxes"), (box) => drawing.toCanvas(box));

let changes = 0; // a file that was opened before the last change is ignored
let pictureBefore = null;
let reading = null; // the service's reply that is shown
let selected = 0; // the index of the digit whose details are shown
let describedVersion = null; // the model version that the page describes
let inside = null; // the section "Look inside", once it was opened
let stack = null; // the stack of pictures, once several files have arrived

function onDrawingChange() {
  const { picture, isBlank } = drawing;
  changes++;
  say("");
  const caption = document.createElement("span");
  if (picture) caption.textContent = picture.shown ? picture.name : `${picture.name} (cannot be shown here)`;
  byId("drawing").style.setProperty("--ratio", drawing.ratio);
  byId("paper").classList.toggle("used", !isBlank);
  byId("caption").hidden = picture === null;
  byId("caption").replaceChildren(caption);
  byId("undo").setAttribute("aria-disabled", String(!drawing.canUndo));
  byId("redo").setAttribute("aria-disabled", String(!drawing.canRedo));
  if (parseFragment(location.hash).strokes !== null) setAddress({ strokes: null }); // they are not what is drawn now
  byId("clear").setAttribute("aria-disabled", String(isBlank));
  if (isBlank) {
    requests.cancel();
    hideReading();
    answer.showEmpty();
  } else if (picture !== null) {
    hideReading();
    answer.showWaiting();
    requestReading({ now: true });
  } else {
    if (pictureBefore !== null) {
      requests.cancel();
      hideReading();
    }
    // A number keeps its answer until the stroke ends, and a dot may become a stroke.
    if (!drawing.isPenDown || !(isNumber() || drawing.isDot)) requestReading();
  }
  pictureBefore = picture;
}

/** Request a reading of the visible picture or drawing. */
function requestReading(options) {
  const { picture } = drawing;
  requests.request(async () => {
    if (picture !== null) return { ...picture, isUnfinished: false };
    const isUnfinished = drawing.isPenDown && !isNumber();
    return { body: await drawing.toBlob(), type: "image/png", isUnfinished };
  }, options);
}

function isNumber() {
  return reading !== null && reading.digits.length > 1;
}

function showReading(newReading, milliseconds) {
  reading = newReading;
  const { digits, model } = reading;
  if (drawing.isPenDown && !isNumber()) digits[0].isUnfinished = true; // the reply is for an earlier stroke
  showBoxes(isNumber() || reading.left_out > 0 ? digits : []);
  if (isNumber()) number.show(reading);
  else number.hide();
  const point = drawing.lastPoint;
  select(isNumber() && point ? nearestTo(boxes.places, point) : Math.max(0, digits.findIndex(isUnsure)));
  answer.showTime(milliseconds);
  byId("take").hidden = false;
  byId("share").hidden = drawing.picture !== null; // a link holds strokes only
  describeIfNew(model.version);
}

/** Show the details of a digit. */
function select(index) {
  selected = index;
  number.select(index);
  boxes.select(index);
  answer.show(reading, index);
  saliency.show(reading.digits[index]);
  showInside();
}

function showBoxes(digits) {
  boxes.show(digits);
  byId("paper").classList.toggle("boxed", digits.length > 0);
}

function hideReading() {
  reading = null;
  showBoxes([]);
  number.hide();
  saliency.hide();
  byId("take").hidden = true;
  showInside();
}

/** Return the served version's manifest, or null. */
async function manifest() {
  const reply = await fetchWithKey("model").catch(() => null);
  return reply?.ok ? reply.json().catch(() => null) : null;
}

/** @param {number | null} version the version that has answered, or null before the first answer */
async function describeModel(version) {
  describedVersion = version;
  const model = await manifest();
  if (describedVersion !== version) return;
  if (model?.version !== version) describedVersion = null; // ask again after the next answer
  saliency.offer(model);
  answer.showModel(model);
  if (reading?.model.version === version) select(selected); // with the names of the classes
}

function describeIfNew(version) {
  return describedVersion === version ? undefined : describeModel(version);
}

function showProblem(problem, retries) {
  hideReading();
  answer.showProblem(problemSentence(problem, retries));
}

/** Say why nothing was done. The answer before would contradict it. */
function refuse(sentence) {
  requests.cancel();
  hideReading();
  answer.showProblem(sentence);
}

/** Return a module, or null if the service cannot be reached. */
function load(module) {
  return import(module).catch(() => null);
}

async function openFile(file) {
  const change = ++changes;
  requests.cancel();
  answer.showWaiting();
  try {
    const picture = await preparePicture(file);
    if (change === changes) drawing.showPicture(picture);
  } catch (error) {
    if (!(error instanceof NotAPicture)) throw error;
    if (change !== changes) return;
    drawing.clear(); // otherwise the refusal would stand beside the previous picture
    answer.showProblem(error.message);
  }
}

/** Show one file on the paper, or read several as a stack. */
async function openFiles(files) {
  if (files.length === 1) return openFile(files[0]);
  const all = [...files]; // the browser empties the list after the event
  const [module] = await Promise.all([load("./stack.js"), loadStyle("stack.css")]);
  if (module === null) return refuse(UNREACHABLE);
  stack ??= new module.Stack(openFile, describeIfNew);
  stack.add(all);
}

async function openExample({ dataset, textContent }) {
  const change = ++changes;
  const reply = await fetch(`page/${dataset.file}`).catch(() => null);
  const content = reply?.ok ? await reply.blob() : null;
  if (change !== changes) return;
  if (content === null) refuse(UNREACHABLE);
  else openFile(new File([content], textContent.trim(), { type: content.type }));
}

// The camera of a computer. A phone's file dialog has its own.

const isDesktop = matchMedia("(hover: hover) and (pointer: fine)");

/** Offer the camera if there is one. Browsers hide it from pages that came over plain HTTP, except for localhost. */
async function offerCamera() {
  const devices = await navigator.mediaDevices?.enumerateDevices().catch(() => []);
  byId("photo").classList.toggle("offered", devices?.some(({ kind }) => kind === "videoinput") ?? false);
}

async function takePhoto() {
  const camera = await load("./camera.js");
  if (camera === null) return refuse(UNREACHABLE);
  try {
    const photo = await camera.takePhoto();
    if (photo !== null) openFile(photo);
  } catch (error) {
    if (!(error instanceof camera.NoCamera)) throw error;
    drawing.clear(); // otherwise the refusal would stand beside the drawing
    answer.showProblem(error.message);
  }
}

navigator.mediaDevices?.addEventListener("devicechange", offerCamera);
offerCamera();

// Buttons

byId("undo").addEventListener("click", () => drawing.undo());
byId("redo").addEventListener("click", () => drawing.redo());
byId("clear").addEventListener("click", () => drawing.clear());
for (const [button, input] of [["choose", "file"], ["photo", "camera"]]) {
  byId(button).addEventListener("click", () => (button === "photo" && isDesktop.matches ? takePhoto() : byId(input).click()));
  byId(input).addEventListener("change", ({ target }) => {
    if (target.files.length) openFiles(target.files);
    target.value = ""; // allows choosing the same file again
  });
}
for (const example of document.querySelectorAll("#examples button")) {
  example.addEventListener("click", () => openExample(example));
}

// Keys

document.addEventListener("keydown", (event) => {
  const command = commandOf(event);
  if (command === null || isTyping(event) || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  command();
});

/** Return what a key does anywhere on the page, or null. */
function commandOf({ key, ctrlKey, metaKey, shiftKey, altKey, repeat }) {
  if (altKey) return null;
  const name = key.toLowerCase();
  if (ctrlKey || metaKey) {
    if (name === "z") return shiftKey ? () => drawing.redo() : () => drawing.undo();
    return name === "y" && !shiftKey ? () => drawing.redo() : null;
  }
  if (name === "f" && !repeat) return () => lecture.switch(!lecture.isOn);
  return name === "escape" && lecture.isOn ? () => lecture.switch(false) : null;
}

byId("canvas").addEventListener("keydown", (event) => {
  if (["Delete", "Backspace"].includes(event.key) || (event.key === "Escape" && !lecture.isOn)) {
    event.preventDefault();
    drawing.clear();
  }
});

// Files dropped anywhere on the page, and pasted pictures

let depth = 0; // dragenter and dragleave fire for every element that the pointer crosses

function setDragDepth(newDepth) {
  depth = Math.max(0, newDepth);
  document.body.classList.toggle("dragging", depth > 0);
}

const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");

document.addEventListener("dragenter", (event) => hasFiles(event) && setDragDepth(depth + 1));
document.addEventListener("dragleave", (event) => hasFiles(event) && setDragDepth(depth - 1));
document.addEventListener("dragover", (event) => {
  event.preventDefault(); // otherwise the browser would open the file in place of the page
  event.dataTransfer.dropEffect = hasFiles(event) ? "copy" : "none";
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  setDragDepth(0);
  const { files } = event.dataTransfer;
  if (files.length) openFiles(files);
  else refuse("That was not a file. Save the picture first, or copy it and paste it here.");
});
document.addEventListener("paste", (event) => {
  if (event.target.matches("input")) return;
  const { files } = event.clipboardData;
  if (files.length) openFiles(files);
  else refuse("The clipboard contains no picture.");
});

// A link that holds the drawing, the number as text, and the paper as a PNG

/** Return the address with the strokes of the drawing, or null if it has none or too many. */
function sharedUrl() {
  const strokes = encodeStrokes(drawing);
  return strokes && new URL(fragment({ ...parseFragment(location.hash), lecture: false, strokes }), location.href).href;
}

byId("share").addEventListener("click", async () => {
  const url = sharedUrl();
  if (url === null) say("This drawing is too long for a link. Save it as PNG.");
  else if (await copy(url, "Copied. The link holds the drawing itself, and nothing was sent.")) return;
  else {
    setAddress(parseFragment(new URL(url).hash));
    say("This browser copies only over HTTPS. Copy the address of this page, which now holds the drawing.");
  }
});
byId("copy").addEventListener("click", async () => {
  const text = reading.digits.length > 1 ? reading.text : label(reading.digits[0].digit);
  const doubts = reading.digits.length > 1 ? ` ${summary(reading, "")}` : "";
  if (!(await copy(text, `Copied ${text.replaceAll("\n", ", ")}.${doubts}`))) say("This browser copies only over HTTPS.");
});
byId("save").addEventListener("click", () => savePng(reading.text));

// The lecture mode, for a room

const lecture = new Lecture((isOn) => {
  setAddress({ lecture: isOn });
  byId("lecture").setAttribute("aria-pressed", String(isOn));
});
byId("lecture").addEventListener("click", () => lecture.switch(!lecture.isOn));

// The address remembers what is switched on, and holds the drawing while somebody looks at another page

/** @param {object} changes to the parts of the fragment */
function setAddress(changes) {
  const { pathname, search, hash } = location;
  history.replaceState(null, "", `${pathname}${search}${fragment({ ...parseFragment(hash), ...changes })}`);
}

function followAddress() {
  const { inside, lecture: isLecture, strokes } = parseFragment(location.hash);
  byId("inside").open = inside;
  lecture.switch(isLecture);
  if (strokes === null) return;
  const shared = decodeStrokes(strokes);
  if (shared) drawing.restore(shared); // which removes the strokes from the address
  setAddress({ strokes: shared && strokes });
  if (!shared) refuse("This link holds no drawing that can be shown. A part of it may be missing.");
}

document.addEventListener("click", ({ target }) => {
  const link = target.closest("a[href]");
  if (!link) return;
  setAddress({ strokes: encodeStrokes(drawing) });
  if (link.matches('[href^="model/card"]')) link.hash = location.hash; // the card's link back has it too
});

// The section "Look inside"

byId("inside").addEventListener("toggle", async () => {
  setAddress({ inside: byId("inside").open });
  if (!byId("inside").open || inside !== null) return showInside();
  const [module] = await Promise.all([load("./inside.js"), loadStyle("inside.css")]);
  if (module === null) {
    byId("inside").open = false;
    return refuse(UNREACHABLE);
  }
  byId("inside").dataset.ready = "";
  inside ??= new module.Inside(showDistorted);
  showInside();
});

function showInside() {
  if (byId("inside").open) inside?.show(reading?.digits[selected] ?? null, reading?.model.version);
}

/** Show what the sliders have made of the selected digit. */
function showDistorted(digit) {
  answer.show({ ...reading, digits: reading.digits.map((each, index) => (index === selected ? digit : each)) }, selected);
  if (!digit.isUnfinished) saliency.show(digit);
}

// The section "How good is it?"

const figures = [...document.querySelectorAll("#quality img")];

byId("quality").addEventListener("toggle", showAccuracy, { once: true });
for (const image of figures) image.addEventListener("error", () => loadFigure(image), { once: true });

/** Load a figure that the browser could not load: it sends no key, or the model has no report. */
async function loadFigure(image) {
  const url = await loadableUrl(image.src);
  image.closest("figure").hidden = url === null;
  if (url !== null) image.src = url;
}

async function showAccuracy() {
  const model = await manifest();
  const { accuracy, wilson_low: low, wilson_high: high } = model?.metrics?.test ?? {};
  if (accuracy === undefined) return;
  const pictures = model.dataset ? `${model.dataset.test_images.toLocaleString("en")} pictures` : "the pictures";
  const whose = model.dataset?.name === "own" ? "its" : "MNIST's";
  const percent = (p) => `${(100 * p).toFixed(2)}\u00a0%`;
  const interval = low === undefined ? "" : ` (95\u00a0% interval ${percent(low)} to ${percent(high)})`;
  byId("accuracy").textContent =
    `${model.name} version ${model.version} is right on ${percent(accuracy)} of ${pictures} in ${whose} test set` +
    `${interval}, which was not used for training. It may do better or worse on yours.`;
}

// API key

whenKeyAccepted(() => {
  byId("canvas").focus();
  onDrawingChange();
  stack?.resume();
  if (!byId("quality").open) return;
  showAccuracy();
  for (const image of figures) if (image.closest("figure").hidden) loadFigure(image);
});

// A model whose classes are not the digits

if (document.documentElement.dataset.classes === "own") {
  wordFor({ ownClasses: true });
  answer.showEmpty();
  describeModel(null);
}

addEventListener("hashchange", followAddress);
followAddress();

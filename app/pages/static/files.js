// The ways in which pictures come to the page: chosen, photographed, dropped, pasted, and the examples.

import { fetchWithKey } from "./api_key.js";
import { byId } from "./dom.js";

/**
 * Follow all ways from now on.
 *
 * @param {(files: FileList | File[]) => void} open
 * @param {(name: string) => void} openExample
 * @param {(sentence: string) => void} refuse says why nothing was opened
 */
export function followFiles(open, openExample, refuse) {
  for (const [button, input] of [["choose", "file"], ["photo", "camera"]]) {
    byId(button).addEventListener("click", () => (button === "photo" && isDesktop.matches ? takePhoto(open, refuse) : byId(input).click()));
    byId(input).addEventListener("change", ({ target }) => {
      if (target.files.length) open([...target.files]); // the browser empties the list below
      target.value = ""; // allows choosing the same file again
    });
  }
  for (const button of examples()) {
    button.addEventListener("click", () => {
      byId("canvas").focus({ preventScroll: true }); // the examples disappear
      openExample(button.dataset.example);
    });
  }
  followDrops(open, refuse);
  document.addEventListener("paste", (event) => {
    if (/** @type {Element} */ (event.target).matches("input")) return;
    const { files } = event.clipboardData;
    if (files.length) open([...files]);
    else refuse("The clipboard contains no picture.");
  });
  navigator.mediaDevices?.addEventListener("devicechange", offerCamera);
  offerCamera();
}

function examples() {
  return [...byId("start").querySelectorAll("button")];
}

/** Return the example of a name, or a picture that the model card shows as a mistake. Null: it cannot be loaded. */
export async function exampleFile(name) {
  const button = examples().find(({ dataset }) => dataset.example === name);
  const [, number] = /^mistake-(\d+)$/.exec(name) ?? [];
  const url = button?.querySelector("img").src ?? (number && `model/report/${name}.png`);
  const reply = url && (await fetchWithKey(url).catch(() => null));
  const content = reply?.ok ? await reply.blob() : null;
  return content && new File([content], button?.textContent.trim() ?? `Mistake ${number} of the model card`, { type: content.type });
}

/** Take files that are dropped anywhere on the page. */
function followDrops(open, refuse) {
  let depth = 0; // dragenter and dragleave fire for every element that the pointer crosses
  const setDepth = (newDepth) => {
    depth = Math.max(0, newDepth);
    document.body.classList.toggle("dragging", depth > 0);
  };
  const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => hasFiles(event) && setDepth(depth + 1));
  document.addEventListener("dragleave", (event) => hasFiles(event) && setDepth(depth - 1));
  document.addEventListener("dragover", (event) => {
    event.preventDefault(); // otherwise the browser would open the file in place of the page
    event.dataTransfer.dropEffect = hasFiles(event) ? "copy" : "none";
  });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    setDepth(0);
    const files = await droppedFiles(event.dataTransfer);
    if (files.length) open(files);
    else refuse("That was not a file. Save the picture first, or copy it and paste it here.");
  });
}

/** Return the files that were dropped. Those of a folder have its name in theirs, as in "circle/1.png". */
async function droppedFiles({ items, files }) {
  const entries = [...items].map((item) => item.webkitGetAsEntry()); // at once: the browser empties the list
  return entries.some((entry) => entry?.isDirectory) ? filesIn(entries) : [...files];
}

async function filesIn(entries) {
  const visible = entries.filter(({ name }) => !name.startsWith(".")); // systems add hidden files
  visible.sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
  const files = visible.map(async (entry) => {
    if (entry.isDirectory) return filesIn(await entriesOf(entry.createReader()));
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [new File([file], entry.fullPath.slice(1), { type: file.type })];
  });
  return (await Promise.all(files)).flat();
}

/** Return all entries of a folder, which come in parts. */
async function entriesOf(reader) {
  const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  return part.length > 0 ? [...part, ...(await entriesOf(reader))] : [];
}

// The camera of a computer. A phone's file dialog has its own.

const isDesktop = globalThis.matchMedia?.("(hover: hover) and (pointer: fine)");

/** Offer the camera if there is one. Browsers hide it from pages that came over plain HTTP, except for localhost. */
async function offerCamera() {
  const devices = await navigator.mediaDevices?.enumerateDevices().catch(() => []);
  byId("photo").classList.toggle("offered", devices?.some(({ kind }) => kind === "videoinput") ?? false);
}

async function takePhoto(open, refuse) {
  const camera = await import("./camera.js").catch(() => null);
  if (camera === null) refuse("The service cannot be reached.");
  else camera.takePhoto(open, refuse);
}

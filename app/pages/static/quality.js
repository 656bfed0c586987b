// The section "How does it work, and how good is it?": the accuracy and the figures of the served version.

import { loadableUrl } from "./api_key.js";
import { byId } from "./dom.js";

/** @param {object | null} model the served version's manifest */
export function showQuality(model) {
  for (const image of byId("quality").querySelectorAll("img")) {
    if (image.complete && image.naturalWidth === 0) loadFigure(image);
    else image.addEventListener("error", () => loadFigure(image), { once: true });
  }
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

/** Load a figure that the browser could not load: it sends no key, or the model has no report. */
async function loadFigure(image) {
  const url = await loadableUrl(image.src);
  image.closest("figure").hidden = url === null;
  if (url !== null) image.src = url;
}

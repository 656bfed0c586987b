// The API key: the page asks for it when the service requires one, and keeps it until the tab is closed.

import { byId } from "./dom.js";

const STORAGE_NAME = "key"; // in sessionStorage, which other tabs and sites cannot read

let key = stored() ?? "";

/**
 * Call `fetch` with the key. If the key is missing or wrong, the page asks for it.
 *
 * @param {string} url
 * @param {RequestInit} options
 */
export async function fetchWithKey(url, { headers = {}, ...options } = {}) {
  const used = key;
  const authorization = used ? { Authorization: `Bearer ${used}` } : {};
  const reply = await fetch(url, { ...options, headers: { ...headers, ...authorization } });
  if (reply.status === 401 && used === key) askForKey();
  return reply;
}

/** @returns {Promise<string | null>} a URL that the browser can load without the key, or null if loading fails */
export async function loadableUrl(url) {
  const reply = await fetchWithKey(url).catch(() => null);
  if (!reply?.ok) return null;
  return key ? toDataUrl(await reply.blob()) : url;
}

/**
 * Show what is at an address in place of this page. A page keeps its address, and gets its images with the key.
 *
 * @returns {Promise<boolean>} whether the service has sent it
 */
export async function showInPlace(url) {
  const reply = await fetchWithKey(url).catch(() => null);
  if (!reply?.ok) return false;
  if (!reply.headers.get("Content-Type").startsWith("text/html")) {
    location.replace(URL.createObjectURL(await reply.blob()));
    return true;
  }
  const page = new DOMParser().parseFromString(await reply.text(), "text/html"); // whose scripts never run
  for (const image of page.images) {
    image.setAttribute("src", (await loadableUrl(new URL(image.getAttribute("src"), url).href)) ?? "data:,");
  }
  document.documentElement.replaceWith(page.documentElement);
  /** @type {HTMLAnchorElement} */ (document.querySelector("nav a")).hash = location.hash; // as the card's own script does
  return true;
}

/** @param {() => void} onAccepted called each time the service has accepted a new key */
export function whenKeyAccepted(onAccepted) {
  byId("access").addEventListener("submit", async (event) => {
    event.preventDefault();
    keep(byId("key").value);
    const reply = await fetchWithKey("model").catch(() => null); // the smallest reply that needs a key
    if (reply?.status === 401) return;
    byId("access").hidden = true;
    byId("key").value = "";
    byId("key").setAttribute("aria-invalid", "false");
    onAccepted();
  });
}

function askForKey() {
  const refused = key !== "";
  keep("");
  byId("access").hidden = false;
  if (!refused) return; // a late reply to a request without a key must not remove the message below
  byId("key").setAttribute("aria-invalid", "true");
  byId("key-note").textContent = "The service does not know this key.";
}

function toDataUrl(blob) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.readAsDataURL(blob);
  });
}

function keep(newKey) {
  key = newKey;
  stored(newKey);
}

/** Return the stored key or null. With an argument, store it first. */
function stored(newKey) {
  try {
    if (newKey !== undefined) sessionStorage.setItem(STORAGE_NAME, newKey);
    return sessionStorage.getItem(STORAGE_NAME);
  } catch {
    return null; // the browser blocks storage, so the key is lost when the page is reloaded
  }
}

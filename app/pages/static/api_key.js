// The API key, where the service wants one: asked for when it is missing, kept until the tab is closed.

const SLOT = "key"; // in sessionStorage, which no other tab and no other site sees

const byId = (id) => document.getElementById(id);

let key = stored() ?? "";
let given = () => {};

/** As fetch, with the key. Where it is missing or wrong, the page asks for it. */
export async function ask(url, { headers, ...options } = {}) {
  const used = key;
  const authorization = used ? { Authorization: `Bearer ${used}` } : {};
  const reply = await fetch(url, { ...options, headers: { ...headers, ...authorization } });
  if (reply.status === 401 && used === key) want();
  return reply;
}

/** @returns {Promise<string | null>} a URL that the browser can load without the key; null where there is nothing */
export async function open(url) {
  const reply = await ask(url).catch(() => null);
  if (!reply?.ok) return null;
  return key ? toDataUrl(await reply.blob()) : url;
}

/** The same for a page, with all that it shows: it can fetch nothing more, and what it links to is where it was. */
export async function openPage(url) {
  const reply = await ask(url).catch(() => null);
  if (!reply?.ok) return null;
  const html = await reply.text(); // to its end: leaving the page would break it off
  if (!key) return url;
  const page = new DOMParser().parseFromString(html, "text/html");
  const absolute = (path) => new URL(path, url).href;
  for (const link of page.querySelectorAll("[href]")) link.setAttribute("href", absolute(link.getAttribute("href")));
  for (const image of page.images) image.setAttribute("src", (await open(absolute(image.getAttribute("src")))) ?? "data:,");
  return URL.createObjectURL(new Blob(["<!doctype html>", page.documentElement.outerHTML], { type: "text/html" }));
}

/** @param {() => void} goOn called each time that a key was given and not refused */
export function whenGiven(goOn) {
  given = goOn;
}

function want() {
  const refused = key !== "";
  keep("");
  byId("access").hidden = false;
  if (!refused) return; // not to be unsaid by the answer to a question that was asked without a key
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

function keep(newer) {
  key = newer;
  stored(newer);
}

/** What is stored, or null; with an argument that from now on. */
function stored(newer) {
  try {
    if (newer !== undefined) sessionStorage.setItem(SLOT, newer);
    return sessionStorage.getItem(SLOT);
  } catch {
    return null; // the browser was told to let no page store anything: the key is gone with the next load
  }
}

byId("access").addEventListener("submit", async (event) => {
  event.preventDefault();
  keep(byId("key").value);
  const reply = await ask("model").catch(() => null); // the least that needs a key
  if (reply?.status === 401) return;
  byId("access").hidden = true;
  byId("key").value = "";
  byId("key").setAttribute("aria-invalid", "false");
  byId("canvas").focus();
  given();
});

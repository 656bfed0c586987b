// Loads the layers of a network, and says how far it has got.

import { fetchWithKey } from "./api_key.js";
import { Network, parseTensors } from "./network.js";

/**
 * @param {string} path relative to the page
 * @param {string} name such as "the weights"
 * @param {(words: string, share?: number) => void} onProgress called with a sentence, and the share that has arrived
 * @returns {Promise<Network | number>} the network, or the HTTP status if it could not be loaded, and 0 without a reply
 */
export async function loadNetwork(path, name, onProgress) {
  onProgress(`Loading ${name}.`);
  try {
    const reply = await fetchWithKey(path);
    if (!reply.ok) return reply.status;
    const total = Number(reply.headers.get("Content-Length"));
    const parts = [];
    let received = 0;
    for (const reader = reply.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      received += value.length;
      if (total === 0) continue; // a proxy may send no length
      const [now, all] = [received, total].map((bytes) => (bytes / 1000).toFixed(0));
      onProgress(`Loading ${name}: ${now} of ${all} KB.`, received / total);
    }
    return Network.of(parseTensors(await new Blob(parts).arrayBuffer()));
  } catch {
    return 0;
  }
}

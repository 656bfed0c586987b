// Loads the layers of a network, and says how far it has got.

import { fetchWithKey } from "./api_key.js";
import { Network, parseTensors } from "./network.js";

/**
 * @param {string} path relative to the page
 * @param {(received: number, total: number) => void} onProgress called with bytes
 * @returns {Promise<Network | number>} the network, or the HTTP status if it could not be loaded, and 0 without a reply
 */
export async function loadNetwork(path, onProgress) {
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
      if (total > 0) onProgress(received, total); // a proxy may send no length
    }
    return Network.of(parseTensors(await new Blob(parts).arrayBuffer()));
  } catch {
    return 0;
  }
}

export function kilobytes(bytes) {
  return (bytes / 1000).toFixed(0);
}

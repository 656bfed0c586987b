// The page in place of one that needs an API key. It shows that page as soon as there is a key.

import { showInPlace, whenKeyAccepted } from "./api_key.js";
import { byId } from "./dom.js";

const access = byId("access");

async function openPage() {
  if (await showInPlace(location.href)) return;
  if (access.hidden) byId("problem").textContent = "The service has no such page.";
  else byId("key").focus();
}

whenKeyAccepted(openPage);
openPage();

// The page in place of one that needs an API key. It shows that page as soon as there is a key.

import { showInPlace, whenKeyAccepted } from "./api_key.js";

const access = document.getElementById("access");

async function openPage() {
  if (await showInPlace(location.href)) return;
  if (access.hidden) document.getElementById("problem").textContent = "The service has no such page.";
  else document.getElementById("key").focus();
}

whenKeyAccepted(openPage);
openPage();

// The page in place of one that needs an API key. It shows that page as soon as there is a key.

import { loadablePageUrl, whenKeyAccepted } from "./api_key.js";

const access = document.getElementById("access");

async function openPage() {
  const url = await loadablePageUrl(location.href);
  if (url !== null) location.replace(url);
  else if (access.hidden) document.getElementById("problem").textContent = "The service has no such page.";
  else document.getElementById("key").focus();
}

whenKeyAccepted(openPage);
openPage();

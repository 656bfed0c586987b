// Starts Swagger UI on the page /docs, in the colours that the system prefers.

const dark = matchMedia("(prefers-color-scheme: dark)");

const OPEN = ["Predict", "Model", "Health"]; // the protocols of other servers are folded

function setColours() {
  document.documentElement.classList.toggle("dark-mode", dark.matches); // a class of Swagger UI's style sheet
}

dark.addEventListener("change", setColours);
setColours();

const ui = globalThis["SwaggerUIBundle"]({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0, // the schemas are folded
  tryItOutEnabled: true, // "Execute" is there at once
  displayRequestDuration: true,
  onComplete: () => OPEN.forEach((tag) => ui.layoutActions.show(["operations-tag", tag], true)),
});

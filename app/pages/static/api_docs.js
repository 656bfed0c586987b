// Starts Swagger UI on the page /docs, in the colours that the system prefers.

const dark = matchMedia("(prefers-color-scheme: dark)");

function setColours() {
  document.documentElement.classList.toggle("dark-mode", dark.matches); // a class of Swagger UI's style sheet
}

dark.addEventListener("change", setColours);
setColours();

globalThis["SwaggerUIBundle"]({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0, // the schemas are folded
  displayRequestDuration: true,
});

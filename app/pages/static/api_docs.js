// Starts Swagger UI on the page /docs, in the colours that the system prefers.

const dark = matchMedia("(prefers-color-scheme: dark)");

const OPEN = ["Predict", "Model", "Health"]; // the protocols of other servers are folded

function setColours() {
  document.documentElement.classList.toggle("dark-mode", dark.matches); // a class of Swagger UI's style sheet
}

dark.addEventListener("change", setColours);
setColours();

/** Shows the replies of an operation, with those that report an error in a fold below the others. */
function foldErrors({ React }) {
  const isError = (_reply, status) => status >= 400;
  return {
    wrapComponents: {
      responses: (Replies) => (props) =>
        React.createElement(
          "div",
          null,
          React.createElement(Replies, { ...props, responses: props.responses.filterNot(isError) }),
          React.createElement(
            "details",
            { className: "errors" },
            React.createElement("summary", null, "Error replies"),
            React.createElement(Replies, { ...props, responses: props.responses.filter(isError), tryItOutResponse: undefined }),
          ),
        ),
    },
  };
}

const ui = globalThis["SwaggerUIBundle"]({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  plugins: [foldErrors],
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0, // the schemas are folded
  tryItOutEnabled: true, // "Execute" is there at once
  displayRequestDuration: true,
  onComplete: () => OPEN.forEach((tag) => ui.layoutActions.show(["operations-tag", tag], true)),
});

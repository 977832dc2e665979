// The REST API for people: what the server's own OpenAPI description says.

import { byId, element, say } from "./dom.js";
import { speak } from "./words.js";

function address(path, method, told) {
  const answers = Object.entries(told.responses).map(([status, { description }]) => element("li", { text: `${status}: ${description}` }));
  const form = told.requestBody?.content["multipart/form-data"]?.schema.properties ?? {};
  const fields = Object.entries(form).map(([name, { description }]) => element("tr", {},
    element("th", { scope: "row", text: name }), element("td", { text: description ?? "" })));
  return element("article", { class: "picture" }, element("div", {},
    element("h2", { text: `${method.toUpperCase()} ${path}` }),
    element("p", { text: told.description ?? told.summary }),
    element("table", {}, ...fields), element("ul", {}, ...answers)));
}

speak();
byId("example").textContent = `curl -F files=@picture.jpg ${new URL("api/v1/predict", document.baseURI)}`;
try {
  const answer = await fetch("api/v1/openapi.json");
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const { paths } = await answer.json();
  byId("addresses").replaceChildren(...Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, told]) => address(path, method, told))));
} catch (error) {
  say(byId("message"), error.message);
}

// Documentation of the REST API: a request to try, snippets, then every address of the OpenAPI description.

import { byId, element, say } from "./dom.js";
import { fetchFacts } from "./server.js";
import { curl, snippets } from "./snippets.js";
import { askForToken } from "./token_form.js";
import { setLanguage, translated, words } from "./words.js";

const API = "/api/v1/";
const ADDRESS = new URL("api/v1", document.baseURI).href;
const FORM = "multipart/form-data";
const JSON_TYPE = "application/json";
const SHOWN_HEADERS = ["content-type", "model-version", "retry-after"];
const COPIED_SECONDS = 2;
const MAX_SHOWN_BASE64 = 60;

/** Form data in curl's syntax; `report` is the example of a report. */
const formOptions = (report) => ({
  predict: "-F file=@a.jpg -F file=@b.jpg",
  faces: "-F file=@a.jpg",
  jpeg: "-F file=@a.heic",
  reports: `-F file=@a.jpg -F 'report=${JSON.stringify(report).replaceAll("'", "'\\''")}'`,
});

/** The purpose of each address; others have the server's English summary. */
const purposes = (isOfFaces) => ({
  predict: isOfFaces ? words("Classifies images, or the faces in them: those in your boxes, or those that the server detects.") : words("It classifies whole images."),
  faces: words("Detects faces and returns their boxes."),
  jpeg: words("Converts an image that browsers cannot show, such as HEIC or TIFF, to JPEG."),
  reports: words("Accepts reports of wrong answers and removal requests, which a person reviews."),
  classes: words("The classes, and how images are cropped before classification."),
  card: words("The model card. Unknown values are null."),
  portraits: words("A face of each class and an example image, if the administrator shows them."),
  "model.json": words("The settings for running the model on a device."),
  "model.onnx": words("The model file, in ONNX format."),
  health: words("Whether the server runs."),
  ready: words("Whether the model is loaded and requests are accepted."),
  metrics: words("Counts and durations of responses, for Prometheus."),
});

function buildCard(path, method, operation, schemas, { token, report }) {
  const name = path.replace(API, "").replace("/", "");
  const types = Object.keys(operation.requestBody?.content ?? {});
  const fields = types.includes(FORM) ? listFields(operation.requestBody.content[FORM].schema, schemas) : [];
  const address = new URL(path.slice(1), document.baseURI).href;
  const isOpen = ["health", "ready"].includes(name);
  return element("article", { class: "card-part" },
    element("h2", { text: `${method.toUpperCase()} ${path}` }),
    element("p", { text: purposes(Boolean(report.box))[name] ?? operation.summary }),
    ...(fields.length ? [element("p", { class: "small", text: words("Form fields: {names}", { names: fields.join(", ") }) })] : []),
    ...(types.length > 1 ? [element("p", { class: "small", text: words("Also accepts: {names}", { names: types.slice(1).join(", ") }) })] : []),
    copyable({ text: curl(isOpen ? "" : token, formOptions(report)[name], address) }));
}

/** A text with a button that copies it. */
function copyable(attributes) {
  const button = element("button", { type: "button", class: "copy", ...translated("Copy") });
  const text = element("pre", attributes);
  button.addEventListener("click", async () => {
    await copyText(text);
    button.textContent = words("Copied");
    setTimeout(() => { button.textContent = words("Copy"); }, 1000 * COPIED_SECONDS);
  });
  return element("div", { class: "copyable" }, text, button);
}

/** Copy a text; where the browser has no clipboard without HTTPS, by selecting it. */
async function copyText(place) {
  try {
    await navigator.clipboard.writeText(place.textContent);
  } catch {
    getSelection().selectAllChildren(place);
    document.execCommand("copy");
  }
}

const listFields = ({ $ref: reference }, schemas) => Object.keys(schemas[reference.split("/").at(-1)].properties);

/** The body and headers of a request with an image, in one of the forms that the API takes. */
async function buildRequest(file, kind) {
  if (kind === FORM) {
    const body = new FormData();
    body.append("file", file, file.name);
    return { body, shown: `file=@${file.name}` };
  }
  if (kind === JSON_TYPE) {
    const data = await readBase64(file);
    const image = { name: file.name, data };
    const shown = JSON.stringify({ images: [{ ...image, data: `${data.slice(0, MAX_SHOWN_BASE64)}…` }] }, null, 1);
    return { body: JSON.stringify({ images: [image] }), headers: { "content-type": JSON_TYPE }, shown };
  }
  const type = file.type || "image/jpeg";
  return { body: file, headers: { "content-type": type }, shown: `@${file.name}` };
}

const readBase64 = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.split(",")[1] ?? "");
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(file);
});

async function tryRequest(event) {
  event.preventDefault();
  const [name, kind] = [byId("try-address").value, byId("try-kind").value];
  const { body, headers, shown } = await buildRequest(byId("try-file").files[0], kind);
  byId("try-send").disabled = true;
  say(byId("try-request"), `POST ${ADDRESS}/${name}\ncontent-type: ${headers?.["content-type"] ?? FORM}\n\n${shown}`);
  try {
    const response = await fetch(`${ADDRESS}/${name}`, { method: "POST", body, headers });
    const lines = SHOWN_HEADERS.filter((header) => response.headers.has(header)).map((header) => `${header}: ${response.headers.get(header)}`);
    say(byId("try-response"), `${response.status}\n${lines.join("\n")}\n\n${format(await response.json())}`);
  } catch (error) {
    say(byId("try-response"), error.message);
  } finally {
    byId("try-send").disabled = false;
  }
}

/** JSON with boxes on one line. */
const format = (value) => JSON.stringify(value, null, 1)
  .replaceAll(/\[\s+(-?\d[-\d,\s]*?)\s+\]/g, (_, numbers) => `[${numbers.replaceAll(/\s+/g, " ")}]`);

function showSnippets(token) {
  const programs = snippets(ADDRESS, "a.jpg", token);
  byId("snippets").replaceChildren(...Object.entries(programs).map(([language, text]) =>
    element("div", {}, element("h3", { text: language }), copyable({ text, "data-language": language }))));
}

setLanguage();
document.title = words("API");
byId("try").addEventListener("submit", tryRequest);
try {
  // Without the cookie of this page the server says whether programs need its token.
  const { status } = await fetch("api/v1/openapi.json", { credentials: "omit" });
  const token = status === 401 ? "TOKEN" : "";
  byId("token-note").hidden = !token;
  showSnippets(token);
  const { classes: [claimed], cropping } = await fetchFacts();
  const isOfFaces = cropping.detector !== "whole";
  const report = isOfFaces ? { claimed, box: [120, 80, 64, 64] } : { claimed };
  if (!isOfFaces) byId("try-address").querySelector("[value=faces]").remove();
  const answer = await fetch("api/v1/openapi.json");
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const { paths, components: { schemas } } = await answer.json();
  // A model of whole images detects no faces.
  const offered = Object.entries(paths).filter(([path]) => isOfFaces || path !== `${API}faces`);
  byId("addresses").replaceChildren(...offered.flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => buildCard(path, method, operation, schemas, { token, report }))));
} catch (error) {
  say(byId("message"), error.message);
  if (error.status === 401) askForToken(error, translated("Token"), "./");
}

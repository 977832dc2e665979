// Documentation of the REST API: an example, then every address of the server's OpenAPI description.

import { byId, element, say } from "./dom.js";
import { setLanguage, words } from "./words.js";

const API = "/api/v1/";
const FORM = "multipart/form-data";
// Form data in curl's syntax.
const FORM_OPTIONS = {
  predict: "-F files=@a.jpg -F files=@b.jpg",
  faces: "-F files=@a.jpg",
  jpeg: "-F file=@a.heic",
  reports: "-F file=@a.jpg -F 'report={\"claimed\": \"mei\", \"box\": [120, 80, 64, 64]}'",
};

/** The purpose of each address; others have the server's English summary. */
const purposes = () => ({
  predict: words("Classifies images, or the faces in them: those in your boxes, or those that the server detects."),
  faces: words("Detects faces and returns their boxes."),
  jpeg: words("Converts an image that browsers cannot show, such as HEIC or TIFF, to JPEG."),
  reports: words("Accepts reports of wrong answers and removal requests, which a person reviews."),
  classes: words("The classes, and how images are cropped before classification."),
  card: words("The model card. Unknown values are null."),
  portraits: words("A face of each class and an example image, if the administrator shows them."),
  "model.json": words("The settings for running the model on a device."),
  "model.onnx": words("The model file, in ONNX format."),
  health: words("Whether the model is loaded."),
  ping: words("Responds immediately."),
});

const curl = (name) => ["curl", FORM_OPTIONS[name], new URL(`api/v1/${name}`, document.baseURI).href].filter(Boolean).join(" ");

function buildCard(path, method, operation) {
  const name = path.replace(API, "");
  const fields = Object.keys(schemaOf(operation)?.properties ?? {});
  return element("article", { class: "card-part" },
    element("h2", { text: `${method.toUpperCase()} ${path}` }),
    element("p", { text: purposes()[name] ?? operation.summary }),
    ...(fields.length ? [element("p", { class: "small", text: words("Form fields: {names}", { names: fields.join(", ") }) })] : []),
    ...(method === "get" || name in FORM_OPTIONS ? [element("pre", { text: curl(name) })] : []));
}

const schemaOf = (operation) => operation.requestBody?.content[FORM]?.schema;

setLanguage();
document.title = words("API");
byId("example").textContent = curl("predict");
byId("example-answer").textContent = JSON.stringify({
  run: "…", images: [{
    name: "a.jpg", width: 640, height: 360,
    parts: [{ box: [120, 80, 64, 64], answer: "mei", predictions: [{ label: "mei", confidence: 0.97 }] }],
  }],
}, null, 1).replaceAll(/\[\s+(\d[\d,\s]*?)\s+\]/g, (_, numbers) => `[${numbers.replaceAll(/\s+/g, " ")}]`);
try {
  const answer = await fetch("api/v1/openapi.json");
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const { paths } = await answer.json();
  byId("addresses").replaceChildren(...Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => buildCard(path, method, operation))));
} catch (error) {
  say(byId("message"), error.message);
}

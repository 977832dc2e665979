// The REST API for people: an example first, then every address that the server's own description names.

import { byId, element, say } from "./dom.js";
import { speak, words } from "./words.js";

const API = "/api/v1/";
const FORM = "multipart/form-data";
// What is sent in a form, as curl writes it.
const SENT = {
  predict: "-F files=@a.jpg -F files=@b.jpg",
  faces: "-F files=@a.jpg",
  jpeg: "-F file=@a.heic",
  reports: "-F file=@a.jpg -F 'report={\"claimed\": \"mei\", \"box\": [120, 80, 64, 64]}'",
};

/** What an address is for; of one that is not named here the server's English words are told. */
const purposes = () => ({
  predict: words("Says who or what is in one picture or many; faces that you name by boxes, or that the server finds."),
  faces: words("Says where the server sees faces."),
  jpeg: words("Turns a picture that browsers do not show, such as HEIC or TIFF, into a JPEG."),
  reports: words("Accepts reports of wrong answers and removal requests, which a person reviews."),
  classes: words("The classes, and how pictures are cut before they are judged."),
  card: words("What is known of the model; null is not known."),
  portraits: words("A face of each class and a picture to try, where whoever runs the page shows them."),
  "model.json": words("What a device must know of the model."),
  "model.onnx": words("The model itself."),
  health: words("Whether a model answers."),
  ping: words("Answers at once."),
});

const curl = (name) => ["curl", SENT[name], new URL(`api/v1/${name}`, document.baseURI).href].filter(Boolean).join(" ");

function address(path, method, operation) {
  const name = path.replace(API, "");
  const fields = Object.keys(schemaOf(operation)?.properties ?? {});
  return element("article", { class: "card-part" },
    element("h2", { text: `${method.toUpperCase()} ${path}` }),
    element("p", { text: purposes()[name] ?? operation.summary }),
    ...(fields.length ? [element("p", { class: "small", text: words("Fields of the form: {names}", { names: fields.join(", ") }) })] : []),
    ...(method === "get" || name in SENT ? [element("pre", { text: curl(name) })] : []));
}

const schemaOf = (operation) => operation.requestBody?.content[FORM]?.schema;

speak();
document.title = words("API");
byId("example").textContent = curl("predict");
byId("example-answer").textContent = JSON.stringify({
  run: "…", pictures: [{
    name: "a.jpg", width: 640, height: 360,
    parts: [{ box: [120, 80, 64, 64], answer: "mei", predictions: [{ label: "mei", confidence: 0.97 }] }],
  }],
}, null, 1).replaceAll(/\[\s+(\d[\d,\s]*?)\s+\]/g, (_, numbers) => `[${numbers.replaceAll(/\s+/g, " ")}]`);
try {
  const answer = await fetch("api/v1/openapi.json");
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const { paths } = await answer.json();
  byId("addresses").replaceChildren(...Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => address(path, method, operation))));
} catch (error) {
  say(byId("message"), error.message);
}

// Programs that send an image to the API, for the address of this page. The tests run them.

/** A command of curl, with the header that sends a token, unless that is empty. */
export const curl = (token, options, address) =>
  ["curl", token && `-H 'authorization: Bearer ${token}'`, options, address].filter(Boolean).join(" ");

/** Snippets by language; `address` is that of the API, `file` the name of the image, `token` a token or empty. */
export const snippets = (address, file, token) => ({
  "curl": curl(token, `-F file=@${file}`, `${address}/predict`),
  "curl (image/jpeg)": curl(token, `-H 'content-type: image/jpeg' --data-binary @${file}`, `${address}/predict`),
  "Python": `import base64
import json
from pathlib import Path
from urllib.request import Request, urlopen

data = base64.b64encode(Path("${file}").read_bytes()).decode()
body = json.dumps({"images": [{"name": "${file}", "data": data}]}).encode()
headers = {"content-type": "application/json"${token && `, "authorization": "Bearer ${token}"`}}
with urlopen(Request("${address}/predict", body, headers)) as response:
    result = json.load(response)
(image,) = result["images"]
if error := image.get("error"):
    print(error["reason"], "-", error["detail"])
for part in image.get("parts", []):
    if part["best"] is None:
        print("unknown")
    else:  # unsure, below 50 %, has no answer: more likely wrong than right
        print(part["answer"] or "perhaps " + part["best"], part["confidence"])`,
  "JavaScript": `import { readFile } from "node:fs/promises";

const response = await fetch("${address}/predict", {
  method: "POST",
  headers: { "content-type": "image/jpeg"${token && `, authorization: "Bearer ${token}"`} },
  body: await readFile("${file}"), // in a browser: a File or Blob
});
const result = await response.json();
if (!response.ok) throw new Error(\`\${result.detail}: \${result.hint}\`);
const [image] = result.images;
if (image.error) console.log(image.error.reason, "-", image.error.detail);
for (const part of image.parts ?? []) {
  // Unsure, below 50 %, has no answer: more likely wrong than right.
  if (part.best === null) console.log("unknown");
  else console.log(part.answer ?? "perhaps " + part.best, part.confidence);
}`,
});

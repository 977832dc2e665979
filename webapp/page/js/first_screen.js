// The first screen: what the model knows, an example to try, and the privacy notice.

import { byId, element, say } from "./dom.js";
import { buildName } from "./layout.js";
import * as server from "./server.js";
import { words } from "./words.js";

const MAX_SHOWN_CLASSES = 60;
const MAX_COLUMNS = 6;
const MIN_COLUMNS = 2;

/** Show what the model knows: names at once, faces and an example when loaded, if the administrator allows them. */
export async function showClasses(about, tryExample) {
  const names = about?.classes ?? [];
  say(byId("description"), about?.description ?? "");
  // Before the faces are loaded, too, so that nothing moves.
  byId("first").classList.toggle("with-faces", Boolean(about?.portraits));
  fillClasses(names, {});
  if (!about?.portraits) return;
  const { faces, example } = await server.portraits().catch(() => ({ faces: {}, example: null }));
  fillClasses(names, faces);
  byId("first").classList.toggle("with-faces", Object.keys(faces).length > 0);
  byId("example").hidden = !example;
  if (!example) return;
  byId("example-image").src = example;
  byId("example").onclick = () => tryExample(decodeDataUri(example));
}

function decodeDataUri(uri) {
  const [head, data] = uri.split(",");
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return new File([bytes], `${words("Example")}.jpg`, { type: head.slice("data:".length).split(";")[0] });
}

function fillClasses(names, faces) {
  byId("first").hidden = !names.length;
  byId("known-count").textContent = names.length;
  const facesFirst = [...names].sort((one, other) => Boolean(faces[other]) - Boolean(faces[one]));
  const items = facesFirst.slice(0, MAX_SHOWN_CLASSES).map((name) => element("li", { "data-initial": faces[name] ? null : [...name][0].toUpperCase() },
    ...(faces[name] ? [element("img", { src: faces[name], alt: "" })] : []), buildName(name)));
  const rest = names.length - MAX_SHOWN_CLASSES;
  if (rest > 0) items.push(element("li", { class: "rest", text: `+${rest}` }));
  // As many columns as rows, so that few faces are large and many are small.
  const columns = Math.min(Math.max(Math.ceil(Math.sqrt(items.length)), MIN_COLUMNS), MAX_COLUMNS);
  byId("known").style.setProperty("--columns", columns);
  byId("known").style.setProperty("--rows", Math.ceil(items.length / columns));
  byId("known").replaceChildren(...items);
}

/** Say whether images are sent to the server. */
export function showPrivacyNotice(onDevice) {
  say(byId("promise"), onDevice
    ? words("Your image stays on this device.")
    : words("Your image is sent to the server and not stored."));
  byId("folder-privacy").textContent = onDevice
    ? words("The images stay on this device, even if your browser asks about an upload.")
    : words("The images are sent to the server, one by one, and not stored.");
}

// The first screen: whom the model knows, an example to try, and where a picture goes.

import { byId, element, say } from "./dom.js";
import * as server from "./server.js";
import { words } from "./words.js";

const MOST_KNOWN = 60;

/** Show whom the model knows: names at once, faces as soon as they come, where the administrator shows them. */
export async function showKnown(about, tryExample) {
  const names = about?.classes ?? [];
  fill(names, {});
  if (!about?.portraits) return;
  const { faces, example } = await server.portraits().catch(() => ({ faces: {}, example: null }));
  fill(names, faces);
  byId("example").hidden = !example;
  byId("example").onclick = () => tryExample(fileOf(example));
}

function fileOf(uri) {
  const [head, data] = uri.split(",");
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return new File([bytes], `${words("Example")}.jpg`, { type: head.slice("data:".length).split(";")[0] });
}

function fill(names, faces) {
  byId("first").hidden = !names.length;
  const shown = names.slice(0, MOST_KNOWN).map((name) => element("li", {},
    ...(faces[name] ? [element("img", { src: faces[name], alt: "" })] : []), element("bdi", {}, ...breakable(name))));
  const rest = names.length - MOST_KNOWN;
  if (rest > 0) shown.push(element("li", { text: `+${rest}` }));
  byId("known").replaceChildren(...shown);
}

/** A name that a line may end in where its words do, as umiko_ahagon. */
function breakable(name) {
  return name.split(/(?<=[_.-])/).flatMap((word, number) => (number ? [element("wbr"), word] : [word]));
}

/** Say where a picture goes, as things stand. */
export function showPromise(onDevice) {
  say(byId("promise"), onDevice
    ? words("Your image stays on this device.")
    : words("Your image is sent to the server and not stored."));
}

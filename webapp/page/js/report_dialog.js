// "Wrong result?": who it is in truth goes to whoever runs the page.

import { byId, say } from "./dom.js";
import { paint } from "./pictures.js";
import { report } from "./server.js";
import { words } from "./words.js";

const dialog = byId("report");
let asked = null;

/** Offer the classes that are known. */
export function offerClasses(classes) {
  byId("report-classes").replaceChildren(...classes.map((name) => new Option(name, name)));
}

/** Ask who is in a box of a picture (null: in all of it); `sent` is called with what to say. */
export function askWhoItIs(picture, box, sent) {
  asked = { picture, box, sent };
  paint(byId("report-face"), picture, box);
  byId("report-class").value = "";
  byId("report-note").value = "";
  say(byId("report-message"), "");
  dialog.showModal();
  byId("report-class").focus();
}

byId("report-cancel").addEventListener("click", () => dialog.close());
dialog.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { picture, box, sent } = asked;
  const send = byId("report-send");
  send.disabled = true;
  try {
    const told = {
      claimed: byId("report-class").value, note: byId("report-note").value,
      box: box && [box.x, box.y, box.width, box.height],
    };
    const { new: fresh } = await report(picture.blob, picture.name, told);
    dialog.close();
    sent(fresh ? words("Thank you, it was sent.") : words("This was reported before."));
  } catch (error) {
    say(byId("report-message"), error.message);
  } finally {
    send.disabled = false;
  }
});

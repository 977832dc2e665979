// What a server refuses, in the language of the page. Of reasons that no visitor can meet the server's own words are told.

import { currentLanguage, words } from "./words.js";

// Of these the server tells how much it takes.
const LIMITS = ["too large", "too many faces"];

/** A sentence for a person: `reason` is one of few, `detail` and `hint` are the server's English words. */
export function refusal(reason, detail = "", hint = "") {
  const sentence = sentences()[reason];
  if (!sentence) return [reason, detail, hint].filter(Boolean).join(" – ");
  return LIMITS.includes(reason) && detail && currentLanguage() === "en" ? `${sentence} (${detail})` : sentence;
}

function sentences() {
  const unreadable = words("The server cannot read this picture.");
  return {
    "no connection": words("The server cannot be reached. Try again, or ask on this device."),
    "owner's token needed": words("This page is for the owner alone: open the address that was printed when the server was started with --owner."),
    "token needed": words("The server asks for a token: open the address that it printed when it was started."),
    "too many requests": words("That was asked too often. Try again in a minute."),
    "busy": words("The server has too much to do. Try again."),
    "too slow": words("The picture came too slowly. Try again, or a smaller one."),
    "too large": words("The picture is too large for the server."),
    "not an image": unreadable, "unsupported format": unreadable, "damaged": unreadable, "empty": unreadable, "cannot be read": unreadable,
    "no face found": words("No face was found. Draw a box around it."),
    "too many faces": words("There are too many faces in the picture."),
    "not on devices": words("This server does not give its model away. Ask on the server."),
    "no reports here": words("This server keeps no reports."),
    "no name of a class": words("This cannot be a name: take 1 to 100 letters, no dot first, no sign that a folder must not have, such as a slash, and no word that is kept for something else, such as unknown or con."),
    "taken down": words("This picture was taken down, and is not taken in again."),
    "no reason": words("Say why the picture should be removed."),
    "full": words("Too many reports wait to be looked at. Try again another day."),
  };
}

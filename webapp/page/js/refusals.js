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
  const unreadable = words("The server cannot read this image.");
  return {
    "no connection": words("The server cannot be reached. Try again, or use this device."),
    "administrator's token needed": words("This page is for the administrator: open the address printed by a server started with --admin."),
    "token needed": words("The server needs a token: open the address that it printed at its start."),
    "too many requests": words("Too many requests. Try again in a minute."),
    "busy": words("The server is busy. Try again."),
    "too slow": words("The upload took too long. Try again, or use a smaller image."),
    "too large": words("The image is too large for the server."),
    "not an image": unreadable, "unsupported format": unreadable, "damaged": unreadable, "empty": unreadable, "cannot be read": unreadable,
    "no face found": words("No face was found. Draw a box around it."),
    "too many faces": words("There are too many faces in the image."),
    "not on devices": words("The model cannot be downloaded. Use the server."),
    "no reports here": words("This server does not accept reports."),
    "no name of a class": words("Invalid name: use 1 to 100 characters, no leading dot, no characters that folder names cannot have (such as a slash), and no reserved word (such as unknown or con)."),
    "taken down": words("This image was removed and is not accepted again."),
    "no reason": words("Say why the image should be removed."),
    "full": words("Too many pending reports. Try again another day."),
  };
}

// Refusals of the server in the language of the page; for reasons users cannot meet, in the server's words.

import { currentLanguage, words } from "./words.js";

// The details of these have the limits of the server.
const LIMITS = ["too large", "too many faces"];

/** A sentence for users: `reason` is one of those below, `detail` and `hint` are English texts of the server. */
export function refusal(reason, detail = "", hint = "") {
  const sentence = sentences()[reason];
  if (!sentence) return [reason, detail, hint].filter(Boolean).join(" – ");
  return LIMITS.includes(reason) && detail && currentLanguage() === "en" ? `${sentence} (${detail})` : sentence;
}

function sentences() {
  const unreadable = words("The server cannot read this image.");
  return {
    "no connection": words("The server cannot be reached. Try again."),
    "administrator's token needed": words("This page is for the administrator: enter the token at the end of the address printed by a server started with --admin."),
    "token needed": words("The server needs a token: enter the one at the end of the address that the administrator gave you, or that the server printed at its start."),
    "wrong token": words("This token is not right. Enter the one at the end of the address that you were given, or that the server printed."),
    "too many requests": words("Too many requests. Try again in a minute."),
    "busy": words("The server is busy. Try again."),
    "too slow": words("The upload took too long. Try again, or use a smaller image."),
    "too large": words("The image is too large for the server."),
    "not an image": unreadable, "unsupported format": unreadable, "damaged": unreadable, "truncated": unreadable, "empty": unreadable, "cannot be read": unreadable,
    "no face found": words("No face was found. Draw a box around a face, if there is one."),
    "no detector": words("The face detector is not on this device yet: connect once to load it, or draw a box."),
    "too many faces": words("There are too many faces in the image."),
    "not on devices": words("The model cannot be downloaded. Use the server."),
    "already the answer": words("This is already the answer."),
    "no reports here": words("This server does not accept reports."),
    "no name of a class": words("Invalid name: use 1 to 100 characters, no leading dot, no characters that folder names cannot have (such as a slash), and no reserved word (such as unknown or con)."),
    "no such class": words("This class was deleted meanwhile. Create it, or choose another one."),
    "taken down": words("This image was removed and is not accepted again."),
    "no reason": words("Say why the image should be removed."),
    "full": words("Too many pending reports. Try again another day."),
  };
}

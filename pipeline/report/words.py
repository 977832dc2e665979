"""Codes as plain words for people who have never seen the program."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from gleanset.html.words import shortened

_MEANINGS = {
    "damaged": "begins like a picture, but cannot be decoded",
    "truncated": "the end of the file is missing",
    "too large": "more pixels, frames or bytes than is safe to decode",
    "unsupported format": "a format that is not taken; convert it first",
    "not an image": "something else, such as a web page or a text file",
    "empty": "a file without content",
    "not a file": "a device, a pipe or a broken link",
    "cannot be read": "the system did not let us read it",
    "file is gone": "the original was removed from the dataset folder",
    "forgotten": "removed on purpose earlier, so it must not come back",
    "not a video": "nothing that ffmpeg can play",
    "damaged further on": "the frames before the damage were kept",
    "private address": "points into a private network; allow it with --allow-private",
    "bad url": "not an address that can be fetched",
    "bad redirect": "sent in circles, or to a place that cannot be fetched",
    "timed out": "the site did not answer in time",
    "not recorded": "failed earlier, nobody knows why; harvest retry tries it again",
    "too slow": "took longer than one item may take",
    "cut off": "the connection ended before the file did",
    "connection failed": "the site could not be reached",
    "crashed": "broke the decoder twice; isolated, so the run went on",
    "internal error": "a bug in Gleanset; please report it",
    "no face found": "a detector searched them and found none: facecrop miss lists them",
    "face too small": "below the smallest size that was asked for",
    "set aside as a copy": "another picture shows the same and is kept: labeler groups",
    "rejected": "a decision in the journal",
    "no part in the split": "labelled, but in neither train, val nor test",
    "left out of train": "so that classes count alike",
}
_HTTP = {
    "401": "the site wants a login",
    "403": "the site refused",
    "404": "no longer there",
    "410": "removed for good",
    "429": "asked too often",
}
QUEUE = {
    "no hint": "nothing says what they are: a person must look",
    "disputed hint": "found, or copies of it, under different hints: a person must decide",
    "a copy was decided otherwise": "a person said something else of a copy than the hint says",
    "several faces": "one hint, but several faces in the picture: whose is it?",
    "hint is not a class name": "the hint cannot be used as the name of a class",
    "clear hint": "one hint, one face: labeler accept-hints will label them",
}


def meaning(reason: str) -> str:
    """What the reason of a rejection means, in a few words; empty for one we do not know."""
    if match := re.fullmatch(r"http (\d{3})", reason):
        code = match[1]
        return _HTTP.get(code, "the site has a fault" if code[0] == "5" else "the site refused")
    return _MEANINGS.get(reason, "")


def short_place(text: str) -> str:
    """A URL as host and end of its path, a path as its last two parts."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return shortened(text)
    if parts.scheme in ("http", "https") and parts.netloc:
        # Only the host: what stands before an @ may be a password.
        host, tail = parts.netloc.rpartition("@")[2], parts.path.rstrip("/").rpartition("/")[2]
        return shortened(f"{host}/…/{tail}" if parts.path.count("/") > 1 else f"{host}/{tail}")
    return shortened("/".join(re.split(r"[/\\]", text)[-2:]))

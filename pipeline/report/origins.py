"""Sources and rejections of the report, with explanations of reasons."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from urllib.parse import urlsplit

from gleanset import Dataset
from gleanset.db.statistics import FailureCount, SourceYield, Statistics
from gleanset.html.words import shortened

_MEANINGS = {
    "damaged": "starts like an image, but cannot be decoded",
    "truncated": "the end of the file is missing",
    "too large": "more pixels, frames or bytes than is safe to decode",
    "unsupported format": "convert it to another format first",
    "not an image": "another kind of file, such as a web page",
    "empty": "an empty file",
    "not a file": "a device, a pipe or a broken link",
    "cannot be read": "a file system or network error",
    "file is gone": "the original was removed from the dataset folder",
    "forgotten": "removed with gleanset forget, so not imported again",
    "not a video": "not supported by ffmpeg",
    "damaged video": "used up to the damage",
    "private address": "in a private network; allow it with --allow-private",
    "bad url": "not a valid URL",
    "bad redirect": "a redirect loop or an invalid target",
    "timed out": "the site did not answer in time",
    "not recorded": "failed without a known reason; try again with harvest retry",
    "too slow": "took longer than the limit",
    "cut off": "the connection ended too early",
    "connection failed": "the site could not be reached",
    "detector failed": "error of a plugin; see gleanset list rejections",
    "crashed": "crashed a worker process twice",
    "internal error": "a bug in Gleanset; please report it",
    "no face found": "no detection; list them with gleanset list missed",
    "face too small": "below the minimum size",
    "duplicate": "a better copy is kept; see labeler groups",
    "rejected": "rejected by a person",
    "no part in the split": "labelled, but not in train, val or test",
}
_HTTP = {
    "401": "login required",
    "403": "refused by the site",
    "404": "not found",
    "410": "permanently removed",
    "429": "too many requests",
}
QUEUE_MEANINGS = {
    "no hint": "no query or folder suggests a class",
    "disputed": "its folder or table contradicts another file or an earlier decision",
    "disputed hint": "it or its copies have different weak labels",
    "a copy was decided otherwise": "a copy has another label",
    "several faces": "one weak label, but several faces in the image",
    "hint is not a class name": "the weak label is not a valid class name",
    "clear hint": "ready to accept: labeler accept hints",
}


def explain_reason(reason: str) -> str:
    """Explain the reason of a rejection; empty for an unknown one."""
    if match := re.fullmatch(r"http (\d{3})", reason):
        code = match[1]
        return _HTTP.get(code, "server error" if code[0] == "5" else "refused by the site")
    return _MEANINGS.get(reason, "")


def shorten_location(text: str) -> str:
    """Return a URL as host and end of its path, a path as its last two parts."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return shortened(text)
    if parts.scheme in ("http", "https") and parts.netloc:
        # Only the host, because credentials may precede it.
        host, tail = parts.netloc.rpartition("@")[2], parts.path.rstrip("/").rpartition("/")[2]
        return shortened(f"{host}/…/{tail}" if parts.path.count("/") > 1 else f"{host}/{tail}")
    return shortened("/".join(re.split(r"[/\\]", text)[-2:]))


MAX_ROWS = 60

REQUEST_KINDS = {"search": "search for", "video": "frames of"}


@dataclass(frozen=True, slots=True)
class OriginsSection:
    """The section about sources."""

    sources: int
    rows: dict[str, list[SourceYield]]
    max_images: int
    more_rows: int
    several: int
    disputed: int


def gather_origins(dataset: Dataset) -> OriginsSection:
    """Gather the section."""
    statistics = Statistics(dataset.db)
    yields = statistics.list_yields()
    rows: dict[str, list[SourceYield]] = defaultdict(list)
    for row in yields[:MAX_ROWS]:
        rows[row.source].append(row)
    return OriginsSection(
        len({row.source for row in yields}),
        rows,
        max((row.images for row in yields), default=1),
        max(0, len(yields) - MAX_ROWS),
        *statistics.count_duplicate_finds(),
    )


def gather_rejections(dataset: Dataset) -> list[FailureCount]:
    """Gather unreadable items, then those that later stages left out."""
    statistics = Statistics(dataset.db)
    return [*statistics.list_failures(), *statistics.list_unused()]

"""Sources and rejections of the report, with explanations of reasons."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from gleanset import Dataset
from gleanset.db.statistics import FailureCount, SourceYield, Statistics
from gleanset.html.thumbnails import Thumbnail, Thumbnails
from gleanset.html.words import shortened
from gleanset.records import Image, Origin

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
MAX_REPEATED_IMAGES = 12
MAX_LOCATIONS = 4

_KINDS = {"search": "search for", "video": "frames of"}


@dataclass(frozen=True, slots=True)
class SourceRow:
    """Images of one query to a source; `share` is relative to the largest row."""

    kind: str
    asked: str | None
    images: int
    samples: int
    labelled: int
    share: float


@dataclass(frozen=True, slots=True)
class FoundAt:
    """A location where an image was found."""

    source: str
    location: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class FoundAgain:
    """An image found in several locations, `unlisted_count` of them not listed."""

    thumbnail: Thumbnail | None
    places: list[FoundAt]
    unlisted_count: int
    disputed: bool


@dataclass(frozen=True, slots=True)
class OriginsSection:
    """The section about sources."""

    sources: int
    rows: dict[str, list[SourceRow]]
    more_rows: int
    repeated: list[FoundAgain]
    several: int
    disputed: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Items that a stage left out for one reason."""

    stage: str
    reason: str
    meaning: str
    count: int
    example: str
    detail: str


def gather_origins(dataset: Dataset, thumbnails: Thumbnails) -> OriginsSection:
    """Gather the section."""
    statistics = Statistics(dataset.db)
    yields = statistics.list_yields()
    duplicates = statistics.count_duplicate_finds()
    return OriginsSection(
        statistics.count_sources(),
        _source_rows(yields[:MAX_ROWS]),
        max(0, len(yields) - MAX_ROWS),
        list(_repeated_images(dataset, statistics, thumbnails)),
        duplicates.several,
        duplicates.disputed,
    )


def gather_rejections(dataset: Dataset) -> list[LeftOut]:
    """Gather unreadable items, then those that later stages left out."""
    statistics = Statistics(dataset.db)
    return [_left_out(row) for row in (*statistics.list_failures(), *statistics.list_unused())]


def _source_rows(yields: list[SourceYield]) -> dict[str, list[SourceRow]]:
    max_images = max((row.images for row in yields), default=1)
    rows: dict[str, list[SourceRow]] = defaultdict(list)
    for row in yields:
        kind, share = _KINDS.get(row.kind, "weak label"), row.images / max_images
        rows[row.source].append(
            SourceRow(kind, row.asked, row.images, row.samples, row.labelled, share)
        )
    return rows


def _repeated_images(
    dataset: Dataset, statistics: Statistics, thumbnails: Thumbnails
) -> Iterator[FoundAgain]:
    for sha256 in statistics.list_duplicate_finds(MAX_REPEATED_IMAGES):
        image = dataset.images.get(sha256)
        if image is not None:
            yield _repeated_image(image, thumbnails.of_image(image))


def _repeated_image(image: Image, thumbnail: Thumbnail | None) -> FoundAgain:
    places = [_location(origin) for origin in image.origins[:MAX_LOCATIONS]]
    hints = {origin.hint for origin in image.origins if origin.hint is not None}
    return FoundAgain(thumbnail, places, max(0, len(image.origins) - MAX_LOCATIONS), len(hints) > 1)


def _location(origin: Origin) -> FoundAt:
    if origin.video is not None and origin.time is not None:
        text = f"{shorten_location(origin.title or 'video')} at {origin.time:.1f} s"
    else:
        text = shorten_location(origin.page_url or origin.url or origin.path or origin.key)
    # Not shown again if the folder has the same name.
    hint = None if origin.hint and text.startswith(f"{origin.hint}/") else origin.hint
    return FoundAt(origin.source, text, hint)


def _left_out(failure: FailureCount) -> LeftOut:
    return LeftOut(
        failure.stage.replace("-", " "),
        failure.reason,
        explain_reason(failure.reason),
        failure.items,
        shorten_location(failure.example),
        failure.detail,
    )

"""Where the pictures came from, which were found again, and which were left out, in plain words."""

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
    "damaged": "begins like a picture, but cannot be decoded",
    "truncated": "the end of the file is missing",
    "too large": "more pixels, frames or bytes than is safe to decode",
    "unsupported format": "a format that is not taken; convert it first",
    "not an image": "something else, such as a web page or a text file",
    "empty": "a file without content",
    "not a file": "a device, a pipe or a broken link",
    "cannot be read": "the system, or the way there, did not let us read it",
    "file is gone": "the original was removed from the dataset folder",
    "forgotten": "removed on purpose earlier, so it must not come back",
    "not a video": "nothing that ffmpeg can play",
    "damaged video": "its frames were kept as far as it could be read",
    "private address": "points into a private network; allow it with --allow-private",
    "bad url": "not an address that can be fetched",
    "bad redirect": "sent in circles, or to a place that cannot be fetched",
    "timed out": "the site did not answer in time",
    "not recorded": "failed earlier, nobody knows why; harvest retry tries it again",
    "too slow": "took longer than one item may take",
    "cut off": "the connection ended before the file did",
    "connection failed": "the site could not be reached",
    "detector failed": "the detector of another package: gleanset list rejections names it",
    "crashed": "broke the decoder twice; isolated, so the run went on",
    "internal error": "a bug in Gleanset; please report it",
    "no face found": "a detector searched them and found none: gleanset list missed has them",
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
    "disputed": "its folder or table says another class than other files, or than was decided",
    "disputed hint": "found, or copies of it, under different hints: a person must decide",
    "a copy was decided otherwise": "a person said something else of a copy than the hint says",
    "several faces": "one hint, but several faces in the picture: whose is it?",
    "hint is not a class name": "the hint cannot be used as the name of a class",
    "clear hint": "one hint, one face: labeler accept hints will label them",
}


def meaning(reason: str) -> str:
    """Return what the reason of a rejection means, in a few words; empty for one we do not know."""
    if match := re.fullmatch(r"http (\d{3})", reason):
        code = match[1]
        return _HTTP.get(code, "the site has a fault" if code[0] == "5" else "the site refused")
    return _MEANINGS.get(reason, "")


def short_place(text: str) -> str:
    """Return a URL as host and end of its path, a path as its last two parts."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return shortened(text)
    if parts.scheme in ("http", "https") and parts.netloc:
        # Only the host: what stands before an @ may be a password.
        host, tail = parts.netloc.rpartition("@")[2], parts.path.rstrip("/").rpartition("/")[2]
        return shortened(f"{host}/…/{tail}" if parts.path.count("/") > 1 else f"{host}/{tail}")
    return shortened("/".join(re.split(r"[/\\]", text)[-2:]))


ROWS = 60
PICTURES = 12
PLACES = 4

_KINDS = {"search": "search for", "video": "frames of"}


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One request to one source. `share` is its part of the largest row, for the bar."""

    kind: str
    asked: str | None
    images: int
    samples: int
    labelled: int
    share: float


@dataclass(frozen=True, slots=True)
class FoundAt:
    """One place where a picture was found."""

    source: str
    where: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class FoundAgain:
    """A picture found in several places; `more` of them are not listed."""

    thumbnail: Thumbnail | None
    places: list[FoundAt]
    more: int
    disputed: bool


@dataclass(frozen=True, slots=True)
class OriginsSection:
    """Section 2: what came from where."""

    sources: int
    rows: dict[str, list[SourceRow]]
    more_rows: int
    met: list[FoundAgain]
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


def origins(dataset: Dataset, thumbnails: Thumbnails) -> OriginsSection:
    """Gather section 2."""
    known = Statistics(dataset.db)
    yields = known.list_yields()
    again = known.count_duplicate_finds()
    return OriginsSection(
        known.count_sources(),
        _source_rows(yields[:ROWS]),
        max(0, len(yields) - ROWS),
        list(_met(dataset, known, thumbnails)),
        again.several,
        again.disputed,
    )


def rejections(dataset: Dataset) -> list[LeftOut]:
    """Gather section 3: what could not be read, then what a later stage made no use of."""
    known = Statistics(dataset.db)
    return [_left(failure) for failure in (*known.list_failures(), *known.list_unused())]


def _source_rows(yields: list[SourceYield]) -> dict[str, list[SourceRow]]:
    most = max((row.images for row in yields), default=1)
    rows: dict[str, list[SourceRow]] = defaultdict(list)
    for row in yields:
        kind, share = _KINDS.get(row.kind, "hint"), row.images / most
        rows[row.source].append(
            SourceRow(kind, row.asked, row.images, row.samples, row.labelled, share)
        )
    return rows


def _met(dataset: Dataset, known: Statistics, thumbnails: Thumbnails) -> Iterator[FoundAgain]:
    for sha256 in known.list_duplicate_finds(PICTURES):
        image = dataset.images.get(sha256)
        if image is not None:
            yield _met_image(image, thumbnails.of_image(image))


def _met_image(image: Image, thumbnail: Thumbnail | None) -> FoundAgain:
    places = [_place(origin) for origin in image.origins[:PLACES]]
    hints = {origin.hint for origin in image.origins if origin.hint is not None}
    return FoundAgain(thumbnail, places, max(0, len(image.origins) - PLACES), len(hints) > 1)


def _place(origin: Origin) -> FoundAt:
    if origin.video is not None and origin.time is not None:
        where = f"{short_place(origin.title or 'video')} at {origin.time:.1f} s"
    else:
        where = short_place(origin.page_url or origin.url or origin.path or origin.key)
    # A folder that is the hint says it already.
    hint = None if origin.hint and where.startswith(f"{origin.hint}/") else origin.hint
    return FoundAt(origin.source, where, hint)


def _left(failure: FailureCount) -> LeftOut:
    return LeftOut(
        failure.stage.replace("-", " "),
        failure.reason,
        meaning(failure.reason),
        failure.items,
        short_place(failure.example),
        failure.detail,
    )

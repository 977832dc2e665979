"""Where the pictures came from, which were met again, and which were left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from gleanset import Dataset
from gleanset.db.statistics import FailureCount, SourceYield, Statistics
from gleanset.html.thumbnails import Thumbnail, Thumbnails
from gleanset.records import Image, Origin
from pipeline.report.words import meaning, short_place

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
class Place:
    """One place where a picture was found."""

    source: str
    where: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class Met:
    """A picture found in several places; `more` of them are not listed."""

    thumbnail: Thumbnail | None
    places: list[Place]
    more: int
    disputed: bool


@dataclass(frozen=True, slots=True)
class Origins:
    """Section 2: what came from where."""

    sources: int
    rows: dict[str, list[SourceRow]]
    more_rows: int
    met: list[Met]
    several: int
    disputed: int


@dataclass(frozen=True, slots=True)
class Left:
    """Items that a stage left out for one reason."""

    stage: str
    reason: str
    meaning: str
    count: int
    example: str
    detail: str


def origins(dataset: Dataset, thumbnails: Thumbnails) -> Origins:
    """Gather section 2."""
    known = Statistics(dataset.db)
    yields = known.yields()
    again = known.found_again()
    return Origins(
        known.sources(),
        _source_rows(yields[:ROWS]),
        max(0, len(yields) - ROWS),
        list(_met(dataset, known, thumbnails)),
        again.several,
        again.disputed,
    )


def rejections(dataset: Dataset) -> list[Left]:
    """Gather section 3: what could not be read, then what a later stage made no use of."""
    known = Statistics(dataset.db)
    return [_left(failure) for failure in (*known.failures(), *known.left_out())]


def _source_rows(yields: list[SourceYield]) -> dict[str, list[SourceRow]]:
    """The rows of each source."""
    most = max((row.images for row in yields), default=1)
    found: dict[str, list[SourceRow]] = defaultdict(list)
    for row in yields:
        kind, share = _KINDS.get(row.kind, "hint"), row.images / most
        found[row.source].append(
            SourceRow(kind, row.asked, row.images, row.samples, row.labelled, share)
        )
    return found


def _met(dataset: Dataset, known: Statistics, thumbnails: Thumbnails) -> Iterator[Met]:
    for sha256 in known.images_found_again(PICTURES):
        image = dataset.images.get(sha256)
        if image is not None:
            yield _met_image(image, thumbnails.of_image(image))


def _met_image(image: Image, thumbnail: Thumbnail | None) -> Met:
    places = [_place(origin) for origin in image.origins[:PLACES]]
    hints = {origin.hint for origin in image.origins if origin.hint is not None}
    return Met(thumbnail, places, max(0, len(image.origins) - PLACES), len(hints) > 1)


def _place(origin: Origin) -> Place:
    if origin.video is not None and origin.time is not None:
        where = f"{short_place(origin.title or 'video')} at {origin.time:.1f} s"
    else:
        where = short_place(origin.page_url or origin.url or origin.path or origin.key)
    # A folder that is the hint says it already.
    hint = None if origin.hint and where.startswith(f"{origin.hint}/") else origin.hint
    return Place(origin.source, where, hint)


def _left(failure: FailureCount) -> Left:
    return Left(
        failure.stage.replace("-", " "),
        failure.reason,
        meaning(failure.reason),
        failure.items,
        short_place(failure.example),
        failure.detail,
    )

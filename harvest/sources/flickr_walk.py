"""Past the 4,000 results of a query that Flickr shows: window after window of upload dates."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass

from gleanset.errors import Changed
from harvest.sources.flickr_api import Answer, Photo

PAGE = 500
# Later pages repeat the last of these.
CAP = 4_000
# 2004-01-01; Flickr began in February.
_BEGINNING = 1_072_915_200

Search = Callable[[Mapping[str, str]], Answer]


@dataclass(frozen=True, slots=True)
class Window:
    """Upload dates from `first` to `last`, both included, in seconds since 1970."""

    first: int
    last: int

    def halves(self) -> tuple[Window, Window]:
        """The older and the newer half."""
        middle = (self.first + self.last) // 2
        return Window(self.first, middle), Window(middle + 1, self.last)

    def params(self) -> dict[str, str]:
        """As Flickr is asked for it."""
        return {"min_upload_date": str(self.first), "max_upload_date": str(self.last)}

    def holds(self, photo: Photo) -> bool:
        """Whether the photo says that it was uploaded in this window."""
        told = str(photo.get("dateupload", ""))
        return told.isdecimal() and self.first - 1 <= int(told) <= self.last + 1


def pages(search: Search, params: Mapping[str, str]) -> Iterator[list[Photo]]:
    """Every page of results; photos may come twice.

    First the query as it is, in its own order. Where there is more than Flickr shows of one
    query, windows follow, the newest first, split until each has few enough.
    """
    params = {**params, "per_page": str(PAGE)}
    first = search({**params, "page": "1"})
    if not first.photos and first.total > 0:
        raise Changed(
            f"Flickr says that it has {first.total} photos, but lists none.",
            "Try again later, with other words, or use another source.",
        )
    yield from _shown(search, params, first)
    if first.total > CAP:
        yield from _windows(search, params)


def _windows(search: Search, params: Mapping[str, str]) -> Iterator[list[Photo]]:
    windows = [_whole(params)]
    while windows:
        window = windows.pop()
        asked = {**params, **window.params()}
        first = search({**asked, "page": "1"})
        _check(first, window)
        if first.total > CAP and window.first < window.last:
            windows += window.halves()
        else:
            yield from _shown(search, asked, first)


def _whole(params: Mapping[str, str]) -> Window:
    first = int(params.get("min_upload_date", _BEGINNING))
    return Window(first, int(params.get("max_upload_date", max(first, int(time.time())))))


def _shown(
    search: Search, params: Mapping[str, str], first: Answer
) -> Generator[list[Photo], None, None]:
    """The pages that Flickr shows of one query, until one brings nothing new."""
    seen: set[str] = set()
    answer = first
    for number in range(1, CAP // PAGE + 1):
        if number > 1:
            answer = search({**params, "page": str(number)})
        ids = {str(photo.get("id")) for photo in answer.photos}
        if ids <= seen:
            return
        seen |= ids
        yield answer.photos
        if number >= answer.pages:
            return


def _check(answer: Answer, window: Window) -> None:
    # A site that does not care for the dates would be split for ever.
    outside = sum(not window.holds(photo) for photo in answer.photos)
    if outside * 2 > len(answer.photos):
        raise Changed(
            f"Flickr does not keep to the dates of upload, so that what it has beyond {CAP:,} "
            "photos cannot be had.",
            "Use narrower words, or a range of days with -o flickr.uploaded=FROM..TO.",
        )

"""A search on Pixiv: its words, and the way past the number of works that one reaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Protocol

from harvest.sources.pixiv_errors import OffsetCap, changed
from harvest.sources.pixiv_works import Work, read_work

# One search reaches no result beyond this one.
_LAST_OFFSET = 5000
_DAY = timedelta(days=1)
# Well-liked works are tagged by their visitors with one of these numbers of bookmarks.
_BUCKETS = (100, 250, 300, 500, 1000, 5000, 10_000, 20_000, 30_000, 50_000, 100_000)


@dataclass(frozen=True, slots=True)
class Search:
    """One search in Pixiv's words; the days are the first and the last one asked for."""

    word: str
    target: str
    sort: str
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The works of one answer as JSON values, and where the next one begins, if anywhere."""

    works: list[Any]
    next_offset: int | None


class Api(Protocol):
    """What gives one page of a search. Raises `OffsetCap` past what one search reaches."""

    def search(self, search: Search, offset: int) -> Page:
        """The works from `offset` on."""


def with_buckets(text: str, bookmarks: int) -> str:
    """The words to search for to find works with at least that many bookmarks.

    Only the site's paying members can filter by bookmarks. The tags of the visitors
    ("500users入り") serve all: the bucket that holds the number, and every higher one.
    """
    lower = [bucket for bucket in _BUCKETS if bucket <= bookmarks]
    if not lower:
        return text
    tags = [f"{bucket}users入り" for bucket in _BUCKETS if bucket >= lower[-1]]
    words = f"({text})" if " OR " in text else text
    return f"{words} ({' OR '.join(tags)})" if len(tags) > 1 else f"{words} {tags[0]}"


def every_work(api: Api, search: Search) -> Iterator[Work]:
    """Every work once, also those past the number that one search reaches."""
    seen: set[int] = set()
    window: Search | None = search
    last, more = "", False
    while window is not None:
        for page in _pages(api, window):
            works = _read(page)
            yield from _unseen(works, seen)
            last = works[-1].create_date if works else last
            more = page.next_offset is not None
        window = _next_window(window, last) if more else None


def _pages(api: Api, search: Search) -> Iterator[Page]:
    """What one search reaches; the last page tells of a next one when there is more."""
    offset: int | None = 0
    while offset is not None and offset <= _LAST_OFFSET:
        try:
            page = api.search(search, offset)
        except OffsetCap:
            if offset == 0:
                raise changed("a refusal of the first page of a search") from None
            return
        yield page
        offset = page.next_offset


def _unseen(works: list[Work], seen: set[int]) -> Iterator[Work]:
    for work in works:
        if work.id not in seen:
            seen.add(work.id)
            yield work


def _read(page: Page) -> list[Work]:
    works = [work for told in page.works if (work := read_work(told))]
    if page.works and not works:
        raise changed("works, of which none has the shape we know")
    return works


def _next_window(search: Search, last: str) -> Search | None:
    """The same search from the last work on, by its day; None when no day is left.

    One day more is asked for, because that day may have been cut in the middle and days
    begin in Japan. A window must shrink all the same, or a day with more works than one
    search reaches would be asked for ever.
    """
    try:
        day = date.fromisoformat(last[:10])
    except ValueError:
        raise changed("works without their dates") from None
    since, until = search.since, search.until
    if search.sort == "date_asc":
        since = max(day - _DAY, since + _DAY) if since else day - _DAY
    else:
        until = min(day + _DAY, until - _DAY) if until else day + _DAY
    if since and until and since > until:
        return None
    return replace(search, since=since, until=until)

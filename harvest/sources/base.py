"""What a source is: a name, an example, its options, and one generator of pages of candidates.

Here is also what sources share: how options are checked, what an answer means by its status or its
shape, and how the pages of a search are walked to their end (`listed`, `pages_until_repeated`,
`pages_in_windows`). A search whose end was not seen raises; it never just stops.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import ClassVar, Generic, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from gleanset.config import did_you_mean
from gleanset.errors import (
    Blocked,
    Changed,
    GleansetError,
    Incomplete,
    RateLimited,
    Unreachable,
    UsageError,
)
from gleanset.records import Candidate
from harvest.http import Client, Page, parse_retry_after
from harvest.secrets import redact_secrets

T = TypeVar("T")
W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A result that the site lists and that is not a candidate. `key` names it on the site."""

    key: str
    reason: Literal["hidden", "filtered", "unreadable"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Results that the site has and did not list; `what`, in words."""

    what: str


Item = Candidate | Skipped | Gap
# The items of a search, a page at a time.
Pages = Generator[Iterable[Item], None, None]
# An empty page in the middle of a search is asked for again so often, and so many of them in a
# row end it.
_ASKED_AGAIN = 2
_MAX_EMPTY_PAGES = 3
# What stands in a page of a guard in front of a site, where data was asked for.
_CHALLENGE = (
    *("captcha", "just a moment", "cloudflare", "cf-chl", "attention required"),
    *("access denied", "request blocked", "verify you are", "unusual traffic"),
)
# A text of a site may repeat a token or a code. Nothing else in it is one long word.
_SECRET_LIKE = re.compile(r"[\w-]{25,}", re.ASCII)
_UPDATE = "Try again later; if it stays so, update Gleanset or use another source."


@dataclass(frozen=True, slots=True)
class Option:
    """A setting of a source: `-o bing.size=large`.

    `words` maps the words of a user to those of the site. `parse` reads other values, and raises
    `ValueError` with a hint. Without either, any text is accepted.
    """

    name: str
    help: str
    default: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    parse: Callable[[str], object] | None = None

    def check(self, source: str, value: str) -> None:
        """Raise `UsageError` for a value that makes no sense; the default always does."""
        if value == self.default or value in self.words or not (self.words or self.parse):
            return
        choices = [f"one of: {', '.join(self.words)}"] if self.words else []
        if self.parse is not None:
            try:
                self.parse(value)
            except ValueError as error:
                choices.append(str(error))
            else:
                return
        raise UsageError(
            f"{source}.{self.name} cannot be {value!r}.", f"Use {', or '.join(choices)}."
        )


@dataclass(frozen=True, slots=True)
class Query:
    """A search.

    `hint` is its weak label; `options` are the settings that differ from the defaults, by their
    names without the source's.
    """

    text: str
    hint: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Replaces a site's scheme and host; may have a path.

    Raises `UsageError` if it is not an http or https address.
    """

    base: str

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base)
            fine = parts.scheme in ("http", "https") and parts.hostname and not parts.query
        except ValueError:
            fine = False
        if not fine:
            raise UsageError(
                f"The endpoint {self.base!r} is not an address.",
                "Write it like http://127.0.0.1:8900 or https://host/path.",
            )

    def url(self, path: str) -> str:
        """Append `path` (with its leading slash), never join it over the base's own path."""
        return self.base.rstrip("/") + path


class Source(ABC):
    """A site. Never downloads, prints, sleeps or touches the catalogue."""

    name: ClassVar[str]
    example: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]
    hints: ClassVar[bool] = True  # whether a query names what is in the picture

    @abstractmethod
    def pages(self, query: Query, settings: Mapping[str, str], client: Client) -> Pages:
        """Yield candidates in the site's order, page by page, until its list ends.

        The caller may stop earlier. Repeated results are used once. A page may contain results that
        are left out (`Skipped`) or that the site did not list (`Gap`). Return only if the end of
        the list was seen; otherwise raise `Blocked`, `Changed`, `RateLimited`, `NeedsLogin`,
        `Unreachable` or `Incomplete`.
        """

    def check_ready(self, settings: Mapping[str, str]) -> None:
        """Raise `NeedsLogin` or `MissingComponent` for what a search needs and is not here."""
        # Most sites need nothing.
        return

    def candidates(
        self, query: Query, client: Client, skipped: Counter[str] | None = None
    ) -> Iterator[Candidate]:
        """Yield every candidate of the pages once, by its key; count the others in `skipped`.

        Raises what `pages` raises, and `Incomplete` at the end of a list with gaps.
        """
        seen: set[str] = set()
        gaps: dict[str, None] = {}
        # Closed here, because a site may hold a browser open.
        with closing(self.pages(query, self.settings(query), client)) as pages:
            for item in chain.from_iterable(pages):
                if isinstance(item, Gap):
                    gaps[item.what] = None
                    continue
                key = item.key if isinstance(item, Skipped) else item.origin.key
                if key in seen:
                    continue
                seen.add(key)
                if isinstance(item, Candidate):
                    yield item
                elif skipped is not None:
                    skipped[item.reason] += 1
        if gaps:
            raise Incomplete(
                f"{self.name} did not list all results for {query.text!r}: {'; '.join(gaps)}",
                "Run the same command again later, or use narrower words.",
            )

    def settings(self, query: Query) -> dict[str, str]:
        """Return every option with its value for this query, in the person's words.

        Raises `UsageError` for an option, a word or an endpoint that makes no sense; a
        command calls it before the first request.
        """
        known = {option.name: option for option in self.options}
        for name, value in query.options.items():
            if name not in known:
                hint = did_you_mean(name, known, f"Did you mean {self.name}.{{}}? ")
                raise UsageError(
                    f"{self.name} has no option {name!r}.", f"{hint}It has: {', '.join(known)}."
                )
            known[name].check(self.name, value)
            if name.endswith("endpoint"):
                Endpoint(value)
        return {name: query.options.get(name, known[name].default) for name in known}

    def refuse(self, page: Page, query: Query) -> None:
        """Raise the error of a status other than 200."""
        if page.status != 200:
            what = f"{self.name} answered {page.status} to {query.text!r} ({page.url})."
            raise refusal(what, page)

    def read(self, page: Page, query: Query, shape: type[T]) -> T:
        """Decode a JSON page as a `msgspec.Struct`; numbers may be texts.

        Raises the error of its status, and `Blocked` or `Changed` if it has another form.
        """
        try:
            self.refuse(page, query)
            return msgspec.json.decode(page.text, type=shape, strict=False)
        except msgspec.ValidationError as error:
            raise changed(self.name, query.text, f"JSON of another shape: {error}") from error
        except msgspec.DecodeError as error:
            raise no_data_error(self.name, query.text, page) from error


def refusal(what: str, page: Page) -> RateLimited | Blocked | Unreachable | Changed:
    """Return the error that an answer means by its status; `what` happened, in words."""
    if page.status == 429:
        wait = parse_retry_after(page.headers)
        after = f"in {wait:.0f} seconds" if wait else "in some minutes"
        return RateLimited(
            what, f"Run the same command again {after}: it goes on where it stopped.", wait
        )
    if page.status in (401, 403):
        return Blocked(what, "Wait some hours, use another network or another source.")
    if page.status >= 500:
        return Unreachable(what, "The site has trouble; run the same command again later.")
    return Changed(what, _UPDATE)


def changed(site: str, asked: str, answer: str) -> Changed:
    """Return the error for a response in an unknown form."""
    return Changed(f"{site} answered {asked!r} with {answer}.", _UPDATE)


def no_data_error(site: str, asked: str, page: Page) -> GleansetError:
    """Return the error for a text where data was asked for: a guard's page, or a new shape."""
    if page.status < 429 and any(mark in page.text.casefold() for mark in _CHALLENGE):
        return Blocked(
            f"A page in front of {site} turned {asked!r} away ({page.url}).",
            "Its guard does not let this network in, and Gleanset does not pretend to be a "
            "browser. Wait some hours, use another network or another source.",
        )
    if page.status != 200:
        return refusal(f"{site} answered {page.status} to {asked!r} ({page.url}).", page)
    text = "a text that is no data" if page.text.strip() else "an empty page"
    return changed(site, asked, f"{text} ({page.url})")


def redact_site_text(text: str) -> str:
    """Return a text of a site that may be shown: short, and nothing that looks like a token."""
    return _SECRET_LIKE.sub("***", redact_secrets(text))[:200]


@dataclass(frozen=True, slots=True)
class ResultPage(Generic[T]):
    """One page of a search. `next` is where the following one begins, None at the end of the list.

    `trouble` is what to raise where the page stays empty; without it an empty page is passed over.
    """

    items: Sequence[T | Skipped | Gap]
    next: int | None
    trouble: GleansetError | None = None

    @property
    def results(self) -> list[T]:
        """The items that are neither skipped nor a gap."""
        return [item for item in self.items if not isinstance(item, Skipped | Gap)]


def listed(
    ask: Callable[[int], ResultPage[T] | None], start: int, last: int | None = None
) -> Iterator[ResultPage[T]]:
    """Yield the pages of a list from `start` to the one after which the site says it ends.

    An empty page that is not the last one is asked for again, then passed over as a `Gap`. No page
    beyond `last` is asked for; `ask` returns None for one that cannot be had.
    """
    position: int | None = start
    empty = 0
    while position is not None and (last is None or position <= last):
        if (page := _asked(ask, position)) is None:
            return
        if page.items or page.next is None:
            empty = 0
        else:
            empty += 1
            page = ResultPage([Gap("a page in the middle stayed empty")], page.next)
        yield page
        if empty == _MAX_EMPTY_PAGES:
            return
        position = page.next


def _asked(ask: Callable[[int], ResultPage[T] | None], position: int) -> ResultPage[T] | None:
    """Return a page; one that should not be empty is asked for again. Raises its trouble."""
    for _ in range(1 + _ASKED_AGAIN):
        page = ask(position)
        if page is None or page.items or (page.next is None and page.trouble is None):
            return page
    if page is not None and page.trouble is not None:
        raise page.trouble
    return page


def pages_until_repeated(ask: Callable[[int], ResultPage[Candidate]], start: int) -> Pages:
    """Yield the pages of a list past whose end the site repeats the last one.

    A page that brings nothing new is asked for again. If it stays so, it is the end where it shows
    the newest results, else a `Gap`: an earlier page was sent again.
    """
    seen: set[str] = set()
    newest: set[str] = set()

    def ask_again(position: int) -> ResultPage[Candidate]:
        page = ask(position)
        keys = _keys(page)
        return ask(position) if keys and keys <= seen else page

    for page in listed(ask_again, start):
        keys = _keys(page)
        if keys and keys <= seen:
            if not keys & newest:
                yield [Gap("an earlier page came again")]
            return
        newest = keys - seen or newest
        seen |= keys
        yield page.items


def _keys(page: ResultPage[Candidate]) -> set[str]:
    return {
        item.key if isinstance(item, Skipped) else item.origin.key
        for item in page.items
        if not isinstance(item, Gap)
    }


def pages_in_windows(
    search: W,
    pages: Callable[[W], Iterator[ResultPage[T]]],
    narrowed: Callable[[W, list[T]], tuple[W | None, str]],
) -> Iterator[ResultPage[T]]:
    """Yield the pages of a search, and of what it does not reach, where a site caps its results.

    `narrowed` gets the results of the last page that has some, and returns the search for what
    lies behind them (such as what was uploaded before), which must be a smaller one, or None; and
    what cannot be reached by that, in words.
    """
    window: W | None = search
    while window is not None:
        results: list[T] = []
        more = False
        for page in pages(window):
            yield page
            results = page.results or results
            more = page.next is not None
        if not more:
            return
        window, lost = narrowed(window, results)
        if lost:
            yield ResultPage([Gap(lost)], None)


# What options are parsed by. All raise `ValueError` with what to write instead.


def day(text: str) -> date:
    """Return the day of a text such as 2024-01-31."""
    try:
        parsed = date.fromisoformat(text)
    except ValueError:
        parsed = None
    # To Python 20240131 and 2024-W05-3 are dates as well.
    if parsed is None or str(parsed) != text:
        raise ValueError("a day such as 2024-01-31")
    return parsed


def days(text: str) -> tuple[date | None, date | None]:
    """Return the first and the last of the days FROM..TO; None for a side that is open."""
    first, dots, last = (part.strip() for part in text.partition(".."))
    try:
        span = day(first) if first else None, day(last or first) if last or not dots else None
    except ValueError:
        span = None, None
    if span == (None, None) or (span[0] and span[1] and span[0] > span[1]):
        raise ValueError("days as 2020-01-01..2020-12-31, 2020-01-01.. or ..2020-12-31")
    return span


def parse_size(text: str) -> tuple[int, int]:
    """Return the two numbers of a text such as 800x600."""
    sides = [int(side) for side in text.replace("×", "x").split("x") if side.isdecimal()]
    if len(sides) != 2 or 0 in sides:
        raise ValueError("WIDTHxHEIGHT such as 800x600")
    return sides[0], sides[1]


def number(text: str) -> int:
    """Return a number in plain digits."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("a number such as 500")
    return int(text)

"""The base class of sources: a name, an example, options, and a generator of pages of candidates.

Also what sources share: option checks, the errors for a status or an unknown format, and iteration
over the pages of a search (`walk_pages`, `pages_until_repeated`, `pages_in_windows`). A search that
does not reach the end of its results raises; it never just stops.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import (
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec

from gleanset.config import did_you_mean
from gleanset.errors import (
    Blocked,
    Changed,
    GleansetError,
    Incomplete,
    MissingComponent,
    RateLimited,
    Unreachable,
    UsageError,
)
from gleanset.records import Candidate
from harvest.http import Client, Page, parse_retry_after
from harvest.http.policy import RETRY_STATUSES
from harvest.secrets import redact_secrets

T = TypeVar("T")
W = TypeVar("W")


class Skipped(NamedTuple):
    """A result of the site that is not a candidate. `key` identifies it on the site."""

    key: str
    reason: Literal["hidden", "filtered", "unreadable"]


def are_unreadable(items: Sequence[object]) -> bool:
    """Return whether there are items, and none of them could be read."""
    return bool(items) and all(
        isinstance(item, Skipped) and item.reason == "unreadable" for item in items
    )


class Gap(NamedTuple):
    """Results that the site has but did not list; `what` describes them."""

    what: str


Item = Candidate | Skipped | Gap
OptionValues = Mapping[str, str]
"""Values of the options of a source, by name."""
# The items of a search, a page at a time.
Pages = Generator[Iterable[Item], None, None]
_RETRIES_OF_EMPTY_PAGE = 2
# A search ends after this number of consecutive empty pages.
_MAX_EMPTY_PAGES = 3
# Texts on the page of a bot protection, where data was requested.
_CHALLENGE_TEXTS = (
    *("captcha", "just a moment", "cloudflare", "cf-chl", "attention required"),
    *("access denied", "request blocked", "verify you are", "unusual traffic"),
)
# A message of a site may repeat a token or a code. Nothing else in it is one long word.
_LONG_WORD = re.compile(r"[\w-]{25,}", re.ASCII)
_UPDATE = "try again later; if it persists, update Gleanset or use another source"


class Option(NamedTuple):
    """A setting of a source: `-o bing.size=large`.

    `choices` are valid values. `parse` checks other values, and raises `ValueError`
    with a description of valid ones. Without either, any text is accepted.
    """

    name: str
    help: str
    default: str = ""
    choices: Collection[str] = ()
    parse: Callable[[str], object] | None = None

    def check(self, source: str, value: str) -> None:
        """Raise `UsageError` for an invalid value; the default is always valid."""
        if value == self.default or value in self.choices:
            return
        valid_values = []
        if self.choices:
            valid_values.append(f"one of: {', '.join(self.choices)}")
        if self.parse:
            try:
                self.parse(value)
            except ValueError as error:
                valid_values.append(str(error))
            else:
                return

        if valid_values:
            raise UsageError(
                f"{source}.{self.name} cannot be {value!r}",
                f"use {', or '.join(valid_values)}",
            )


@dataclass(frozen=True)
class Query:
    """A search.

    `hint` is its weak label; `options` are the settings that differ from the defaults, without the
    name of the source.
    """

    text: str
    hint: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """Replaces a site's scheme and host; may have a path.

    Raises `UsageError` if it is not an http or https address.
    """

    base: str

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base)
            is_valid = (
                parts.scheme in ("http", "https") and parts.hostname and not parts.query
            )
        except ValueError:
            is_valid = False

        if not is_valid:
            raise UsageError(
                f"the endpoint {self.base!r} is not a URL",
                "write it like http://127.0.0.1:8900 or https://host/path",
            )

    def url(self, path: str) -> str:
        """Return the base with `path` (with its leading slash) appended."""
        return self.base.rstrip("/") + path


class Source(ABC):
    """A site. Never downloads, prints, sleeps or touches the catalogue."""

    name: ClassVar[str]
    example: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]
    hints: ClassVar[bool] = True  # whether a query describes the image

    @abstractmethod
    def pages(self, query: Query, settings: Mapping[str, str], client: Client) -> Pages:
        """Yield candidates in the site's order, page by page, until its list ends.

        The caller may stop earlier. Repeated results are used once. A page may contain results that
        are skipped (`Skipped`) or that the site did not list (`Gap`). Return only at the end of the
        list; otherwise raise `Blocked`, `Changed`, `RateLimited`, `NeedsLogin`,
        `Unreachable` or `Incomplete`.
        """

    def check_ready(self, settings: Mapping[str, str]) -> None:
        """Raise `NeedsLogin` or `MissingComponent` if a search lacks something."""
        # Most sites need nothing.
        return

    def candidates(
        self, query: Query, client: Client, skipped: Counter[str] | None = None
    ) -> Iterator[Candidate]:
        """Yield every candidate once, by its key; count skipped results in `skipped`.

        Raises what `pages` raises, and `Incomplete` at the end of a list with gaps.
        """
        keys = set[str]()
        gaps: dict[str, None] = {}  # in their order
        # Closed here, because a site may hold a browser open.
        with closing(self.pages(query, self.settings(query), client)) as pages:
            for item in chain.from_iterable(pages):
                if isinstance(item, Gap):
                    gaps[item.what] = None
                    continue
                key = _get_key(item)
                if key in keys:
                    continue
                keys.add(key)
                if isinstance(item, Candidate):
                    yield item
                elif skipped is not None:
                    skipped[item.reason] += 1

        if gaps:
            raise Incomplete(
                f"{self.name} did not list all results for {query.text!r}: {'; '.join(gaps)}",
                "run the same command again later, or search for narrower words",
            )

    def settings(self, query: Query) -> dict[str, str]:
        """Return every option with its value for this query.

        Raises `UsageError` for an unknown option, an invalid value or endpoint; commands call it
        before the first request.
        """
        options = {option.name: option for option in self.options}
        for name, value in query.options.items():
            if name not in options:
                guess = did_you_mean(
                    name,
                    options,
                    f"did you mean {self.name}.{{}}? ",
                )
                raise UsageError(
                    f"{self.name} has no option {name!r}",
                    f"{guess}use one of: {', '.join(options)}",
                )
            options[name].check(self.name, value)
            if name.endswith("endpoint"):
                Endpoint(value)

        return {
            name: query.options.get(name, option.default)
            for name, option in options.items()
        }

    def check_status(self, page: Page, query: Query) -> None:
        """Raise the error of a status other than 200."""
        if page.status != 200:
            message = (
                f"{self.name} answered {page.status} to {query.text!r} ({page.url})"
            )
            raise status_error(message, page)

    def parse_json(self, page: Page, query: Query, shape: type[T]) -> T:
        """Decode a JSON page as a `msgspec.Struct`; numbers may be texts.

        Raises the error of its status, and `Blocked` or `Changed` for another format.
        """
        try:
            self.check_status(page, query)
            return msgspec.json.decode(page.text, type=shape, strict=False)
        except msgspec.ValidationError as error:
            raise changed_error(
                self.name, query.text, f"JSON in another format: {error}"
            ) from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise no_data_error(self.name, query.text, page) from error


def status_error(
    message: str, page: Page
) -> RateLimited | Blocked | Unreachable | Changed:
    """Return the error for a status; `message` describes the failure."""
    if page.status == 429:
        wait = parse_retry_after(page.headers)
        when = f"in {wait:.0f} seconds" if wait else "in some minutes"
        fix = f"run the same command again {when}: it continues where it stopped"
        return RateLimited(message, fix)
    if page.status in (401, 403):
        return Blocked(
            message, "wait some hours, use another network or another source"
        )
    if page.status >= 500 or page.status in RETRY_STATUSES:
        return Unreachable(
            message, "the site has problems; run the same command again later"
        )
    return Changed(message, _UPDATE)


def changed_error(site: str, query: str, answer: str) -> Changed:
    """Return the error for a response in an unknown format."""
    return Changed(
        f"{site} answered {query!r} with {answer}",
        _UPDATE,
    )


def no_data_error(site: str, query: str, page: Page) -> GleansetError:
    """Return the error for a page that is not data: a bot protection, or a new format."""
    # From 429 on, a status says that the site cannot answer now.
    if page.status < 429 and any(
        mark in page.text.casefold() for mark in _CHALLENGE_TEXTS
    ):
        return Blocked(
            f"the bot protection of {site} blocked {query!r} ({page.url})",
            "Gleanset does not pretend to be a browser; wait some hours, use another network or "
            "another source",
        )
    if page.status != 200:
        return status_error(
            f"{site} answered {page.status} to {query!r} ({page.url})", page
        )
    text = "text instead of data" if page.text.strip() else "an empty page"
    return changed_error(site, query, f"{text} ({page.url})")


@contextmanager
def require_package(site: str, fix: str) -> Iterator[None]:
    """Raise `MissingComponent` if the block cannot import a package; `fix` installs it."""
    try:
        yield
    except ImportError as error:
        raise MissingComponent(
            f"{site} needs the Python package {error.name}, which is not installed", fix
        ) from error


def parse_html(text: str) -> Any:
    """Return the root element of a page (of lxml)."""
    from lxml import etree, html

    parser = html.HTMLParser(encoding="utf-8", huge_tree=True)
    try:
        # lxml rejects text that declares its own encoding, but not bytes.
        return html.fromstring(text.encode("utf-8", "replace"), parser=parser)
    except etree.ParserError:  # an empty page
        return html.Element("html")


def redact_site_text(text: str) -> str:
    """Return a message of a site for display: short, without anything that looks like a token."""
    return _LONG_WORD.sub("***", redact_secrets(text))[:200]


@dataclass(frozen=True)
class ResultPage(Generic[T]):
    """One page of a search; `next` is the position of the following one, None at the end.

    `error` is raised if the page stays empty; without it an empty page is skipped.
    """

    items: Sequence[T | Skipped | Gap]
    next: int | None
    error: GleansetError | None = None


def walk_pages(
    ask: Callable[[int], ResultPage[T] | None], start: int, last: int | None = None
) -> Iterator[ResultPage[T]]:
    """Yield the pages of a list from `start` to the one without a next page.

    An empty page that is not the last one is requested again, then skipped as a `Gap`, unless it
    has an error. No page beyond `last` is requested; `ask` returns None for an unavailable one.
    """
    position: int | None = start
    empty_pages = 0
    while position is not None and (last is None or position <= last):
        page = ask(position)
        for _ in range(_RETRIES_OF_EMPTY_PAGE):
            if page and _is_incomplete(page):
                page = ask(position)
        if not page:
            return

        if _is_incomplete(page):
            if page.error:
                raise page.error
            page = ResultPage([Gap("a page in the middle stayed empty")], page.next)
            empty_pages += 1
        else:
            empty_pages = 0
        yield page
        # The gaps that were yielded report the search as incomplete.
        if empty_pages == _MAX_EMPTY_PAGES:
            return
        position = page.next


def _is_incomplete(page: ResultPage[T]) -> bool:
    """Return whether a page is empty, and not the end of its list."""
    return not page.items and (page.next is not None or page.error is not None)


def pages_until_repeated(ask: Callable[[int], ResultPage[Candidate]]) -> Pages:
    """Yield the pages of a list whose last page the site repeats.

    A page without new results is requested again. If it stays so, it is the end if it shows the
    latest results, else a `Gap`: an earlier page was repeated.
    """
    # Keys of all results so far, and those that were new on the latest page with new ones.
    earlier_keys = set[str]()
    latest_keys = set[str]()

    def has_no_new_results(page: ResultPage[Candidate]) -> bool:
        keys = _list_keys(page)
        return bool(keys) and keys <= earlier_keys

    def ask_again(position: int) -> ResultPage[Candidate]:
        page = ask(position)
        return ask(position) if has_no_new_results(page) else page

    for page in walk_pages(ask_again, start=1):
        keys = _list_keys(page)
        if has_no_new_results(page):
            # The end of the list repeats its last page; another repeated page hides the end.
            if not keys & latest_keys:
                yield [Gap("an earlier page was repeated")]
            return
        if keys:
            latest_keys = keys - earlier_keys
            earlier_keys |= keys
        yield page.items


def _list_keys(page: ResultPage[Candidate]) -> set[str]:
    return {_get_key(item) for item in page.items if not isinstance(item, Gap)}


def _get_key(item: Candidate | Skipped) -> str:
    return item.key if isinstance(item, Skipped) else item.origin.key


def pages_in_windows(
    search: W,
    pages: Callable[[W], Iterator[ResultPage[T]]],
    narrow: Callable[[W, list[T]], tuple[W | None, str]],
) -> Iterator[Sequence[T | Skipped | Gap]]:
    """Yield the items of each page of a search, and of further searches beyond the cap of a site.

    `narrow` gets the results of the last non-empty page. It returns a smaller search for the
    results behind them (such as older uploads), or None; and a description of the results that
    remain unreachable.
    """
    window: W | None = search
    while window is not None:
        results: list[T] = []
        has_more = False
        for page in pages(window):
            yield page.items
            new_results = [
                item for item in page.items if not isinstance(item, Skipped | Gap)
            ]
            results = new_results or results
            has_more = page.next is not None
        if not has_more:
            return
        # The last page named a next one, which the site does not list.
        window, unreachable = narrow(window, results)
        if unreachable:
            yield [Gap(unreachable)]


# Parsers of options. All raise `ValueError` with a description of valid values.


def parse_day(text: str) -> date:
    """Parse a day such as 2024-01-31."""
    with suppress(ValueError):
        day = date.fromisoformat(text)
        # Python also accepts 20240131 and 2024-W05-3.
        if str(day) == text:
            return day
    raise ValueError("a day such as 2024-01-31")


def parse_day_range(text: str) -> tuple[date | None, date | None]:
    """Parse FROM..TO as its first and last day; None for an open side."""
    start, dots, end = (part.strip() for part in text.partition(".."))
    if not dots:
        end = start  # a single day
    with suppress(ValueError):
        first = parse_day(start) if start else None
        last = parse_day(end) if end else None
        is_in_order = (first or date.min) <= (last or date.max)
        if is_in_order and (first or last):
            return first, last
    raise ValueError("days as 2020-01-01..2020-12-31, 2020-01-01.. or ..2020-12-31")


def parse_size(text: str) -> tuple[int, int]:
    """Parse a size such as 800x600 as width and height."""
    match = re.fullmatch(r"0*([1-9]\d*)[x×]0*([1-9]\d*)", text)
    if not match:
        raise ValueError("WIDTHxHEIGHT such as 800x600")
    return int(match[1]), int(match[2])


def parse_number(text: str) -> int:
    """Parse a number in ASCII digits."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("a number such as 500")
    return int(text)

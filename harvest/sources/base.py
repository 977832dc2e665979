"""What a source is: a name, an example, its options, and one generator of candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlsplit

from gleanset.config import did_you_mean
from gleanset.errors import Blocked, Changed, RateLimited, Unreachable, UsageError
from gleanset.records import Candidate
from harvest.http import Client, Page, retry_after


@dataclass(frozen=True, slots=True)
class Option:
    """A setting of a source: `-o bing.size=large`.

    `words` maps the words a person may use to what the site calls them; empty: free text.
    """

    name: str
    help: str
    default: str = ""
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for.

    `hint` is the class it suggests; `options` hold what differs from the defaults, by the
    option's name without the source's.
    """

    text: str
    hint: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Takes the place of a site's scheme and host, and may carry a path.

    Raises `UsageError` for what is not an http or https address.
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
    def candidates(self, query: Query, client: Client) -> Iterator[Candidate]:
        """Yield candidates in the site's order, until it has no more; the caller stops earlier.

        Raises `Blocked`, `Changed`, `RateLimited`, `NeedsLogin`, `Unreachable`; ending
        without a candidate means that the site said it has none.
        """

    def settings(self, query: Query) -> dict[str, str]:
        """Return every option with its value for this query, in the person's words.

        Raises `UsageError` for an option, a word or an endpoint that makes no sense; a
        command calls it before the first request.
        """
        known = {option.name: option for option in self.options}
        for name, value in query.options.items():
            _check(self.name, known, name, value)
        chosen = {name: query.options.get(name, known[name].default) for name in known}
        for name, value in chosen.items():
            if name.endswith("endpoint"):
                Endpoint(value)
        return chosen

    def refuse(self, page: Page, query: Query) -> None:
        """Raise what a status other than 200 means: the same on every site."""
        if page.status != 200:
            what = f"{self.name} answered {page.status} to {query.text!r} ({page.url})."
            raise refusal(what, page)


def refusal(what: str, page: Page) -> RateLimited | Blocked | Unreachable | Changed:
    """Return the error that an answer means by its status; `what` happened, in words."""
    if page.status == 429:
        wait = retry_after(page.headers)
        after = f"in {wait:.0f} seconds" if wait else "in some minutes"
        return RateLimited(
            what, f"Run the same command again {after}: it goes on where it stopped.", wait
        )
    if page.status in (401, 403):
        return Blocked(what, "Wait some hours, use another network or another source.")
    if page.status >= 500:
        return Unreachable(what, "The site has trouble; run the same command again later.")
    return Changed(what, "Update Gleanset, or use another source until it is mended.")


def _check(source: str, known: Mapping[str, Option], name: str, value: str) -> None:
    if name not in known:
        hint = did_you_mean(name, known, f"Did you mean {source}.{{}}? ")
        raise UsageError(f"{source} has no option {name!r}.", f"{hint}It has: {', '.join(known)}.")
    words = known[name].words
    if words and value and value not in words:
        raise UsageError(
            f"{source}.{name} cannot be {value!r}.", f"Use one of: {', '.join(words)}."
        )

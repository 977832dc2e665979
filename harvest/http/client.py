"""The client that every source and every download goes through.

One item that cannot be had is an `Unreadable` with a countable reason; a search page that
cannot be had is an `Unreachable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urlencode

from gleanset import __version__
from gleanset.errors import Unreadable, UsageError
from harvest.http.failures import RETRY_STATUSES, looks_like_html, unreachable
from harvest.http.fetch import Fetch, Fetcher, HttpAnswer
from harvest.http.policy import DownloadLimits, FetchPolicy
from harvest.http.robots import RobotsPolicy
from harvest.http.urls import tidy


@dataclass(frozen=True, slots=True)
class Page:
    """One response of a search site. `headers` ignore case."""

    status: int
    text: str
    url: str
    headers: Mapping[str, str]


class Client:
    """The polite downloader: thread-safe, and a context manager that closes itself.

    `contact` (an address or a URL) goes into the user agent.
    `ignore_robots` are the `robots_words` that hosts and pictures may say in vain (docs/legal.md).
    Raises `UsageError` for another word there, and when a proxy or certificate setting of the
    environment is unusable.
    """

    def __init__(
        self,
        limits: DownloadLimits | None = None,
        allow_private: bool = False,
        contact: str | None = None,
        ignore_robots: frozenset[str] = frozenset(),
    ) -> None:
        self.limits = limits or DownloadLimits()
        self.allow_private = allow_private
        self.user_agent = _user_agent(contact)
        self._robots = RobotsPolicy(self.limits, self.user_agent, ignore_robots)
        self.fetcher = Fetcher(self.limits, allow_private, self._robots)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what waits and what is under way (they raise `Closed`), drop connections."""
        self.fetcher.close()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until `close`; return whether it is closed.

        For a source that must pause between requests of its own.
        """
        return self.fetcher.slots.wait(seconds)

    def heeds(self, word: str) -> bool:
        """Return whether one of the `robots_words` is heeded."""
        return word in self._robots.heeded

    def prepare(self, url: str, referer: str | None = None, page: str | None = None) -> Fetch:
        """Return the download of a picture, found on a page, as a fetch to be scheduled.

        Raises `Unreadable`, as do its requests and `accept`, for this item alone. Reasons:
        `http NNN`, `timed out`, `too slow`, `too large`, `connection failed`, `cut off`, `empty`,
        `private address`, `bad redirect`, `bad url`, `not an image`, `robots.txt disallows`,
        `robots.txt could not be read`, `robots tag <directive>`, `page says <directive>`, and what
        `robots.RobotsPolicy` and `reservations_in` name.
        """
        self._robots.check_page(page)
        headers = self._headers("image/*,*/*;q=0.5") | _referer(referer)
        policy = FetchPolicy(headers, RETRY_STATUSES, self.limits, robots=True)
        return self.fetcher.prepare(url, policy)

    def prepare_rules(self, file: str) -> Fetch:
        """Return the fetch of a file in which a host says what it allows."""
        return self.fetcher.prepare(file, self._robots.policy)

    def accept(self, answer: HttpAnswer) -> bytes:
        """Return the file that an answer brings. Raises `Unreadable` where it brings none."""
        if answer.status >= 300:
            raise Unreadable(f"http {answer.status}", answer.url)
        if not answer.data:
            raise Unreadable("empty", answer.url)
        if looks_like_html(answer.data):
            raise Unreadable("not an image", f"{answer.url}: a web page")
        self._robots.check_picture(answer.url, answer.data)
        return answer.data

    def page(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        pace: float = 0.0,
    ) -> Page:
        """Return the page at `url`, whatever its status.

        `pace` is the time between two requests to its host in seconds. Raises `Unreachable`, and
        `Closed` after `close`. 5xx responses are retried; a 429 never, because the source decides
        whether to go on. robots.txt is not read, as for a page opened in a browser.
        """
        if params:
            url += ("&" if "?" in url else "?") + urlencode(params, quote_via=quote)
        sent = self._headers("*/*") | dict(headers or {})
        policy = FetchPolicy(sent, RETRY_STATUSES - {429}, self.limits, error_bodies=True)
        try:
            answer = self.fetcher.fetch(url, policy, pace)
        except Unreadable as error:
            detail = error.detail.removeprefix(f"{url}: ")
            raise unreachable(url, f"{error.reason} ({detail})") from error
        page = Page(answer.status, _text(answer), answer.url, answer.headers)
        self._robots.note_page(page.url, page.text)
        return page

    def _headers(self, accept: str) -> dict[str, str]:
        return {
            "User-Agent": self.user_agent,
            "Accept": accept,
            "Accept-Encoding": "gzip, deflate",
        }


def _referer(referer: str | None) -> dict[str, str]:
    # A broken page address must not cost the picture that was found on it.
    try:
        return {"Referer": tidy(referer)} if referer else {}
    except Unreadable:
        return {}


def _user_agent(contact: str | None) -> str:
    name = f"gleanset/{__version__}"
    if not contact:
        return name
    if not (contact.isascii() and contact.isprintable()):
        raise UsageError(f"The contact {contact!r} cannot be sent.", "Use plain ASCII for it.")
    return f"{name} (+{contact})"


def _text(answer: HttpAnswer) -> str:
    _, _, charset = answer.headers.get("Content-Type", "").lower().partition("charset=")
    try:
        return answer.data.decode(charset.partition(";")[0].strip(" \"'") or "utf-8", "replace")
    except (LookupError, ValueError):  # idna and undefined raise the second, whatever the bytes
        return answer.data.decode("utf-8", "replace")

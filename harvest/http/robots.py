"""robots.txt (RFC 9309): what a host asks of programs such as ours, read once for each host.

What counts as no answer, and what then happens:

- 4xx but 429, a circle of redirects: there are no rules, everything may be asked (2.3.1.3).
- 429, 5xx, too slow, cut off: nothing may be asked for `Limits.robots_again` seconds (2.3.1.4).
- no connection at all: the same, and the reason is that of the connection.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from protego import Protego

from gleanset.errors import Unreadable, UsageError
from harvest.http.failures import PASSING
from harvest.http.fetch import Answer, Fetcher, Wish
from harvest.http.limits import Limits
from harvest.http.robots_tag import refused_by
from harvest.http.urls import host_of, origin_of
from harvest.robots_words import TAGS, WORDS

AGENT = "gleanset"

_MOST_BYTES = 500 * 1024  # RFC 9309, 2.5
_FRESH = 86_400.0  # RFC 9309, 2.4
_MOST_DELAY = 30.0
# The picture would fail in the same way: its host, not its robots.txt, is what is wrong.
_OF_THE_HOST = frozenset({"private address", "connection failed", "bad url"})


@dataclass(frozen=True, slots=True)
class _Said:
    """What one host said, believed `until` (monotonic). Neither rules nor reason: go ahead."""

    until: float
    rules: Protego | None = None
    reason: str = ""
    detail: str = ""

    def check(self, url: str) -> None:
        if self.reason:
            raise Unreadable(self.reason, f"{url}: {self.detail}")
        if self.rules is not None and not self.rules.can_fetch(url, AGENT):
            raise Unreadable("robots.txt disallows", url)


class Robots:
    """What hosts ask of robots, heeded but for what `ignored` names. Thread-safe."""

    def __init__(
        self, fetcher: Fetcher, limits: Limits, user_agent: str, ignored: Iterable[str] = ()
    ) -> None:
        without = _understood(ignored)
        self._fetcher = fetcher
        self._wish = _wish(limits, user_agent)
        self._again = limits.robots_again
        self._heeds_rules = "robots.txt" not in without
        self._heeded_tags = frozenset(TAGS) - without
        self._known: dict[str, _Said] = {}
        self._reading: dict[str, Lock] = {}

    def may_ask(self, url: str) -> None:
        """Raises `Unreadable` when this tidy address is not for us.

        Reasons: `robots.txt disallows`, `robots.txt could not be read`, or why its host
        cannot be asked for anything.
        """
        if self._heeds_rules:
            self._said(origin_of(url)).check(url)

    def may_keep(self, url: str, tags: Sequence[str]) -> None:
        """Raises `Unreadable("robots tag ...")` when a line of `X-Robots-Tag` says so."""
        if tags and (directive := refused_by(tags, self._heeded_tags, AGENT)):
            raise Unreadable(f"robots tag {directive}", url)

    def _said(self, origin: str) -> _Said:
        said = self._known.get(origin)
        if said is not None and time.monotonic() < said.until:
            return said
        # One thread asks; those who come meanwhile wait here and find what it learnt.
        with self._reading.setdefault(origin, Lock()):
            said = self._known.get(origin)
            if said is None or time.monotonic() >= said.until:
                said = self._known[origin] = self._read(f"{origin}/robots.txt")
        return said

    def _read(self, url: str) -> _Said:
        try:
            answer = self._fetcher.fetch(url, self._wish)
        except Unreadable as error:
            return self._without_answer(error)
        if answer.status in PASSING or answer.status >= 500:
            return self._unread(f"{url}: http {answer.status}")
        if answer.status >= 300:
            return _Said(time.monotonic() + _FRESH)
        rules = Protego.parse(_text(answer))
        if delay := rules.crawl_delay(AGENT):
            self._fetcher.hosts.slow_down(host_of(url), min(delay, _MOST_DELAY))
        return _Said(time.monotonic() + _FRESH, rules)

    def _without_answer(self, error: Unreadable) -> _Said:
        if error.reason == "bad redirect":
            return _Said(time.monotonic() + _FRESH)
        if error.reason in _OF_THE_HOST:
            return self._unread(error.detail, error.reason)
        return self._unread(f"{error.detail} ({error.reason})")

    def _unread(self, detail: str, reason: str = "robots.txt could not be read") -> _Said:
        return _Said(time.monotonic() + self._again, reason=reason, detail=detail)


def _understood(words: Iterable[str]) -> frozenset[str]:
    ignored = frozenset(words)
    if unknown := sorted(ignored - {*WORDS}):
        raise UsageError(
            f"There is nothing called {', '.join(unknown)} to be ignored.",
            f"Name some of {', '.join(WORDS[:-1])}, or all.",
        )
    return frozenset(WORDS) if "all" in ignored else ignored


def _wish(limits: Limits, user_agent: str) -> Wish:
    # Every download of the host waits for this answer: it gets less time and fewer tries.
    shorter = replace(
        limits,
        total=min(limits.total, limits.robots),
        max_wait=min(limits.max_wait, limits.robots),
        max_bytes=_MOST_BYTES,
        max_redirects=max(limits.max_redirects, 5),
        retries=min(limits.retries, 1),
    )
    headers = {
        "User-Agent": user_agent,
        "Accept": "text/plain,*/*;q=0.5",
        "Accept-Encoding": "gzip, deflate",
    }
    # The body of a 404 is read as well: a connection with an unread body cannot be kept.
    return Wish(headers, PASSING, errors_too=True, limits=shorter, clipped=True)


def _text(answer: Answer) -> str:
    data = answer.data
    if len(data) > _MOST_BYTES:
        # Half a line would say something else: `Disallow: /` of `Disallow: /private`.
        data = data[: max(data.rfind(b"\n", 0, _MOST_BYTES), data.rfind(b"\r", 0, _MOST_BYTES)) + 1]
    return data.decode("utf-8-sig", "replace")

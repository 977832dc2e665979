"""What a host asks of programs such as ours: its robots.txt (RFC 9309), tdmrep.json and headers.

What counts as no answer to the question for a robots.txt, and what then happens:

- 4xx but 429, a circle of redirects: there are no rules, everything may be asked (2.3.1.3).
- 429, 5xx, too slow, cut off: nothing may be asked for `robots_again` seconds (2.3.1.4).
- no connection at all: the same, and the reason is that of the connection.

A host that may be asked for anything is asked for its `/.well-known/tdmrep.json` next, once; where
that is no such file, for whatever reason, nothing is reserved (TDMRep, "TDM File").
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from gleanset.errors import Unreadable, UsageError
from gleanset.images.embedded_reservation import reservations_in
from gleanset.work.pool import Outcome
from harvest.http.opt_outs import (
    NO_TRAINING,
    SIGNAL,
    TDM,
    Headers,
    PathRule,
    header_opt_out,
    is_reserved,
    page_opt_out,
    parse_content_signals,
    parse_tdm_rules,
)
from harvest.http.policy import RETRY_STATUSES, DownloadLimits, FetchPolicy
from harvest.http.urls import get_url_origin, normalize_url
from harvest.robots_words import WORDS

if TYPE_CHECKING:
    from protego import Protego

AGENT = "gleanset"
_ROBOTS_FILE, _TDM_FILE = "/robots.txt", "/.well-known/tdmrep.json"

_MOST_BYTES = 500 * 1024  # RFC 9309, 2.5
# Of the texts of all hosts together, each counted as so many bytes at least. Parsed, a text is 7
# times as large in memory, one of the shortest rules 40 times.
_MOST_KEPT = 2 * 1024 * 1024
_SIZE_OF_ONE = 1024
_FRESH = 86_400.0  # RFC 9309, 2.4
_MOST_DELAY = 30.0
# The picture would fail in the same way: its host, not its robots.txt, is what is wrong.
_OF_THE_HOST = frozenset({"private address", "connection failed", "bad url"})
# A page that keeps its pictures back is remembered; of so many at most.
_MOST_PAGES = 10_000
PAGE_SAYS = "page says "
"""How the reason begins of what a page said, which a download alone cannot know again."""


@dataclass(frozen=True, slots=True)
class _HostRules:
    """What one host said, believed `until` (monotonic). Neither rules nor reason: go ahead.

    `signals` are rules of what must not be learnt from, `reserved` those of its tdmrep.json; None
    as long as it has to be asked for that.
    """

    until: float = math.inf
    rules: Protego | None = None
    reason: str = ""
    detail: str = ""
    size: int = 0
    signals: Protego | None = None
    reserved: tuple[PathRule, ...] | None = None

    @property
    def is_complete(self) -> bool:
        return self.reserved is not None or bool(self.reason)

    def check(self, url: str) -> None:
        if self.reason:
            raise Unreadable(self.reason, f"{url}: {self.detail}")
        if self.rules is not None and not self.rules.can_fetch(url, AGENT):
            raise Unreadable("robots.txt disallows", url)
        if self.signals is not None and not self.signals.can_fetch(url, AGENT):
            raise Unreadable(NO_TRAINING, f"{url}: its robots.txt")
        if self.reserved and is_reserved(self.reserved, url):
            raise Unreadable(TDM, f"{url}: {_TDM_FILE}")


class _KnownRules:
    """What hosts said, as much as fits; the least recently used makes room. Thread-safe.

    Rules of hosts that are about to be asked for their second file stay as long as possible.
    """

    def __init__(self) -> None:
        self._rules: dict[str, _HostRules] = {}  # in the order in which they were last used
        self._size = 0
        self._lock = Lock()

    def of(self, origin: str) -> _HostRules | None:
        with self._lock:
            if (rules := self._rules.pop(origin, None)) is not None:
                self._rules[origin] = rules
            return rules

    def keep(self, origin: str, rules: _HostRules) -> None:
        with self._lock:
            self._drop(origin)
            self._rules[origin] = rules
            self._size += rules.size + _SIZE_OF_ONE
            while self._size > _MOST_KEPT:
                complete = (name for name, other in self._rules.items() if other.is_complete)
                self._drop(next(complete, next(iter(self._rules))))

    def _drop(self, origin: str) -> None:
        if (rules := self._rules.pop(origin, None)) is not None:
            self._size -= rules.size + _SIZE_OF_ONE


class RobotsPolicy:
    """What hosts and pictures ask of robots, obeyed but for what `ignored` names. Thread-safe.

    Fetches nothing: before an image the caller fetches what `missing_rules_file` names with
    `policy`, and records the response. Raises `UsageError` for an unknown signal.
    """

    def __init__(
        self, limits: DownloadLimits, user_agent: str, ignored: Iterable[str] = ()
    ) -> None:
        self.heeded = frozenset(WORDS) - _checked_words(ignored)
        self.policy = _robots_policy(limits, user_agent)
        self._again = limits.robots_again
        self._known = _KnownRules()
        self._not_reserved: tuple[PathRule, ...] | None = None if TDM in self.heeded else ()
        self._pages: dict[str, str] = {}

    def missing_rules_file(self, url: str) -> str | None:
        """Return the address of what must be read before this tidy address, None if nothing."""
        if (known := self._of(url)) is None:
            return get_url_origin(url) + _ROBOTS_FILE
        return None if known.is_complete else get_url_origin(url) + _TDM_FILE

    def _of(self, url: str) -> _HostRules | None:
        known = self._known.of(get_url_origin(url))
        if known is not None and time.monotonic() < known.until:
            return known
        if "robots.txt" in self.heeded:
            return None
        return _HostRules(reserved=self._not_reserved)

    def learn(self, file: str, status: int, data: bytes) -> float | None:
        """Note the answer to the question for a file; the delay that it asks for, if any."""
        if file.endswith(_TDM_FILE):
            self._learn_reserved(file, data if status < 300 else b"")
            return None
        if status in RETRY_STATUSES or status >= 500:
            self._forbid(file, f"{file}: http {status}")
            return None
        text = _text(data) if status < 300 else ""
        from protego import Protego

        rules = Protego.parse(text) if text else None
        signals = parse_content_signals(text) if SIGNAL in self.heeded else None
        size = min(len(data), _MOST_BYTES) * ((rules is not None) + (signals is not None))
        until = time.monotonic() + _FRESH
        reserved = self._not_reserved
        self._keep(file, _HostRules(until, rules, size=size, signals=signals, reserved=reserved))
        delay = rules.crawl_delay(AGENT) if rules else None
        return min(delay, _MOST_DELAY) if delay else None

    def record_failure(self, file: str, failed: Outcome[str, Any]) -> None:
        """Note that there was no answer, or none that could be read."""
        if file.endswith(_TDM_FILE):
            self._learn_reserved(file, b"")
        elif failed.reason == "bad redirect":
            self._keep(file, _HostRules(time.monotonic() + _FRESH, reserved=self._not_reserved))
        elif failed.reason in _OF_THE_HOST:
            self._forbid(file, failed.detail, failed.reason)
        else:
            self._forbid(file, f"{failed.detail} ({failed.reason})")

    def _learn_reserved(self, file: str, data: bytes) -> None:
        if (known := self._of(file)) is None:
            return  # what its robots.txt said was forgotten meanwhile: it is asked again, then this
        rules = parse_tdm_rules(data)
        size = known.size + (len(data) if rules else 0)
        self._keep(file, replace(known, reserved=rules, size=size))

    def _keep(self, url: str, rules: _HostRules) -> None:
        self._known.keep(get_url_origin(url), rules)

    def check(self, url: str) -> bool:
        """Return whether all that must be known for this tidy address is, or need not be.

        Raises `Unreadable` when the host is against it: `robots.txt disallows`, `robots.txt could
        not be read`, `content-signal ai-train=no`, `tdm-reservation`, or why its host cannot be
        asked for anything.
        """
        if (known := self._of(url)) is None:
            return False
        known.check(url)
        return known.is_complete

    def check_headers(self, url: str, headers: Headers) -> None:
        """Raise `Unreadable` when the headers of a picture say so."""
        if reason := header_opt_out(headers, self.heeded, AGENT):
            raise Unreadable(reason, url)

    def check_image_bytes(self, url: str, data: bytes) -> None:
        """Raise `Unreadable` when the file of a picture says so itself."""
        for word, reason, words in reservations_in(data):
            if word in self.heeded:
                raise Unreadable(reason, f"{url}: {words}")

    def note_page(self, url: str, html: str) -> None:
        """Note what a page says of its pictures that was asked for anyhow."""
        if (word := page_opt_out(html, AGENT)) in self.heeded and len(self._pages) < _MOST_PAGES:
            self._pages[_page_key(url)] = word

    def check_page(self, url: str | None) -> None:
        """Raise `Unreadable` when the page of a picture was seen and keeps it back."""
        if url and self._pages and (word := self._pages.get(_page_key(url))):
            raise Unreadable(f"{PAGE_SAYS}{word}", url)

    def _forbid(self, url: str, detail: str, reason: str = "robots.txt could not be read") -> None:
        until = time.monotonic() + self._again
        self._keep(url, _HostRules(until, reason=reason, detail=detail))


def _page_key(url: str) -> str:
    try:
        return normalize_url(url)
    except Unreadable:
        return url


def _checked_words(words: Iterable[str]) -> frozenset[str]:
    ignored = frozenset(words)
    if unknown := sorted(ignored.difference(WORDS)):
        raise UsageError(
            f"There is nothing called {', '.join(unknown)} to be ignored.",
            f"Name some of {', '.join(WORDS[:-1])}, or {WORDS[-1]}.",
        )
    return frozenset(WORDS) if "all" in ignored else ignored


def _robots_policy(limits: DownloadLimits, user_agent: str) -> FetchPolicy:
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
    return FetchPolicy(headers, RETRY_STATUSES, shorter, error_bodies=True, clipped=True)


def _text(data: bytes) -> str:
    if len(data) > _MOST_BYTES:
        # Half a line would say something else: `Disallow: /` of `Disallow: /private`.
        data = data[: max(data.rfind(b"\n", 0, _MOST_BYTES), data.rfind(b"\r", 0, _MOST_BYTES)) + 1]
    return data.decode("utf-8-sig", "replace")

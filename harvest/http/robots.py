"""What a host asks of programs such as ours: its robots.txt (RFC 9309) and `X-Robots-Tag`.

What counts as no answer to the question for a robots.txt, and what then happens:

- 4xx but 429, a circle of redirects: there are no rules, everything may be asked (2.3.1.3).
- 429, 5xx, too slow, cut off: nothing may be asked for `robots_again` seconds (2.3.1.4).
- no connection at all: the same, and the reason is that of the connection.

The syntax of the tag is `[agent:] directive, directive`, in as many headers as a host likes; a
directive without an agent is for everyone (developers.google.com/search/docs, "Robots meta tag").
`noai` and `noimageai` are DeviantArt's of 2022.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from gleanset.errors import Unreadable, UsageError
from gleanset.work.pool import Outcome
from harvest.http.failures import RETRY_STATUSES
from harvest.http.policy import DownloadLimits, FetchPolicy
from harvest.http.urls import origin_of
from harvest.robots_words import TAGS, WORDS

if TYPE_CHECKING:
    from protego import Protego

AGENT = "gleanset"

_MOST_BYTES = 500 * 1024  # RFC 9309, 2.5
# Of the texts of all hosts together, each counted as so many bytes at least. Parsed, a text is 7
# times as large in memory, one of the shortest rules 40 times.
_MOST_KEPT = 2 * 1024 * 1024
_SIZE_OF_ONE = 1024
_FRESH = 86_400.0  # RFC 9309, 2.4
_MOST_DELAY = 30.0
# The picture would fail in the same way: its host, not its robots.txt, is what is wrong.
_OF_THE_HOST = frozenset({"private address", "connection failed", "bad url"})
# Directives with a colon of their own, which are no agents.
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_LONGHAND = {"none": "noindex"}


@dataclass(frozen=True, slots=True)
class _HostRules:
    """What one host said, believed `until` (monotonic). Neither rules nor reason: go ahead."""

    until: float
    rules: Protego | None = None
    reason: str = ""
    detail: str = ""
    size: int = 0

    def check(self, url: str) -> None:
        if self.reason:
            raise Unreadable(self.reason, f"{url}: {self.detail}")
        if self.rules is not None and not self.rules.can_fetch(url, AGENT):
            raise Unreadable("robots.txt disallows", url)


class _KnownRules:
    """What hosts said, as much as fits; what was not asked for the longest time makes room.

    Thread-safe.
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
                self._drop(next(iter(self._rules)))

    def _drop(self, origin: str) -> None:
        if (rules := self._rules.pop(origin, None)) is not None:
            self._size -= rules.size + _SIZE_OF_ONE


class RobotsPolicy:
    """What hosts ask of robots, obeyed but for what `ignored` names. Thread-safe.

    It fetches nothing: whoever asks for a picture first fetches the robots.txt at `address` with
    `policy` where the rules are not known yet, and hands in the answer. Raises `UsageError` for
    a word to be ignored that is none.
    """

    def __init__(
        self, limits: DownloadLimits, user_agent: str, ignored: Iterable[str] = ()
    ) -> None:
        without = _checked_words(ignored)
        self.policy = _robots_policy(limits, user_agent)
        self._again = limits.robots_again
        self._heeds_rules = "robots.txt" not in without
        self._heeded_tags = frozenset(TAGS) - without
        self._known = _KnownRules()

    def address(self, url: str) -> str:
        """Return where the rules for an address are to be found."""
        return f"{origin_of(url)}/robots.txt"

    def learn(self, url: str, status: int, data: bytes) -> float | None:
        """Note the answer to the question for the rules; the delay that they ask for, if any."""
        if status in RETRY_STATUSES or status >= 500:
            self._forbid(url, f"{self.address(url)}: http {status}")
            return None
        rules = _parsed(data) if status < 300 else None
        until, size = time.monotonic() + _FRESH, min(len(data), _MOST_BYTES)
        self._known.keep(origin_of(url), _HostRules(until, rules, size=size if rules else 0))
        delay = rules.crawl_delay(AGENT) if rules else None
        return min(delay, _MOST_DELAY) if delay else None

    def learn_failure(self, url: str, failed: Outcome[str, Any]) -> None:
        """Note that there was no answer, or none that could be read."""
        if failed.reason == "bad redirect":
            self._known.keep(origin_of(url), _HostRules(time.monotonic() + _FRESH))
        elif failed.reason in _OF_THE_HOST:
            self._forbid(url, failed.detail, failed.reason)
        else:
            self._forbid(url, f"{failed.detail} ({failed.reason})")

    def check(self, url: str) -> bool:
        """Return whether the rules for this tidy address are known, or need not be.

        Raises `Unreadable` when they are against it: `robots.txt disallows`, `robots.txt could not
        be read`, or why its host cannot be asked for anything.
        """
        if self._heeds_rules:
            said = self._known.of(origin_of(url))
            if said is None or time.monotonic() >= said.until:
                return False
            said.check(url)
        return True

    def check_tags(self, url: str, tags: Sequence[str]) -> None:
        """Raise `Unreadable("robots tag ...")` when a line of `X-Robots-Tag` says so."""
        if tags and (directive := refused_by(tags, self._heeded_tags, AGENT)):
            raise Unreadable(f"robots tag {directive}", url)

    def _forbid(self, url: str, detail: str, reason: str = "robots.txt could not be read") -> None:
        until = time.monotonic() + self._again
        self._known.keep(origin_of(url), _HostRules(until, reason=reason, detail=detail))


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


def _parsed(data: bytes) -> Protego:
    from protego import Protego

    if len(data) > _MOST_BYTES:
        # Half a line would say something else: `Disallow: /` of `Disallow: /private`.
        data = data[: max(data.rfind(b"\n", 0, _MOST_BYTES), data.rfind(b"\r", 0, _MOST_BYTES)) + 1]
    return Protego.parse(data.decode("utf-8-sig", "replace"))


def refused_by(lines: Sequence[str], heeded: frozenset[str], agent: str) -> str | None:
    """Return the first of `heeded` that the header lines say to us or to everyone, or None."""
    for said in _said_to(agent, lines):
        directive = _LONGHAND.get(said, said)
        if directive in heeded:
            return directive
    return None


def _said_to(agent: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        ours = True
        for part in line.lower().split(","):
            name, colon, rest = part.strip().partition(":")
            if colon and _is_agent(name.strip()):
                # It speaks to this agent up to the next one in the line.
                ours = name.partition("/")[0].strip() in ("*", agent)
                part = rest
            if ours:
                yield part.strip()


def _is_agent(name: str) -> bool:
    # The date of `unavailable_after` may have a comma, and always has colons.
    return name not in _VALUED and " " not in name and not name.isdigit()

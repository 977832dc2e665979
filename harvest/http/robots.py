"""What a host asks of robots: its robots.txt (RFC 9309), tdmrep.json and headers.

- `X-Robots-Tag` is `[agent:] directive, directive`, in any number of headers; without an agent it
  applies to all (developers.google.com/search/docs, "Robots meta tag"). `noai` and `noimageai` are
  from DeviantArt (2022), `noml` from Mojeek.
- TDMRep (w3.org/community/reports/tdmrep): `tdm-reservation: 1` as a header, and rules for paths in
  a file of the host; the first rule that matches applies.
- `Content-Signal` (contentsignals.org) and `Content-Usage` (IETF, aipref-attach), in groups of a
  robots.txt, optionally with a path, or in a header.

All of it is untrusted: malformed input is ignored.

Failures to read a robots.txt:

- 4xx except 429, a redirect loop: there are no rules, everything is allowed (2.3.1.3).
- 429, 5xx, too slow, cut off: nothing is allowed for `robots_retry_delay` seconds (2.3.1.4).
- no connection at all: the same, and the reason is that of the connection.

A host without objections is then asked for its `/.well-known/tdmrep.json`, once; without a valid
file nothing is reserved (TDMRep, "TDM File").
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from urllib3 import HTTPHeaderDict

from gleanset.errors import Unreadable, UsageError
from gleanset.images.embedded_opt_outs import find_opt_outs
from gleanset.work.pool import Outcome
from harvest.http.policy import (
    PRIVATE_ADDRESS,
    RETRY_STATUSES,
    DownloadLimits,
    FetchPolicy,
)
from harvest.http.urls import get_url_origin
from harvest.opt_out_signals import ROBOTS_TAGS, SIGNALS

if TYPE_CHECKING:
    from protego import Protego

AGENT = "gleanset"
_ROBOTS_FILE = "/robots.txt"
_TDM_FILE = "/.well-known/tdmrep.json"

TDM = "tdm-reservation"
CONTENT_SIGNAL = "content-signal"
NO_TRAINING = "content-signal ai-train=no"

# Directives with a colon, which are not agents.
_VALUED_DIRECTIVES = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)
_SYNONYMS = {"none": "noindex"}
_TAGS = frozenset(ROBOTS_TAGS)
_SIGNAL_HEADERS = ("Content-Signal", "Content-Usage")
_TRAINING = re.compile(
    r"(?:^|[\s,;])(?:ai-train|train-ai|ai)\s*=\s*(no?|y(?:es)?)\s*(?=$|[,;\s])"
)
_SIGNAL_LINE = re.compile(
    r"\s*(?:content-signal|content-usage)\s*:\s*(/\S*)?(.*)", re.I
)
_ACCESS_LINE = re.compile(r"\s*(?:dis)?allow\s*:", re.I)
_NO_RULE = "Crawl-delay: 0"
_MAX_RULES = 1000
_MAX_PATTERN_CHARS = 2000

_MAX_FILE_BYTES = 500 * 1024  # RFC 9309, 2.5
# Of the texts of all hosts together. Parsed, a text is 7 times as large in memory, one of the
# shortest rules 40 times; therefore each entry counts as at least `_ENTRY_BYTES`.
_MAX_CACHED_BYTES = 2 * 1024 * 1024
_ENTRY_BYTES = 1024
_CACHE_SECONDS = 86_400.0  # RFC 9309, 2.4
_MAX_CRAWL_DELAY_SECONDS = 30.0
# Reasons that concern the host and not its robots.txt: an image would fail in the same way.
_HOST_REASONS = frozenset({PRIVATE_ADDRESS, "connection failed", "bad url"})


class _HostRules(NamedTuple):
    """The rules of one host, valid `until` (monotonic). Without rules and reason all is allowed.

    `signals` are content signals, `reserved` the rules of its tdmrep.json; None until it is read.
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
        if self.rules and not self.rules.can_fetch(url, AGENT):
            raise Unreadable("robots.txt disallows", url)
        if self.signals and not self.signals.can_fetch(url, AGENT):
            raise Unreadable(NO_TRAINING, f"{url}: its robots.txt")
        if self.reserved and is_reserved(self.reserved, url):
            raise Unreadable(TDM, f"{url}: {_TDM_FILE}")


class _RulesCache:
    """Rules of hosts, up to a size; the least recently used are dropped. Thread-safe.

    Incomplete rules, of hosts whose second file is about to be read, are dropped last.
    """

    def __init__(self) -> None:
        self._rules: dict[str, _HostRules] = {}  # the most recently used last
        self._size = 0
        self._lock = Lock()

    def get(self, origin: str) -> _HostRules | None:
        with self._lock:
            rules = self._rules.pop(origin, None)
            if rules:
                self._rules[origin] = rules
            return rules

    def add(self, origin: str, rules: _HostRules) -> None:
        with self._lock:
            self._drop(origin)
            self._rules[origin] = rules
            self._size += rules.size + _ENTRY_BYTES
            while self._size > _MAX_CACHED_BYTES:
                # The oldest complete entry. A dropped incomplete one would need its robots.txt
                # again before its second file, and could be dropped again, without end.
                oldest = next(iter(self._rules))
                complete = (
                    name for name, other in self._rules.items() if other.is_complete
                )
                self._drop(next(complete, oldest))

    def _drop(self, origin: str) -> None:
        rules = self._rules.pop(origin, None)
        if rules:
            self._size -= rules.size + _ENTRY_BYTES


class RobotsPolicy:
    """Opt-out signals of hosts and images, except the `ignored` ones. Thread-safe.

    Fetches nothing: before an image the caller fetches what `missing_rules_file` names with
    `policy`, and records the response. Raises `UsageError` for an unknown signal.
    """

    def __init__(
        self,
        limits: DownloadLimits,
        headers: Mapping[str, str],
        ignored: Collection[str],
    ):
        unknown = sorted(set(ignored).difference(SIGNALS))
        if unknown:
            raise UsageError(
                f"unknown opt-out signal: {', '.join(unknown)}",
                f"name some of {', '.join(SIGNALS[:-1])}, or {SIGNALS[-1]}",
            )

        respected = () if "all" in ignored else SIGNALS
        self.respected = frozenset(respected).difference(ignored)
        # Every download from the host waits for this response: it gets less time, fewer retries.
        robots_limits = replace(
            limits,
            total_timeout=min(limits.total_timeout, limits.robots_timeout),
            max_wait=min(limits.max_wait, limits.robots_timeout),
            max_bytes=_MAX_FILE_BYTES,
            max_redirects=max(limits.max_redirects, 5),
            retries=min(limits.retries, 1),
        )
        # The body of a 404 is read as well: a connection with an unread body cannot be kept.
        self.policy = FetchPolicy(
            headers, RETRY_STATUSES, robots_limits, error_bodies=True, may_clip=True
        )
        self._retry_delay = limits.robots_retry_delay
        self._cache = _RulesCache()
        # Of a host whose tdmrep.json was not read: None if it has to be, () if it need not.
        self._reservations_before: tuple[PathRule, ...] | None = (
            None if TDM in self.respected else ()
        )

    def missing_rules_file(self, url: str) -> str | None:
        """Return the address of the file to read before this normalized address, if any."""
        rules = self._get(url)
        if not rules:
            return get_url_origin(url) + _ROBOTS_FILE
        return None if rules.is_complete else get_url_origin(url) + _TDM_FILE

    def _get(self, url: str) -> _HostRules | None:
        """Return the rules of the host; None if its robots.txt must be read first."""
        rules = self._cache.get(get_url_origin(url))
        if rules and time.monotonic() < rules.until:
            return rules
        if "robots.txt" in self.respected:
            return None
        return _HostRules(reserved=self._reservations_before)

    def record_rules(self, file: str, status: int, data: bytes) -> float | None:
        """Record the response to the request for a file; return its crawl delay, if any."""
        if file.endswith(_TDM_FILE):
            self._record_reservations(
                file,
                data if status < 300 else b"",
            )
            return None
        if status in RETRY_STATUSES or status >= 500:
            self._forbid(file, f"{file}: http {status}")
            return None
        text = _decode_rules(data) if status < 300 else ""
        from protego import Protego

        rules = Protego.parse(text) if text else None
        signals = None
        if CONTENT_SIGNAL in self.respected:
            signals = parse_content_signals(text)
        # Each of the two is as large as the text that it was parsed from.
        rule_sets = [rule_set for rule_set in (rules, signals) if rule_set]
        host_rules = _HostRules(
            until=time.monotonic() + _CACHE_SECONDS,
            rules=rules,
            size=len(data) * len(rule_sets),
            signals=signals,
            reserved=self._reservations_before,
        )
        self._add(file, host_rules)

        delay = rules.crawl_delay(AGENT) if rules else None
        return min(delay, _MAX_CRAWL_DELAY_SECONDS) if delay else None

    def record_failure(self, file: str, failure: Outcome[str, Any]) -> None:
        """Record that a file could not be read.

        Without its tdmrep.json a host reserves nothing, without its robots.txt it gets no requests.
        """
        if file.endswith(_TDM_FILE):
            self._record_reservations(file, b"")
        # More than five redirects: as if there were no robots.txt (RFC 9309, 2.3.1.2).
        elif failure.reason == "bad redirect":
            until = time.monotonic() + _CACHE_SECONDS
            self._add(file, _HostRules(until, reserved=self._reservations_before))
        elif failure.reason in _HOST_REASONS:
            self._forbid(file, failure.detail, failure.reason)
        else:
            self._forbid(
                file,
                f"{failure.detail} ({failure.reason})",
            )

    def _record_reservations(self, file: str, data: bytes) -> None:
        rules = self._get(file)
        if not rules:
            return  # its robots.txt was dropped from the cache: both files are read again
        reserved = parse_tdm_rules(data)
        size = rules.size + (len(data) if reserved else 0)
        self._add(file, rules._replace(reserved=reserved, size=size))

    def _add(self, url: str, rules: _HostRules) -> None:
        self._cache.add(get_url_origin(url), rules)

    def _forbid(
        self, url: str, detail: str, reason: str = "robots.txt could not be read"
    ) -> None:
        until = time.monotonic() + self._retry_delay
        self._add(url, _HostRules(until, reason=reason, detail=detail))

    def check_url(self, url: str) -> bool:
        """Return whether all rules for this normalized address are known.

        Raises `Unreadable` when the host objects: `robots.txt disallows`, `robots.txt could not be
        read`, `content-signal ai-train=no`, `tdm-reservation`, or why the host cannot be reached.
        """
        rules = self._get(url)
        if not rules:
            return False
        rules.check(url)
        return rules.is_complete

    def check_headers(self, url: str, headers: HTTPHeaderDict) -> None:
        """Raise `Unreadable` for an opt-out signal in the headers of an image."""
        directive = find_directive(
            headers.getlist("X-Robots-Tag"), self.respected & _TAGS
        )
        if directive:
            raise Unreadable(f"robots tag {directive}", url)
        reservations = [value.strip() for value in headers.getlist(TDM)]
        if TDM in self.respected and "1" in reservations:
            raise Unreadable(TDM, url)

        if CONTENT_SIGNAL in self.respected:
            # A header without a preference for training gives None, which forbids nothing.
            for name in _SIGNAL_HEADERS:
                preferences = map(_allows_training, headers.getlist(name))
                if False in preferences:
                    raise Unreadable(NO_TRAINING, url)

    def check_image_bytes(self, url: str, data: bytes) -> None:
        """Raise `Unreadable` for an opt-out signal in the file of an image."""
        for signal, reason, words in find_opt_outs(data):
            if signal in self.respected:
                raise Unreadable(reason, f"{url}: {words}")


def _decode_rules(data: bytes) -> str:
    if len(data) > _MAX_FILE_BYTES:
        # Half a line may mean something else: `Disallow: /` of `Disallow: /private`.
        data = data[:_MAX_FILE_BYTES]
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        data = data[: end + 1]
    return data.decode("utf-8-sig", "replace")


def _allows_training(preferences: str) -> bool | None:
    """Return the strictest preference for training; None without any."""
    values = _TRAINING.findall(preferences.lower())
    if not values:
        return None
    return not any(value.startswith("n") for value in values)


def find_directive(lines: Sequence[str], directives: frozenset[str]) -> str | None:
    """Return the first of `directives` in header lines that applies to us, if any."""
    for text in _iter_directives(lines):
        directive = _SYNONYMS.get(text, text)
        if directive in directives:
            return directive
    return None


def _iter_directives(lines: Sequence[str]) -> Iterator[str]:
    """Yield the directives in header lines that apply to us."""
    for line in lines:
        is_applicable = True
        for part in line.lower().split(","):
            name, colon, rest = map(str.strip, part.partition(":"))
            # No agents: "max-snippet: 50", and the parts of "unavailable_after: Fri, 25 Dec 2026
            # 15:00 GMT", whose date may have a comma ("25 dec 2026 15" has spaces), or begin with
            # its hour ("15:00 ...").
            is_agent = (
                name not in _VALUED_DIRECTIVES
                and " " not in name
                and not name.isdigit()
            )
            if colon and is_agent:
                # What follows is for this agent, up to the next one in the line.
                is_applicable = name.partition("/")[0].strip() in ("*", AGENT)
                part = rest
            if is_applicable:
                yield part.strip()


def parse_content_signals(text: str) -> Protego | None:
    """Return the addresses that a robots.txt excludes from training, as rules of a robots.txt.

    Groups and paths of content signals mean the same as those of access rules.
    """
    lower_text = text.lower()
    if not any(name.lower() in lower_text for name in _SIGNAL_HEADERS):
        return None
    from protego import Protego

    # Signals above all groups apply to all agents. A line that allows and forbids nothing ends the
    # names of this group; without it an agent named next would join them.
    lines = [
        "User-agent: *",
        _NO_RULE,
        *map(_as_access_rule, text.splitlines()),
    ]
    return Protego.parse("\n".join(lines))


def _as_access_rule(line: str) -> str:
    """Return a line with a signal as Allow or Disallow, one with an access rule as `_NO_RULE`."""
    if signal := _SIGNAL_LINE.match(line):
        path = signal[1]
        is_allowed = _allows_training(signal[2].partition("#")[0])
        # Without a path, a permission says nothing new (all is allowed at first), and as
        # "Allow: /" it would lift a prohibition in another line of the group.
        if is_allowed is None or (is_allowed and path is None):
            return _NO_RULE
        return f"{'Allow' if is_allowed else 'Disallow'}: {path or '/'}"
    # A group without signals is still a group.
    return _NO_RULE if _ACCESS_LINE.match(line) else line


class PathRule(NamedTuple):
    """A rule of a tdmrep.json: whether paths that match a pattern are reserved."""

    pattern: str
    reserved: bool

    def matches(self, path: str) -> bool:
        """Return whether a path begins like the pattern; `*` matches anything, `$` the end."""
        is_anchored = self.pattern.endswith("$")
        first, *parts = map(
            unquote,
            self.pattern.removesuffix("$").split("*"),
        )
        if is_anchored and not parts:
            return path == first
        if not path.startswith(first):
            return False

        # The texts between wildcards must follow each other; one before `$` must end the path,
        # without sharing characters with the texts before it.
        last = parts.pop() if is_anchored else ""
        position = len(first)
        for text in parts:
            start = path.find(text, position)
            if start < 0:
                return False
            position = start + len(text)

        if not is_anchored:
            return True
        return path.endswith(last) and len(path) - len(last) >= position


def parse_tdm_rules(data: bytes) -> tuple[PathRule, ...]:
    """Return the valid rules of a tdmrep.json; none for any other file."""
    try:
        entries = json.loads(data)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(entries, list):
        return ()
    return tuple(rule for rule in map(_parse_rule, entries[:_MAX_RULES]) if rule)


def _parse_rule(entry: object) -> PathRule | None:
    if not isinstance(entry, Mapping):
        return None
    pattern = entry.get("location")
    value = entry.get(TDM)
    # In Python True equals 1, but in JSON it is another value.
    if isinstance(value, bool) or value not in (0, 1, "0", "1"):
        return None
    if not isinstance(pattern, str) or len(pattern) > _MAX_PATTERN_CHARS:
        return None
    return PathRule(pattern, value in (1, "1"))


def is_reserved(rules: Sequence[PathRule], url: str) -> bool:
    """Return what the first rule that matches an address says; False without a match."""
    parts = urlsplit(url)
    path = unquote(f"{parts.path}?{parts.query}" if parts.query else parts.path)
    return next((rule.reserved for rule in rules if rule.matches(path)), False)

"""Opt-out signals in the headers and files of hosts.

- `X-Robots-Tag` is `[agent:] directive, directive`, in any number of headers; without an agent it
  applies to all (developers.google.com/search/docs, "Robots meta tag"). `noai` and `noimageai` are
  from DeviantArt (2022), `noml` from Mojeek.
- TDMRep (w3.org/community/reports/tdmrep): `tdm-reservation: 1` as a header, and rules for paths in
  a file of the host; the first rule that matches applies.
- `Content-Signal` (contentsignals.org) and `Content-Usage` (IETF, aipref-attach), in groups of a
  robots.txt, optionally with a path, or in a header.

All of it is untrusted: malformed input is ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from urllib3 import HTTPHeaderDict

from harvest.opt_out_signals import ROBOTS_TAGS

if TYPE_CHECKING:
    from protego import Protego

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
_TRAINING = re.compile(r"(?:^|[\s,;])(?:ai-train|train-ai|ai)\s*=\s*(no?|y(?:es)?)\s*(?=$|[,;\s])")
_SIGNAL_LINE = re.compile(r"\s*(?:content-signal|content-usage)\s*:\s*(/\S*)?(.*)", re.I)
_ACCESS_LINE = re.compile(r"\s*(?:dis)?allow\s*:", re.I)
_NO_RULE = "Crawl-delay: 0"
_MAX_RULES, _MAX_PATTERN_CHARS = 1000, 2000


def find_opt_out(headers: HTTPHeaderDict, respected: frozenset[str], agent: str) -> str | None:
    """Return the reason why the headers of an image opt it out, if they do."""
    tags = headers.getlist("X-Robots-Tag")
    if tags and (directive := find_directive(tags, respected & _TAGS, agent)):
        return f"robots tag {directive}"
    if TDM in respected and "1" in map(str.strip, headers.getlist(TDM)):
        return TDM
    if CONTENT_SIGNAL in respected:
        values = (value for name in _SIGNAL_HEADERS for value in headers.getlist(name))
        if any(_allows_training(value) is False for value in values):
            return NO_TRAINING
    return None


def _allows_training(preferences: str) -> bool | None:
    """Return the strictest preference for training; None without any."""
    values = _TRAINING.findall(preferences.lower())
    return not any(value.startswith("n") for value in values) if values else None


def find_directive(lines: Sequence[str], directives: frozenset[str], agent: str) -> str | None:
    """Return the first of `directives` in header lines that applies to `agent`, if any."""
    for text in _directives_for(agent, lines):
        directive = _SYNONYMS.get(text, text)
        if directive in directives:
            return directive
    return None


def _directives_for(agent: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        is_applicable = True
        for part in line.lower().split(","):
            name, colon, rest = part.strip().partition(":")
            if colon and _is_agent(name.strip()):
                # It applies to this agent up to the next one in the line.
                is_applicable = name.partition("/")[0].strip() in ("*", agent)
                part = rest
            if is_applicable:
                yield part.strip()


def _is_agent(name: str) -> bool:
    # The date of `unavailable_after` may have a comma, and always has colons.
    return name not in _VALUED_DIRECTIVES and " " not in name and not name.isdigit()


def parse_content_signals(text: str) -> Protego | None:
    """Return the addresses that a robots.txt excludes from training, as rules of a robots.txt.

    Groups and paths of content signals mean the same as those of access rules.
    """
    if not any(name.lower() in text.lower() for name in _SIGNAL_HEADERS):
        return None
    from protego import Protego

    # Signals above all groups apply to all agents.
    lines = ["User-agent: *", _NO_RULE, *map(_as_access_rule, text.splitlines())]
    return Protego.parse("\n".join(lines))


def _as_access_rule(line: str) -> str:
    if signal := _SIGNAL_LINE.match(line):
        path, preferences = signal.group(1), signal.group(2).partition("#")[0]
        is_allowed = _allows_training(preferences)
        # The stricter of two signals for the same path applies: everything else is allowed anyway.
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
        first, *parts = map(unquote, self.pattern.removesuffix("$").split("*"))
        if is_anchored and not parts:
            return path == first
        if not path.startswith(first):
            return False
        last = parts.pop() if is_anchored else ""
        position = len(first)
        for text in parts:
            if (start := path.find(text, position)) < 0:
                return False
            position = start + len(text)
        return not is_anchored or (path.endswith(last) and len(path) - len(last) >= position)


def parse_tdm_rules(data: bytes) -> tuple[PathRule, ...]:
    """Return the valid rules of a tdmrep.json; none for any other file."""
    try:
        entries = json.loads(data)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(entries, list):
        return ()
    return tuple(rule for entry in entries[:_MAX_RULES] if (rule := _rule(entry)) is not None)


def _rule(entry: object) -> PathRule | None:
    if not isinstance(entry, Mapping):
        return None
    pattern, value = entry.get("location"), entry.get(TDM)
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

"""What hosts and pages say against machines that learn, read out of their answers.

- `X-Robots-Tag` is `[agent:] directive, directive`, in as many headers as a host likes; without
  an agent it is for everyone (developers.google.com/search/docs, "Robots meta tag"). `noai` and
  `noimageai` are DeviantArt's of 2022, `noml` is Mojeek's.
- TDMRep (w3.org/community/reports/tdmrep): `tdm-reservation: 1` as a header or a meta element, and
  rules for paths in a file of the host, of which the first that matches holds.
- `Content-Signal` (contentsignals.org) and `Content-Usage` (IETF, aipref-attach) stand in groups of
  a robots.txt, perhaps with a path, or in a header.

All of it comes from outside: what is malformed says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from harvest.robots_words import TAGS

if TYPE_CHECKING:
    from protego import Protego

TDM = "tdm-reservation"
SIGNAL = "content-signal"
NO_TRAINING = "content-signal ai-train=no"
OF_PAGES = ("noai", "noimageai", "noml", "noimageindex")
"""What a page says of the pictures on it, too: `noindex` is about the page alone."""

# Directives with a colon of their own, which are no agents.
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_LONGHAND = {"none": "noindex"}
_TAGS = frozenset(TAGS)
_SIGNALS = ("Content-Signal", "Content-Usage")
_TRAINING = re.compile(r"(?:^|[\s,;])(?:ai-train|train-ai|ai)\s*=\s*(no?|y(?:es)?)\s*(?=$|[,;\s])")
_SIGNAL_LINE = re.compile(r"\s*(?:content-signal|content-usage)\s*:\s*(/\S*)?(.*)", re.I)
_ACCESS_LINE = re.compile(r"\s*(?:dis)?allow\s*:", re.I)
_NOTHING = "Crawl-delay: 0"
_FOR_ALL = ("User-agent: *", _NOTHING)
_META = re.compile(r"<meta\s([^<>]{1,1000})>", re.I)
_ATTRIBUTE = re.compile(r"""([a-z-]{1,20})\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.I)
_MOST_OF_PAGE = 200_000
_MOST_RULES, _LONGEST_RULE = 1000, 2000


class Headers(Protocol):
    """The headers of an answer, each of which may come several times."""

    def getlist(self, key: str) -> list[str]:
        """Return the values of one, whatever its case."""


def header_opt_out(headers: Headers, heeded: frozenset[str], agent: str) -> str | None:
    """Return the reason why the headers of a picture keep it back, of the words heeded."""
    tags = headers.getlist("X-Robots-Tag")
    if tags and (directive := first_directive(tags, heeded & _TAGS, agent)):
        return f"robots tag {directive}"
    if TDM in heeded and "1" in map(str.strip, headers.getlist(TDM)):
        return TDM
    if SIGNAL in heeded and any(
        _training_allowed(value) is False for name in _SIGNALS for value in headers.getlist(name)
    ):
        return NO_TRAINING
    return None


def _training_allowed(preferences: str) -> bool | None:
    """Return what preferences say of training, the strictest of them; None where nothing."""
    answers = _TRAINING.findall(preferences.lower())
    return not any(answer.startswith("n") for answer in answers) if answers else None


def first_directive(lines: Sequence[str], heeded: frozenset[str], agent: str) -> str | None:
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


def page_opt_out(html: str, agent: str) -> str | None:
    """Return the word by which a page keeps its pictures back, in a meta element of its head."""
    for meta in _META.finditer(html, 0, _MOST_OF_PAGE):
        said = {
            name.lower(): "".join(values) for name, *values in _ATTRIBUTE.findall(meta.group(1))
        }
        name, content = said.get("name", "").lower(), said.get("content", "")
        if name in ("robots", agent):
            if directive := first_directive([content], frozenset(OF_PAGES), agent):
                return directive
        elif name == TDM and content.strip() == "1":
            return TDM
    return None


def parse_content_signals(text: str) -> Protego | None:
    """Return which addresses a robots.txt keeps from training, as rules of another robots.txt.

    Groups and paths mean the same there, so whoever reads the one may read the other.
    """
    if not any(name.lower() in text.lower() for name in _SIGNALS):
        return None
    from protego import Protego

    # What stands above all groups is no rule, but a wish that can only be meant for all.
    return Protego.parse("\n".join((*_FOR_ALL, *map(_as_access, text.splitlines()))))


def _as_access(line: str) -> str:
    if signal := _SIGNAL_LINE.match(line):
        path, preferences = signal.group(1), signal.group(2).partition("#")[0]
        allowed = _training_allowed(preferences)
        # Of two that are said of the same path the stricter holds: all is allowed anyhow.
        if allowed is None or (allowed and path is None):
            return _NOTHING
        return f"{'Allow' if allowed else 'Disallow'}: {path or '/'}"
    # A group that says nothing of training is a group all the same.
    return _NOTHING if _ACCESS_LINE.match(line) else line


class PathRule(NamedTuple):
    """A rule of a tdmrep.json: whether what lies at a pattern of paths is reserved."""

    pattern: str
    reserved: bool

    def matches(self, path: str) -> bool:
        """Return whether a path begins as the pattern does, in which `*` is anything."""
        ended = self.pattern.endswith("$")
        first, *others = map(unquote, self.pattern.removesuffix("$").split("*"))
        if ended and not others:
            return path == first
        if not path.startswith(first):
            return False
        last = others.pop() if ended else ""
        at = len(first)
        for piece in others:
            if (there := path.find(piece, at)) < 0:
                return False
            at = there + len(piece)
        return not ended or (path.endswith(last) and len(path) - len(last) >= at)


def parse_tdm_rules(data: bytes) -> tuple[PathRule, ...]:
    """Return the rules of a tdmrep.json; none of what is no such file, or says neither 0 nor 1."""
    try:
        entries = json.loads(data)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(entries, list):
        return ()
    return tuple(rule for entry in entries[:_MOST_RULES] if (rule := _rule(entry)) is not None)


def _rule(entry: object) -> PathRule | None:
    if not isinstance(entry, Mapping):
        return None
    pattern, value = entry.get("location"), entry.get(TDM)
    if isinstance(value, bool) or value not in (0, 1, "0", "1"):
        return None
    if not isinstance(pattern, str) or len(pattern) > _LONGEST_RULE:
        return None
    return PathRule(pattern, value in (1, "1"))


def is_reserved(rules: Sequence[PathRule], url: str) -> bool:
    """Return what the first rule says that matches an address; False where none does."""
    parts = urlsplit(url)
    path = unquote(f"{parts.path}?{parts.query}" if parts.query else parts.path)
    return next((rule.reserved for rule in rules if rule.matches(path)), False)

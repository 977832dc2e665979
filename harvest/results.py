"""Results of the `harvest` commands and of the sources of recipes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, TypeVar

import msgspec

from gleanset.command_result import CommandResult, JsonDict
from gleanset.named_files import preview_paths

OK = "ok"
Counts = dict[str, int]


class HarvestCounts(CommandResult, kw_only=True):
    """What a harvest or its simulation counts.

    `duplicate` images came from elsewhere before; `known` items were visited before, and the images
    of `forgotten` ones then removed for good. Results that a
    site does not show to this account are `hidden`; those without an address are `unreadable`.
    `maybe_placeholders` are the further addresses of a host that gave the same image, by host and
    image. `keywords` and `sources` are the parts of a search, with their `status`.
    """

    ONLY_PRINTED = ("next",)

    status: str = ""
    duplicate: int = 0
    known: int = 0
    forgotten: int = 0
    hidden: int = 0
    filtered: int = 0
    unreadable: int = 0
    reasons: Counts = {}
    hints: Counts = {}
    maybe_placeholders: Counts = {}
    no_results: bool = False
    keywords: dict[str, HarvestCounts] = {}
    sources: dict[str, HarvestCounts] = {}
    ignored: int | None = None
    ignored_reasons: Counts = {}
    ignored_files: list[str] = []
    rows_without_file: int = 0
    rows_without_file_names: JsonDict = {}
    rejected_files: JsonDict = {}
    reserved: int = 0
    reserved_files: JsonDict = {}
    people: Counts = {}
    unlabelled_faces: int = 0
    unlabelled_face_files: JsonDict = {}
    groups: int | None = None
    without_group: int = 0
    note: str = ""
    maybe_parts_of_one_image: JsonDict = {}
    next: str = ""

    def list_counts(self) -> Counts:
        """Return the counts of items by the names that people use, the most important first."""
        names = ("duplicate", "known", "forgotten", "hidden", "filtered", "unreadable")
        return {name: getattr(self, name) for name in names}

    def describe(self) -> str:
        """Return the counts of a part of a search, and its error, in a line."""
        texts = [
            f"{number:,} {name}"
            for name, number in self.list_counts().items()
            if number
        ]
        line = ", ".join(texts) or "nothing"
        error = "" if self.status in ("", OK) else "; ".join(self.status.splitlines())
        return f"{line}; {error}" if error else line

    def summary(self) -> JsonDict:
        """Return the counts, then what they consist of."""
        return {
            "result": "the search found nothing" if self.no_results else "",
            "note": self.note,
            **self.list_counts(),
            "ignored": self.ignored,
            "rows without a file": self.rows_without_file,
            "with an opt-out signal": self.reserved,
            "named faces": sum(self.people.values()),
            "faces without a label": self.unlabelled_faces,
            "groups": self.groups,
            "without a group": self.without_group,
            "reasons": _explain_reasons(self.reasons),
            "weak labels": self.hints,
            "possible placeholders, by repeats": self.maybe_placeholders,
            "people": self.people,
            "keywords": _describe_parts(self.keywords),
            "sources": _describe_parts(self.sources),
            "ignored, by reason": self.ignored_reasons,
            "ignored archives, tables and videos": self.ignored_files,
            "names without a file": self.rows_without_file_names,
            "rejected files": self.rejected_files,
            "files with an opt-out signal": self.reserved_files,
            "unlabelled faces": self.unlabelled_face_files,
            "maybe parts of one image": self.maybe_parts_of_one_image,
            "next": self.next,
        }

    def brief(self) -> JsonDict:
        """Return the counts, with the keywords and sources that found nothing or failed."""
        parts = {
            "weak labels": len(self.hints),
            "keywords": _describe_parts(_find_failed(self.keywords)),
            "sources": _describe_parts(_find_failed(self.sources)),
            "ignored, by reason": {},
            "ignored archives, tables and videos": [],
        }
        return self.summary() | parts


_REASON_HINTS = {"private address": "private address (allowed by --allow-private)"}


def _explain_reasons(reasons: Mapping[str, int]) -> Counts:
    return {
        _REASON_HINTS.get(reason, reason): number for reason, number in reasons.items()
    }


# Temporary failures: a run that meets the item again retries it, a few times.
_TEMPORARY_REASONS = frozenset(
    {
        "connection failed",
        "timed out",
        "too slow",
        "cut off",
        "http 408",
        "http 425",
        "http 429",
        "robots.txt could not be read",
    }
)


def is_temporary(reason: str) -> bool:
    """Return whether a download that was rejected for this reason is worth another attempt."""
    return reason in _TEMPORARY_REASONS or reason.startswith("http 5")


class HarvestResult(HarvestCounts, kw_only=True):
    """Images that a run added, found again or rejected.

    `not_asked` images were not requested, because their hosts refuse requests. `taken_back` labels
    came from weak labels that this run contradicts.
    """

    added: int
    duplicate: int
    known: int
    rejected: int
    not_asked: int = 0
    without_hint: int = 0
    taken_back: int = 0

    def list_counts(self) -> Counts:
        """Return the counts of items by the names that people use."""
        return {
            "added": self.added,
            **super().list_counts(),
            "rejected": self.rejected,
            "not requested": self.not_asked,
            "without a weak label": self.without_hint,
            "labels withdrawn": self.taken_back,
        }


class HarvestPreview(HarvestCounts, kw_only=True):
    """What a harvest would fetch: the number of candidates, and their paths or URLs."""

    candidates: int
    paths: list[str] = []

    def list_counts(self) -> Counts:
        """Return the counts of items by the names that people use."""
        return {"candidates": self.candidates, **super().list_counts()}

    def summary(self) -> JsonDict:
        """Return the counts, then the first paths."""
        return super().summary() | preview_paths(self.paths)


class RetryResult(CommandResult, kw_only=True):
    """Failed downloads that were tried again."""

    WORDS = {"not_asked": "not requested", "taken_back": "labels withdrawn"}

    added: int
    duplicate: int
    rejected: int
    not_asked: int = 0
    taken_back: int = 0
    reasons: Counts = {}
    nothing_to_retry: bool = False

    def summary(self) -> JsonDict:
        """Return the counts, or that there was nothing to retry."""
        if self.nothing_to_retry:
            return {"result": "nothing to retry"}
        return {
            **super().summary(),
            "reasons": _explain_reasons(self.reasons),
        }


class FramesResult(HarvestResult, kw_only=True):
    """Frames that were added, and what happened to each video."""

    left_out: Counts = {}
    unreadable_videos: JsonDict = {}
    video_states: Counts

    def summary(self) -> JsonDict:
        """Return the counts; they say what is a frame and what is a video."""
        parts = ", ".join(
            f"{number} {state}" for state, number in self.video_states.items()
        )
        return {
            "videos": f"{sum(self.video_states.values())} ({parts})",
            "note": self.note,
            "new frames": self.added,
            "duplicate frames": self.duplicate,
            "known frames": self.known,
            "rejected frames": self.rejected - self.video_states.get("rejected", 0),
            "reasons": self.reasons,
            "left out": self.left_out,
            "next": self.next,
            "damaged or unreadable videos": self.unreadable_videos,
        }


class VideosPreview(CommandResult, kw_only=True):
    """Videos that would be sampled, and what is wrong with others."""

    videos: int
    known: int = 0
    rejected: int = 0
    problems: list[str] = []
    paths: list[str] = []

    def summary(self) -> JsonDict:
        """Return the counts, then the problems and the first paths."""
        return {
            "videos": self.videos,
            "known": self.known,
            "rejected": self.rejected,
            "problems": self.problems,
            **preview_paths(self.paths),
        }


class LoginResult(CommandResult, kw_only=True):
    """The site, the account and the file of a stored login."""

    logged_in: str
    kept_in: str
    account: str = ""
    note: str = ""


R = TypeVar("R", bound=HarvestCounts)


def merge_results(results: Sequence[R]) -> R:
    """Return the results of several runs as that of one: counts are added, lists joined."""
    values = zip(*map(msgspec.structs.astuple, results), strict=True)
    merged = (reduce(_add, value) for value in values)
    return type(results[0])(
        **dict(zip(results[0].__struct_fields__, merged, strict=True))
    )


def _add(first: Any, second: Any) -> Any:
    """Return the sum of two values of a field: numbers, texts, lists, or counts by name."""
    if not (first and second):
        return first or second
    if isinstance(first, dict):
        return dict((Counter(first) + Counter(second)).most_common())
    return first + second


def _find_failed(parts: Mapping[str, HarvestCounts]) -> dict[str, HarvestCounts]:
    """Return the parts of a search that found nothing, or did not reach their end."""
    return {
        name: part
        for name, part in parts.items()
        if part.status != OK or not any(part.list_counts().values())
    }


def _describe_parts(parts: Mapping[str, HarvestCounts]) -> list[str]:
    return [f"{name}: {part.describe()}" for name, part in parts.items()]

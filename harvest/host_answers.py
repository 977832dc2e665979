"""What hosts give in place of an image: refusals, and one notice for all removed images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from gleanset.records import Candidate
from gleanset.work.pool import Outcome

Result = TypeVar("Result")
# Reasons of rejections.
NOT_ASKED = "not asked: host refuses"
NOTICE = "redirected to a notice"
# Two addresses may well name one image; three different ones do not.
_MIN_RESULTS = 3
_MAX_TARGETS = 10_000


@dataclass(frozen=True, slots=True)
class RedirectedOutcome(Outcome[Candidate, Result]):
    """What became of a candidate whose address led to another one, `final_url`."""

    final_url: str = ""


class RedirectTargets:
    """The addresses that results of one run were redirected to."""

    def __init__(self) -> None:
        self._results: dict[str, set[str]] = {}
        self._imported: dict[str, list[Callable[[], None]]] = {}

    def is_notice(self, target: str, url: str) -> bool:
        """Note that `url` was redirected; return whether different ones lead to the same target.

        One whose file has the name of the target is the same image at another place.
        """
        results = self._results.pop(target, set())
        self._results[target] = results
        if len(self._results) > _MAX_TARGETS:
            oldest = next(iter(self._results))
            del self._results[oldest]
            self._imported.pop(oldest, None)
        if len(results) < _MIN_RESULTS and _file_name(url) != _file_name(target):
            results.add(url)
        return len(results) >= _MIN_RESULTS

    def note_import(self, target: str, undo: Callable[[], None]) -> None:
        """Note that a redirected result was imported, and what undoes that."""
        self._imported.setdefault(target, []).append(undo)

    def undo_imports(self, target: str) -> None:
        """Undo all imports from a target."""
        for undo in self._imported.pop(target, []):
            undo()


def _file_name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2].casefold()

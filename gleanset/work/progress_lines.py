"""Progress for another program: a JSON object a line on stderr, for whoever shows the bar.

A line of a stage has `stage`, `done`, `unit`, and `total`, `rate` (a second), `eta` (seconds) and
`note` where they are known; the last one of a stage has `ended`. Other lines have a `message`. What
is no JSON, such as the error that ends a command, is for a person.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gleanset.work.progress import Progress, ProgressMeter

SECONDS_BETWEEN = 0.2
"""So often a stage tells how far it is at most."""


class ProgressLines(Progress):
    """Writes lines instead of bars; thread-safe."""

    def say(self, line: str) -> None:
        """Write a message."""
        if not self.quiet:
            _write({"message": line})

    def meter(
        self, what: str, total: float | None = None, unit: str = " images", done: float = 0
    ) -> ProgressMeter:
        """Begin a stage."""
        return ProgressMeter() if self.quiet else _StageLines(what, total, unit.strip(), done)

    @contextmanager
    def video_time(self, what: str, total: float | None) -> Iterator[Callable[[float], None]]:
        """Begin a stage that counts seconds of video."""
        with self.meter(what, total, "seconds of video") as meter:
            yield meter.advance


class _StageLines(ProgressMeter):
    """The lines of one stage."""

    def __init__(self, what: str, total: float | None, unit: str, done: float) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._before = self._done = done
        self._note = ""
        self._begun = time.monotonic()
        self._told = 0.0
        self._lock = threading.Lock()
        self._tell()

    def advance(self, more: float, note: str = "") -> None:
        """Count, and tell it where the last line was written a while ago."""
        with self._lock:
            self._done += more
            self._note = note
            if time.monotonic() - self._told >= SECONDS_BETWEEN:
                self._tell()

    def close(self) -> None:
        """Write the last line."""
        with self._lock:
            self._tell(ended=True)

    def _tell(self, *, ended: bool = False) -> None:
        self._told = time.monotonic()
        line: dict[str, object] = {"stage": self._what, "done": self._done, "unit": self._unit}
        if self._total is not None:
            line["total"] = self._total
        gone, more = self._told - self._begun, self._done - self._before
        if more > 0 and gone > 0:
            line["rate"] = round(more / gone, 3)
            if self._total is not None:
                line["eta"] = round(max(self._total - self._done, 0) * gone / more, 1)
        if self._note:
            line["note"] = self._note
        if ended:
            line["ended"] = True
        _write(line)


def _write(line: dict[str, object]) -> None:
    # Who looked on may have gone: the work is done all the same.
    with suppress(OSError):
        sys.stderr.write(json.dumps(line) + "\n")
        sys.stderr.flush()

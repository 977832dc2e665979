"""Progress on stderr with tqdm: bars on a terminal, plain lines elsewhere, or JSON lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

from gleanset.terminal import replace_controls, wrap

T = TypeVar("T")


class ProgressMeter:
    """Progress of one stage; this base class shows nothing. Close it, or use it in a `with`."""

    def advance(self, steps: float, note: str = "") -> None:
        """Advance by `steps`; `note` is shown after the bar."""

    def close(self) -> None:
        """End the stage."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _TqdmMeter(ProgressMeter):
    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def advance(self, steps: float, note: str = "") -> None:
        self._bar.set_postfix_str(replace_controls(note, "?"), refresh=False)
        self._bar.update(steps)

    def close(self) -> None:
        self._bar.close()


class Progress:
    """Reporter of progress, silent if `quiet`. Sessions receive one and never print."""

    def __init__(self, quiet: bool = True, as_json: bool = False) -> None:
        self.quiet, self._as_json = quiet, as_json

    def say(self, line: str) -> None:
        """Print a message to stderr unless quiet."""
        if self.quiet:
            return
        if self._as_json:
            lines = [json.dumps({"message": line})]
        else:
            lines = [replace_controls(part, "?") for part in line.split("\n")]
            if sys.stderr.isatty():
                lines = [part for line in lines for part in wrap(line)]
        with suppress(OSError):  # a closed pipe must not end the work
            sys.stderr.write("".join(f"{part}\n" for part in lines))
            sys.stderr.flush()

    def meter(
        self, what: str, total: float | None = None, unit: str = " images", done: float = 0
    ) -> ProgressMeter:
        """Start the meter of a stage named `what`, at `done` of `total`."""
        if self.quiet:
            return ProgressMeter()
        from gleanset.work.progress_bars import Bar, JsonBar, LineBar  # tqdm

        kind = JsonBar if self._as_json else Bar if sys.stderr.isatty() else LineBar
        description = replace_controls(what, "?")
        return _TqdmMeter(kind(total=total, initial=done, desc=description, unit=unit))

    def over(
        self, items: Iterable[T], what: str, total: int | None = None, unit: str = " images"
    ) -> Iterator[T]:
        """Yield the items and count them in a meter."""
        for batch in self.batches(([item] for item in items), what, total, unit):
            yield from batch

    def batches(
        self,
        batches: Iterable[list[T]],
        what: str,
        total: int | None = None,
        unit: str = " images",
        note: Callable[[], str] = lambda: "",
    ) -> Iterator[list[T]]:
        """Yield the batches and count their items in a meter."""
        with self.meter(what, total, unit) as meter:
            for batch in batches:
                yield batch
                meter.advance(len(batch), note())

    @contextmanager
    def video_time(self, what: str, total: float | None) -> Iterator[Callable[[float], None]]:
        """Yield a function that counts seconds of processed video."""
        with self.meter(what, total, " s of video") as meter:
            yield meter.advance


current = Progress()
"""Progress of the running command, for code that gets no argument: downloads of weights."""


def set_current(progress: Progress) -> None:
    """Set the progress of the running command."""
    global current
    current = progress

"""Progress on stderr: a bar of tqdm on a terminal, or JSON lines.

Whatever else is written to a terminal is written `without_bars`, so that no line holds a bar.

A JSON line has `stage`, `done`, `unit`, and, if known, `total`, `rate` (per second), `eta`
(seconds) and `note`; the last line of a stage has `ended`.
"""

import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self, TextIO, TypeVar

from gleanset.terminal import replace_controls, wrap

T = TypeVar("T")
JSON_INTERVAL_SECONDS = 0.2


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


class _BarMeter(ProgressMeter):
    """A bar, removed at the end; bytes are shown as kB and MB, other counts as integers."""

    def __init__(self, stage: str, total: float | None, unit: str, done: float):
        from gleanset.work.bar import Bar  # many commands show no bar

        self._done = done
        self.bar: Any = Bar(
            desc=stage,
            total=total and round(total),  # None: unknown
            initial=round(done),
            unit=unit,
            unit_scale=unit == "B",
            leave=False,
            dynamic_ncols=True,
            # Not drawn before `closing_bars` knows it: Ctrl-C may come in between.
            delay=1e-9,
        )
        _open_bars.append(self)
        self.bar.refresh()

    def advance(self, steps: float, note: str = "") -> None:
        self._done += steps
        self.bar.set_postfix_str(replace_controls(note, "?"), refresh=False)
        # Whole steps: the bar would show fractions of an image.
        self.bar.update(round(self._done) - self.bar.n)

    def close(self) -> None:
        # tqdm clears the columns that it has noted as drawn. Ctrl-C may have come between drawing
        # and noting, so draw the bar again.
        self.bar.refresh()
        self.bar.close()
        if self in _open_bars:
            _open_bars.remove(self)


_open_bars: list[_BarMeter] = []


@contextmanager
def without_bars() -> Iterator[None]:
    """Remove the bars from the terminal, and draw them again below what is written meanwhile."""
    first_bars = _open_bars[:1]
    if not first_bars:
        yield
        return
    # This removes and draws all bars, not only the first.
    with first_bars[0].bar.external_write_mode(file=sys.stderr):
        yield


@contextmanager
def closing_bars() -> Iterator[None]:
    """Remove all bars in the end: an exception leaves those of unfinished iterations open."""
    try:
        yield
    finally:
        while _open_bars:
            _open_bars[-1].close()


class LogHandler(logging.StreamHandler[TextIO]):
    """Handler that writes log records to stderr, above the bars."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        with without_bars():
            super().emit(record)


class _JsonMeter(ProgressMeter):
    """JSON lines, at most five per second."""

    def __init__(self, stage: str, total: float | None, unit: str, done: float):
        self._stage = stage
        self._unit = unit.strip()
        self._note = ""
        self._total = total
        self._done = done
        self._first = done
        self._started = time.monotonic()
        self._write()

    def advance(self, steps: float, note: str = "") -> None:
        self._done += steps
        self._note = note
        if time.monotonic() - self._written >= JSON_INTERVAL_SECONDS:
            self._write()

    def close(self) -> None:
        self._write(ended=True)

    def _write(self, **flags: bool) -> None:
        self._written = time.monotonic()
        line: dict[str, object] = {
            "stage": self._stage,
            "done": round(self._done),
            "unit": self._unit,
        }
        if self._total is not None:
            line["total"] = round(self._total)

        processed = self._done - self._first
        elapsed = self._written - self._started
        if processed > 0 and elapsed > 0:
            line["rate"] = round(processed / elapsed, 3)
            if self._total is not None:
                rest = max(self._total - self._done, 0)
                line["eta"] = round(rest * elapsed / processed, 1)
        if self._note:
            line["note"] = self._note

        with suppress(OSError):  # a closed pipe must not end the work
            sys.stderr.write(json.dumps(line | flags) + "\n")
            sys.stderr.flush()


class Progress:
    """Reporter of progress, silent if `quiet`. Sessions receive one and never print."""

    def __init__(self, quiet: bool = True, as_json: bool = False):
        self.quiet = quiet
        self._as_json = as_json
        self.warnings: list[str] = []

    def say(self, line: str) -> None:
        """Print a message to stderr unless quiet."""
        if not self.quiet:
            self._write(line)

    def warn(self, line: str) -> None:
        """Print a message to stderr once, even if quiet: data may be wrong."""
        if line not in self.warnings:
            self.warnings.append(line)
            self._write(line)

    def _write(self, line: str) -> None:
        if self._as_json:
            lines = [json.dumps({"message": line})]
        else:
            lines = []
            for part in line.split("\n"):
                text = replace_controls(part, "?")
                lines += wrap(text) if sys.stderr.isatty() else [text]

        with suppress(OSError), without_bars():  # a closed pipe must not end the work
            sys.stderr.write("".join(f"{part}\n" for part in lines))
            sys.stderr.flush()

    def meter(
        self,
        what: str,
        total: float | None = None,
        unit: str = " images",
        done: float = 0,
    ) -> ProgressMeter:
        """Start the meter of a stage named `what`, at `done` of `total`."""
        if self.quiet or not (self._as_json or sys.stderr.isatty()):
            return ProgressMeter()
        kind = _JsonMeter if self._as_json else _BarMeter
        return kind(replace_controls(what, "?"), total, unit, done)

    def over(
        self,
        items: Iterable[T],
        what: str,
        total: int | None = None,
        unit: str = " images",
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
    ) -> Iterator[list[T]]:
        """Yield the batches and count their items in a meter."""
        with self.meter(what, total, unit) as meter:
            for batch in batches:
                yield batch
                meter.advance(len(batch))


current = Progress()
"""Progress of the running command, for code that gets no argument: downloads of weights."""


def set_current(progress: Progress) -> None:
    """Set the progress of the running command."""
    global current
    current = progress


NO_PROGRESS = Progress()
"""Shows nothing: for callers without a terminal."""

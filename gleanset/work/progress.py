"""Progress on stderr: a bar where a person looks on, nothing in a pipe or when quiet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Self, TypeVar

from gleanset.terminal import wrapped
from gleanset.work.waiting import WAITING

T = TypeVar("T")


class ProgressMeter:
    """How far one stage of the work is; this one shows nothing. Close it, or use it in a `with`."""

    def advance(self, more: float, note: str = "") -> None:
        """Count so much more; `note` stands behind the bar."""

    def close(self) -> None:
        """End the stage."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Bar(ProgressMeter):
    """One of tqdm's."""

    def __init__(self, what: str, total: float | None, unit: str, done: float) -> None:
        from tqdm import tqdm

        WAITING.pause()
        self._bar = tqdm(
            total=total, initial=done, desc=what, unit=unit, leave=False, dynamic_ncols=True
        )
        self._bar.unit_scale = unit == "B"  # as kB and MB

    def advance(self, more: float, note: str = "") -> None:
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(more)

    def close(self) -> None:
        self._bar.close()
        WAITING.resume()


class Progress:
    """Draws bars unless `quiet`. Sessions get one handed in and never print themselves."""

    def __init__(self, quiet: bool = True) -> None:
        self.quiet = quiet

    def say(self, line: str) -> None:
        """Tell a person what goes on; nothing when quiet.

        On a terminal a long line is broken at spaces; in a file it stays one.
        """
        if not self.quiet:
            WAITING.end()
            lines = wrapped(line) if sys.stderr.isatty() else [line]
            sys.stderr.write("".join(f"{one}\n" for one in lines))
            sys.stderr.flush()

    def meter(
        self, what: str, total: float | None = None, unit: str = " images", done: float = 0
    ) -> ProgressMeter:
        """Begin a stage of which so much is `done`; it draws nothing where nobody looks on."""
        return _Bar(what, total, unit, done) if self._draws() else ProgressMeter()

    def over(
        self, items: Iterable[T], what: str, total: int | None = None, unit: str = " images"
    ) -> Iterator[T]:
        """Pass items through while a bar counts them."""
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
        """Yield the same for items that come several at a time; `note` stands behind the bar."""
        with self.meter(what, total, unit) as meter:
            for batch in batches:
                yield batch
                meter.advance(len(batch), note())

    @contextmanager
    def video_time(self, what: str, total: float | None) -> Iterator[Callable[[float], None]]:
        """A bar over `total` seconds of video; call what it gives with seconds gone by.

        Such a call is thread-safe. Without a total the time is shown, and no bar.
        """
        if not self._draws():
            yield lambda seconds: None
            return
        WAITING.pause()
        form = "{desc}: {gone}" if total is None else _OF_VIDEO
        with _video_bar()(
            total=total, desc=what, leave=False, bar_format=form, dynamic_ncols=True
        ) as bar:

            def advance(seconds: float) -> None:
                bar.update(seconds)

            try:
                yield advance
            finally:
                WAITING.resume()

    def _draws(self) -> bool:
        """Return whether a person looks on. Where nobody does, tqdm is not even loaded."""
        return not self.quiet and sys.stderr.isatty()


_OF_VIDEO = (
    "{desc}: {percentage:3.0f}%|{bar}| {gone} of {whole} of video [{speed}, ETA {remaining}]"
)


@cache
def _video_bar() -> Any:
    from tqdm import tqdm

    class VideoBar(tqdm):  # type: ignore[type-arg]
        """tqdm that counts in hours, minutes and seconds."""

        @property
        def format_dict(self) -> dict[str, Any]:
            """What the bar's format may name."""
            values = dict(super().format_dict)
            rate = values["rate"] or (values["n"] / values["elapsed"] if values["elapsed"] else 0.0)
            return values | {
                "gone": tqdm.format_interval(values["n"]),
                "whole": tqdm.format_interval(values["total"] or 0),
                "speed": f"{rate:.1f}x",
            }

    return VideoBar

"""Progress on stderr: a bar where a person looks on, nothing in a pipe or when quiet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


class Progress:
    """Draws bars unless `quiet`. Sessions get one handed in and never print themselves."""

    def __init__(self, quiet: bool = True) -> None:
        self.quiet = quiet

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
        if not self._draws():
            yield from batches
            return
        from tqdm import tqdm

        with tqdm(total=total, desc=what, unit=unit, leave=False) as bar:
            for batch in batches:
                yield batch
                bar.set_postfix_str(note(), refresh=False)
                bar.update(len(batch))

    @contextmanager
    def video_time(self, what: str, total: float | None) -> Iterator[Callable[[float], None]]:
        """A bar over `total` seconds of video; call what it gives with seconds gone by.

        Such a call is thread-safe. Without a total the time is shown, and no bar.
        """
        if not self._draws():
            yield lambda seconds: None
            return
        form = "{desc}: {gone}" if total is None else _OF_VIDEO
        with _video_bar()(
            total=total, desc=what, leave=False, bar_format=form, dynamic_ncols=True
        ) as bar:

            def advance(seconds: float) -> None:
                bar.update(seconds)

            yield advance

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

"""Progress on stderr: a bar where a person looks on, nothing in a pipe or when quiet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

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
        self, batches: Iterable[list[T]], what: str, total: int | None = None,
        unit: str = " images",
    ) -> Iterator[list[T]]:  # fmt: skip
        """The same for items that come several at a time."""
        # disable=None lets tqdm decide: a bar on a terminal, nothing in a log file.
        with tqdm(
            total=total, desc=what, unit=unit, disable=True if self.quiet else None, leave=False
        ) as bar:
            for batch in batches:
                yield batch
                bar.update(len(batch))

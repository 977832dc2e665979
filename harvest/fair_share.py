"""How sources share a limit: equal parts, and what one cannot fill passes to the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence, Sized
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Given = TypeVar("Given", covariant=True)


class ImagesFound(set[str]):
    """What one source has found; `common` is what all of them have."""

    def __init__(self, common: set[str]) -> None:
        super().__init__()
        self._common = common

    def add(self, name: str) -> None:
        """Note it for this source and for all."""
        super().add(name)
        self._common.add(name)


class Sharer(Protocol[Given]):
    """One source at work for one keyword, all in one thread but for the site that it asks."""

    share: int

    @property
    def brought(self) -> Sized:
        """What it has found so far, known or new."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will be found."""

    @property
    def busy(self) -> bool:
        """Whether the site is being asked for more."""

    def take(self) -> Given | None:
        """Return the next one that its share needs; None where there is none, or none for now."""


class FairShare(Generic[Item]):
    """Sources that work at the same time and bring `limit` together; `common` is what they found.

    A share is an equal part of what the ended sources leave of the limit, and of what several
    found alike. It only grows, by what was found and not by when; a source goes through its own
    results in order until its share is there. So in the end each source has gone equally far
    whichever site was the quicker, and a run that is taken up again is at the same place.
    """

    def __init__(self, limit: int, sources: Sequence[Sharer[Item]], common: Sized) -> None:
        self._limit = limit
        self._sources = sources
        self._common = common
        self._turns = deque(sources)

    @property
    def asking(self) -> bool:
        """Whether a site is being asked for more."""
        return any(source.busy for source in self._sources)

    def take(self) -> Item | None:
        """Return the next one that any source needs; the sources take turns."""
        before = None
        while before != (now := self._progress()):
            before = now
            for _ in self._sources:
                self._divide()
                self._turns.rotate(-1)
                if (item := self._turns[-1].take()) is not None:
                    return item
        return None

    def _progress(self) -> tuple[int, int]:
        return self._found_by(self._sources), sum(source.ended for source in self._sources)

    def _found_by(self, sources: Sequence[Sharer[Item]]) -> int:
        return sum(len(source.brought) for source in sources)

    def _divide(self) -> None:
        alike = self._found_by(self._sources) - len(self._common)
        ended = [source for source in self._sources if source.ended]
        going = [source for source in self._sources if not source.ended]
        left = self._limit + alike - self._found_by(ended)
        for source, share in zip(going, equal_shares(left, len(going)), strict=True):
            source.share = share


def equal_shares(total: int, among: int) -> list[int]:
    """Return equal whole parts; where they cannot be equal, the first ones are one larger."""
    if not among:
        return []
    each, rest = divmod(total, among)
    return [each + (number < rest) for number in range(among)]

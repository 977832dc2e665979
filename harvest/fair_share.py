"""How sources share a limit: equal parts, and what one cannot fill passes to the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence, Sized
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Given = TypeVar("Given", covariant=True)


class MetBySource(set[str]):
    """What one lane met; `common` is what all of them met."""

    def __init__(self, common: set[str]) -> None:
        super().__init__()
        self._common = common

    def add(self, name: str) -> None:
        """Note it for this lane and for all."""
        super().add(name)
        self._common.add(name)


class Sharer(Protocol[Given]):
    """One source at work for one keyword, all in one thread but for the site that it asks."""

    share: int

    @property
    def met(self) -> Sized:
        """What it met so far, known or new."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will be met."""

    @property
    def busy(self) -> bool:
        """Whether the site is being asked for more."""

    def take(self) -> Given | None:
        """The next one that its share wants; None where there is none, or none for now."""


class FairShare(Generic[Item]):
    """Lanes that work at the same time and bring `limit` together.

    A share is an equal part of what the ended lanes leave of the limit, and of what several
    lanes met alike. It only grows, by what was met and not by when; a lane goes through
    its own results in order until its share is there. So in the end each lane has gone
    equally far whichever site was the quicker, and a run that is taken up again is at
    the same place.
    """

    def __init__(self, limit: int, lanes: Sequence[Sharer[Item]], common: Sized) -> None:
        self._limit = limit
        self._lanes = lanes
        self._common = common
        self._row = deque(lanes)

    @property
    def asking(self) -> bool:
        """Whether a site is being asked for more."""
        return any(lane.busy for lane in self._lanes)

    def take(self) -> Item | None:
        """The next one that any lane wants; the lanes take turns."""
        before = None
        while before != (now := self._standing()):
            before = now
            for _ in self._lanes:
                self._part()
                self._row.rotate(-1)
                if (item := self._row[-1].take()) is not None:
                    return item
        return None

    def _standing(self) -> tuple[int, int]:
        return self._met_by(self._lanes), sum(lane.ended for lane in self._lanes)

    def _met_by(self, lanes: Sequence[Sharer[Item]]) -> int:
        return sum(len(lane.met) for lane in lanes)

    def _part(self) -> None:
        alike = self._met_by(self._lanes) - len(self._common)
        ended = [lane for lane in self._lanes if lane.ended]
        going = [lane for lane in self._lanes if not lane.ended]
        left = self._limit + alike - self._met_by(ended)
        for lane, share in zip(going, shares(left, len(going)), strict=True):
            lane.share = share


def shares(total: int, among: int) -> list[int]:
    """Equal whole parts; where they cannot be equal, the first ones are one larger."""
    if not among:
        return []
    each, rest = divmod(total, among)
    return [each + (number < rest) for number in range(among)]

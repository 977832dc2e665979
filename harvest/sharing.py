"""How sources share a limit: equal parts, and what one cannot fill passes to the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Lane(Protocol):
    """One source at work for one keyword."""

    @property
    def ended(self) -> bool:
        """Whether it has nothing more to give."""

    def advance(self, share: int) -> None:
        """Add up to `share` more; fewer only when it ends thereby."""


def share_out(limit: int, lanes: Sequence[Lane], have: Callable[[], int]) -> None:
    """Let the lanes bring `limit` together, in their order; `have` tells how many are there.

    Pass after pass, what is still missing is parted equally among those that have more.
    """
    going = list(lanes)
    while going and (missing := limit - have()) > 0:
        for lane, share in zip(going, shares(missing, len(going)), strict=True):
            if share:
                lane.advance(share)
        going = [lane for lane in going if not lane.ended]


def shares(total: int, among: int) -> list[int]:
    """Equal whole parts; where they cannot be equal, the first ones are one larger."""
    each, rest = divmod(total, among)
    return [each + (number < rest) for number in range(among)]

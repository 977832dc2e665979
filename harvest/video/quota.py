"""`--limit`: how many distinct images a run may still add, and whose turn it is to add them.

Videos get equal shares. What one cannot fill passes to those after it, and in another round to
those that had more. Shares follow from the videos and the limit alone, so that a run that was
stopped ends with the same images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Quota:
    """`images` (SHA-256) were met in this run; `before` are the frames of earlier ones by video."""

    limit: int | None
    images: set[str] = field(default_factory=set)
    before: dict[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int | None:
        """How many may still come; None where all may."""
        if self.limit is None:
            return None
        return max(self.limit - len(self.images) - sum(self.before.values()), 0)

    def share(self, inputs: int) -> Share:
        """That of the next of so many inputs."""
        left = self.left
        return Share() if left is None else Share(self, -(-left // inputs), left)


@dataclass(frozen=True)
class Share:
    """Up to `size` of the images that were `left` when its turn came."""

    quota: Quota | None = None
    size: int = 0
    left: int = 0

    @property
    def rest(self) -> int | None:
        """What is not used up of it; None where all are wanted."""
        if self.quota is None:
            return None
        return max(self.size - (self.left - (self.quota.left or 0)), 0)


def in_turns(stacks: Sequence[Sequence[T]]) -> Iterator[tuple[int, T]]:
    """(number of the stack, one of it): the first of all stacks, the second of all, and so on."""
    for place in range(max(map(len, stacks), default=0)):
        for number, stack in enumerate(stacks):
            if place < len(stack):
                yield number, stack[place]

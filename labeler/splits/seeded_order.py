"""Orders that look random, differ from seed to seed and never from run to run."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def seeded(seed: int, key: str) -> str:
    """Return what to sort by for an order that a seed decides."""
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()


def one_per_moment_first(ordered: Iterable[T], moment: Callable[[T], str]) -> list[T]:
    """Bring one item of each moment before any has two; beyond that the order stays."""
    seen: Counter[str] = Counter()
    turns: list[tuple[int, int, T]] = []
    for place, item in enumerate(ordered):
        name = moment(item)
        turns.append((seen[name], place, item))
        seen[name] += 1
    return [item for *_, item in sorted(turns, key=lambda turn: turn[:2])]

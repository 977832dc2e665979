"""Stacks: faces of one moment that look nearly equal, shown as one tile and decided as one.

Only both together make a stack: frames of a video that are near in time, and descriptors that
are nearly equal. Whoever stands beside a character is not stacked with it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from gleanset.db.proposals import SampleFeatures
from labeler.sorting.traits import Vectors

SECONDS = 2.0
NEARLY = 0.25
"""Descriptors (unit vectors) at most so far apart; two pictures of one character are at .33."""


def stacks_of(
    likes: Sequence[SampleFeatures],
    vectors: Vectors,
    there: npt.NDArray[np.bool_],
    split: Collection[int] = (),
) -> list[list[int]]:
    """The numbers of samples that belong together, each sample in one stack, most of one.

    A stack goes on as long as the next frame is near the last one and looks like the first one,
    so that a slow pan does not end at somebody else. Rows in `split` stay alone.
    """
    stacks: list[list[int]] = []
    open_: dict[str, list[list[int]]] = {}
    for number in sorted(range(len(likes)), key=lambda n: _when(likes[n])):
        like = likes[number]
        if like.video is None or like.time is None or not there[number] or like.id in split:
            stacks.append([number])
            continue
        mine = [s for s in open_.get(like.video, []) if _near(like, likes[s[-1]])]
        fitting = next((s for s in mine if _fits(number, s, likes, vectors)), None)
        if fitting is None:
            fitting = [number]
            stacks.append(fitting)
            mine.append(fitting)
        else:
            fitting.append(number)
        open_[like.video] = mine
    return stacks


def _when(like: SampleFeatures) -> tuple[str, float, int]:
    return like.video or "", like.time or 0.0, like.id


def _near(like: SampleFeatures, last: SampleFeatures) -> bool:
    return (like.time or 0.0) - (last.time or 0.0) <= SECONDS


def _fits(number: int, stack: list[int], likes: Sequence[SampleFeatures], vectors: Vectors) -> bool:
    """Nearly equal to the first, and not a second face of a picture that is in the stack."""
    if any(likes[other].image == likes[number].image for other in stack):
        return False
    return float(np.linalg.norm(vectors[number] - vectors[stack[0]])) <= NEARLY

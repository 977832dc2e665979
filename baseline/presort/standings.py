"""What a presort says of many samples, as arrays: quick to compare with what it said before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from baseline.judge.outputs import Floats
from baseline.presort.classify import Indices
from gleanset.db.proposals import Proposal, Standing

TOP = 3
"""Classes that are proposed for a sample."""
LEAST = 0.01
"""Confidence below which a class is not worth a row."""
STEP = 0.1
"""Confidences are told in steps of their log odds, so that a solve that changes next to nothing
changes no row: half a step is 0.0012 at 0.975 and 0.0125 at 0.5."""
_EDGE = 1e-4


@dataclass(frozen=True, slots=True)
class StandingTable:
    """A row for each of N samples (`keys`).

    `labels` (N x `TOP`) number `classes`, the likeliest first, -1 for none; `confidence` goes with
    them. `place`, `cluster`, `outlier` and `ask` (-1 for none) are those of a `Standing`.
    """

    keys: list[str]
    classes: tuple[str, ...]
    place: Indices
    cluster: Indices
    outlier: Floats
    ask: Indices
    labels: Indices
    confidence: Floats

    def __len__(self) -> int:
        return len(self.keys)

    def each(self) -> Iterator[Standing]:
        """Yield what is said of every sample."""
        return self._of(range(len(self)))

    def _of(self, rows: Sequence[int]) -> Iterator[Standing]:
        columns = (self.place, self.cluster, self.outlier, self.ask, self.labels, self.confidence)
        chosen = np.array(rows, np.int64)
        told = zip(chosen, *(column[chosen].tolist() for column in columns), strict=True)
        for row, place, cluster, outlier, ask, labels, sure in told:
            proposals = tuple(
                Proposal(self.classes[label], share)
                for label, share in zip(labels, sure, strict=True)
                if label >= 0
            )
            asked = ask if ask >= 0 else None
            yield Standing(self.keys[row], place, proposals, cluster, outlier, asked)

    def changed(self, before: StandingTable) -> list[Standing]:
        """Return what is said otherwise than before, or of samples of which nothing was said."""
        rows = {key: row for row, key in enumerate(before.keys)}
        old = np.array([rows.get(key, -1) for key in self.keys], np.int64)
        numbers = {name: number for number, name in enumerate(self.classes)}
        # The last one is for no class at all.
        now = np.array([*(numbers.get(name, -2) for name in before.classes), -1], np.int64)
        same = old >= 0
        for mine, theirs in (
            (self.place, before.place),
            (self.cluster, before.cluster),
            (self.outlier, before.outlier),
            (self.ask, before.ask),
        ):
            same &= mine == theirs[old]
        same &= (self.labels == now[before.labels[old]]).all(1)
        same &= (self.confidence == before.confidence[old]).all(1)
        return list(self._of(np.flatnonzero(~same).tolist()))

    def gone(self, before: StandingTable) -> list[str]:
        """Return the samples of which something was said before, and nothing now."""
        there = set(self.keys)
        return [key for key in before.keys if key not in there]


def likeliest(
    probabilities: Floats, asked: npt.NDArray[np.bool_], classes: int
) -> tuple[Indices, Floats]:
    """Return the `TOP` classes and their probabilities, N x `TOP`; -1 and 0 for none.

    Of `probabilities` (N x at least `classes`) and for samples that are `asked` for (N) only.
    """
    labels = np.full((len(probabilities), TOP), -1, np.int64)
    shares = np.zeros((len(probabilities), TOP))
    few = min(TOP, classes)
    best = np.argsort(-probabilities[:, :classes], axis=1, kind="stable")[:, :few]
    share = np.take_along_axis(probabilities, best, axis=1)
    told = (share >= LEAST) & asked[:, None]
    labels[:, :few] = np.where(told, best, -1)
    left = np.ones(len(probabilities))
    for rank in range(few):
        # Told in steps, they could come to more than all there is.
        shares[:, rank] = np.where(told[:, rank], np.minimum(in_steps(share[:, rank]), left), 0)
        left = np.round(left - shares[:, rank], 5)
    return labels, shares


def in_steps(probabilities: Floats) -> Floats:
    """Return the nearest probabilities whose log odds are a multiple of `STEP`."""
    inside = np.clip(probabilities, _EDGE, 1 - _EDGE)
    steps = np.round(np.log(inside / (1 - inside)) / STEP)
    found: Floats = np.round(1 / (1 + np.exp(-STEP * steps)), 5)
    return found

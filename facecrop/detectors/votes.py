"""What several searches found in one place of a picture, taken together.

Every finding is a vote for a box. Votes that lie on each other are one candidate; how
sure it is follows from who voted (see `calibration`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from facecrop.detectors.search import Rect, overlap
from gleanset.records import Landmark

SAME_PLACE = 0.35
"""Votes that share this part (intersection over union) with one of a candidate join it."""

SAME_WINDOWS = 0.4
"""The same for single windows of the cascade and the mean of a group of them."""

CASCADE = "lbpcascade"
CASCADE_TO_FACE = 0.8
"""The cascade's boxes are about 1.25 times as large as those of animeface."""


class Vote(NamedTuple):
    """One finding: who found it, where, and how strong it is (likelihood or windows)."""

    member: str
    rect: Rect
    strength: float
    landmarks: tuple[Landmark, ...] = ()
    evidence: Mapping[str, object] | None = None


@dataclass(slots=True)
class Candidate:
    """A place that at least one member voted for; votes in falling strength."""

    votes: list[Vote] = field(default_factory=list)

    def strength(self, member: str) -> float:
        """The strongest vote of a member; 0 where it has none."""
        return max((vote.strength for vote in self.votes if vote.member == member), default=0.0)

    @property
    def rect(self) -> Rect:
        """The mean box, by strength. The cascade places boxes only where nobody else does."""
        exact = [vote for vote in self.votes if vote.member != CASCADE] or self.votes
        total = sum(vote.strength for vote in exact)
        edges = zip(*(vote.rect for vote in exact), strict=True)
        means = (
            sum(edge * vote.strength for edge, vote in zip(column, exact, strict=True)) / total
            for column in edges
        )
        return Rect(*means)

    @property
    def landmarks(self) -> tuple[Landmark, ...]:
        """Those of the strongest vote that has any."""
        return next((vote.landmarks for vote in self.votes if vote.landmarks), ())

    @property
    def evidence(self) -> dict[str, object]:
        """What the strongest vote has of it, and who voted how strongly."""
        first = next((vote.evidence for vote in self.votes if vote.evidence), {})
        voters = {vote.member: round(self.strength(vote.member), 4) for vote in self.votes}
        return {**first, "votes": voters}


def candidates(votes: Iterable[Vote]) -> list[Candidate]:
    """Join votes into candidates, the exact members' before the cascade's."""
    found: list[Candidate] = []
    for vote in sorted(votes, key=lambda vote: (vote.member == CASCADE, -vote.strength, vote.rect)):
        shared, best = max(
            ((_nearest(vote, candidate), index) for index, candidate in enumerate(found)),
            default=(0.0, 0),
        )
        if shared >= SAME_PLACE:
            found[best].votes.append(vote)
        else:
            found.append(Candidate([vote]))
    return found


def cascade_votes(windows: Sequence[Rect]) -> list[Vote]:
    """Group the cascade's single windows; a vote is as strong as they are many."""
    groups: list[list[Rect]] = []
    means: list[Rect] = []
    for window in windows:
        index = next(
            (at for at, mean in enumerate(means) if overlap(window, mean) > SAME_WINDOWS), None
        )
        if index is None:
            groups.append([window])
            means.append(window)
        else:
            groups[index].append(window)
            means[index] = _mean(groups[index])
    return [
        Vote(CASCADE, _shrunk(mean), float(len(group)))
        for mean, group in zip(means, groups, strict=True)
    ]


def _nearest(vote: Vote, candidate: Candidate) -> float:
    return max(overlap(vote.rect, other.rect) for other in candidate.votes)


def _mean(rects: list[Rect]) -> Rect:
    return Rect(*(sum(edges) / len(rects) for edges in zip(*rects, strict=True)))


def _shrunk(rect: Rect) -> Rect:
    """About the same centre, from the cascade's idea of a face to that of animeface."""
    room = (1 - CASCADE_TO_FACE) / 2
    return Rect(
        rect.x + rect.width * room,
        rect.y + rect.height * room,
        rect.width * CASCADE_TO_FACE,
        rect.height * CASCADE_TO_FACE,
    )

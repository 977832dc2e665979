"""What several searches found in one place of a picture, and how likely that is a face.

Every finding is a vote for a box. Votes that lie on each other are one candidate. How sure it
is follows from who voted: a logistic regression on the likelihoods of animeface at several sizes
of the picture, the score of our own network and the logarithm of the cascade's windows. Its
weights were fitted to annotated pictures; docs/detectors.md tells what they are worth on shows that
they were not taken from. They stay as they are, for datasets that were searched with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from facecrop.detectors.tiling import FloatBox
from gleanset.records import Landmark, overlap

SAME_PLACE = 0.35
"""Votes that share this part (intersection over union) with one of a candidate join it."""

SAME_WINDOWS = 0.4
"""The same for single windows of the cascade and the mean of a group of them."""

CASCADE = "lbpcascade"
NETWORK = "drawnface"
"""Our own network votes under this name, as strongly as it is sure (0..1)."""

LEAST_SCORE = 0.15
"""What the network is less sure of is not a vote."""

CASCADE_TO_FACE = 0.8
"""The cascade's boxes are about 1.25 times as large as those of animeface."""


class FaceVote(NamedTuple):
    """One finding: who found it, where, and how strong it is (likelihood, score or windows)."""

    member: str
    rect: FloatBox
    strength: float
    landmarks: tuple[Landmark, ...] = ()
    evidence: Mapping[str, object] | None = None


@dataclass(slots=True)
class FaceCandidate:
    """A place that at least one member voted for; votes in falling strength."""

    votes: list[FaceVote] = field(default_factory=list)

    def strength(self, member: str) -> float:
        """Return the strongest vote of a member; 0 where it has none."""
        return max((vote.strength for vote in self.votes if vote.member == member), default=0.0)

    @property
    def rect(self) -> FloatBox:
        """The mean box, by strength. The cascade places boxes only where nobody else does."""
        exact = [vote for vote in self.votes if vote.member != CASCADE] or self.votes
        total = sum(vote.strength for vote in exact)
        edges = zip(*(vote.rect for vote in exact), strict=True)
        means = (
            sum(edge * vote.strength for edge, vote in zip(column, exact, strict=True)) / total
            for column in edges
        )
        return FloatBox(*means)

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


def group_votes(votes: Iterable[FaceVote]) -> list[FaceCandidate]:
    """Join votes into candidates, the exact members' before the cascade's."""
    candidates: list[FaceCandidate] = []
    for vote in sorted(votes, key=lambda vote: (vote.member == CASCADE, -vote.strength, vote.rect)):
        shared, best = max(
            ((_nearest(vote, candidate), index) for index, candidate in enumerate(candidates)),
            default=(0.0, 0),
        )
        if shared >= SAME_PLACE:
            candidates[best].votes.append(vote)
        else:
            candidates.append(FaceCandidate([vote]))
    return candidates


def cascade_votes(windows: Sequence[FloatBox]) -> list[FaceVote]:
    """Group the cascade's single windows; a vote is as strong as they are many."""
    groups: list[list[FloatBox]] = []
    means: list[FloatBox] = []
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
        FaceVote(CASCADE, _shrunk(mean), float(len(group)))
        for mean, group in zip(means, groups, strict=True)
    ]


def _nearest(vote: FaceVote, candidate: FaceCandidate) -> float:
    return max(overlap(vote.rect, other.rect) for other in candidate.votes)


def _mean(rects: list[FloatBox]) -> FloatBox:
    return FloatBox(*(sum(edges) / len(rects) for edges in zip(*rects, strict=True)))


def _shrunk(rect: FloatBox) -> FloatBox:
    """About the same centre, from the cascade's idea of a face to that of animeface."""
    room = (1 - CASCADE_TO_FACE) / 2
    return FloatBox(
        rect.x + rect.width * room,
        rect.y + rect.height * room,
        rect.width * CASCADE_TO_FACE,
        rect.height * CASCADE_TO_FACE,
    )


LEAST_FACE = 42.592
"""Pixels. Smaller faces are not looked for by animeface (nv_face_detect.c)."""


@dataclass(frozen=True, slots=True)
class EnsembleCalibration:
    """Sizes of the picture that animeface searches, with the weight of each, and the rest.

    `cascade_scale` is the cascade's step from window to window; `equalize` as `lbpcascade`'s;
    `network_size` as `drawnface`'s `size`, 0 without it. `threshold` is the lowest probability
    where nothing else is said, the one with the best F1.
    """

    version: int
    sizes: tuple[float, ...]
    weights: tuple[float, ...]
    cascade: float
    network: float
    bias: float
    network_size: int
    threshold: float
    cascade_scale: float = 1.1
    equalize: bool = False

    def features(self, candidate: FaceCandidate) -> tuple[float, ...]:
        """Return the numbers that are weighed: one for each size, the cascade's, the network's.

        A size at which the face would be too small to be seen has no say: it counts as the
        mean of the others.
        """
        side = math.sqrt(candidate.rect.width * candidate.rect.height)
        seen = [size for size in self.sizes if side * size >= LEAST_FACE]
        mean = sum(candidate.strength(member_name(size)) for size in seen) / max(len(seen), 1)
        likelihoods = (
            candidate.strength(member_name(size)) or (0.0 if size in seen else mean)
            for size in self.sizes
        )
        windows = math.log1p(candidate.strength(CASCADE))
        score = min(max(candidate.strength(NETWORK), LEAST_SCORE), 0.999)
        return (*likelihoods, windows, _log_odds(score) - _log_odds(LEAST_SCORE))

    def probability(self, candidate: FaceCandidate) -> float:
        """Return how likely the place shows a face, 0..1."""
        features = self.features(candidate)
        weighed = zip((*self.weights, self.cascade, self.network), features, strict=True)
        evidence = self.bias + math.fsum(weight * value for weight, value in weighed)
        return 1 / (1 + math.exp(-evidence))


def _log_odds(probability: float) -> float:
    return math.log(probability) - math.log1p(-probability)


def member_name(size: float) -> str:
    """Return the name under which animeface votes at that size of the picture."""
    return f"animeface at {size:g}"


CALIBRATED = EnsembleCalibration(
    version=3,
    sizes=(0.7, 0.5),
    weights=(0.86, 1.56),
    cascade=1.12,
    network=2.47,
    bias=-3.91,
    network_size=512,
    threshold=0.5,
)
"""As it was fitted to 76 annotated pictures and 80 photographs."""

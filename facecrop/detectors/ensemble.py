"""Several searches together: better than each alone, and a score that is a probability.

animeface looks at the picture in several sizes. A face is found in most of them, and what it
mistakes for one in few; large soft faces, as in films, only in the smaller ones. The
cascade's windows are counted beside, and our own network tells what it sees. Votes for one
place are merged, and the score is the probability that a face is there, whoever found it: one
threshold means the same for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from PIL import Image

from facecrop.detectors.animeface import LONGEST_SIDE, AnimeFace
from facecrop.detectors.base import Pixels, number
from facecrop.detectors.drawnface import FaceNetwork
from facecrop.detectors.lbpcascade import Cascade
from facecrop.detectors.tiling import FloatBox, RawFace, search_tiles
from facecrop.detectors.votes import (
    CALIBRATED,
    LEAST_SCORE,
    NETWORK,
    EnsembleCalibration,
    FaceCandidate,
    FaceVote,
    cascade_votes,
    group_votes,
    member_name,
)
from facecrop.detectors.weights import LBPCASCADE, weights_file
from gleanset.records import Face, Landmark

LEAST_SIDE = 300
"""Pixels. Smaller pictures are enlarged: searched at half size they would show nothing."""

MOST_ENLARGED = 4


class Ensemble:
    """animeface at several sizes, drawnface and lbpcascade. `threshold` is the lowest probability.

    `cascade` is the cascade's file, as for `lbpcascade`.
    """

    name: ClassVar[str] = "ensemble"
    calibration: ClassVar[EnsembleCalibration] = CALIBRATED

    def __init__(
        self, threshold: str | float = CALIBRATED.threshold, cascade: str | float = ""
    ) -> None:
        """Build the members. Raises what `AnimeFace` and `LbpCascade` raise."""
        self.threshold = number("threshold", threshold, 0, 1)
        self._animeface = AnimeFace()
        file = weights_file(str(cascade), "", "--cascade ", LBPCASCADE)
        self.cascade = Cascade(file)
        self._network = FaceNetwork.loaded()

    @property
    def settings(self) -> str:
        """For example `calibration=3 cascade=9376d30ac38d threshold=0.5 weights=0123456789ab`."""
        return (
            f"calibration={self.calibration.version} cascade={self.cascade.sha256[:12]} "
            f"threshold={self.threshold:g} weights={self._network.sha256[:12]}"
        )

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find faces, with the landmarks of `animeface` where it found them.

        Raises `ValueError` for anything but height x width x 3 bytes.
        """
        return search_tiles(self.name, pixels, self._find, LONGEST_SIDE)

    def candidates(self, part: Pixels) -> list[FaceCandidate]:
        """Return every place that a member voted for, however unlikely, in pixels of the part."""
        votes = [vote for size in self.calibration.sizes for vote in self.at(part, size)]
        scale, equalize = self.calibration.cascade_scale, self.calibration.equalize
        votes += self.network_votes(part, self.calibration.network_size)
        windows = self.cascade.windows(part, scale, equalize=equalize)
        return group_votes([*votes, *cascade_votes(windows)])

    def _find(self, part: Pixels) -> Iterator[RawFace]:
        grown = _enlargement(part)
        large = resized(part, grown)
        back = part.shape[1] / large.shape[1], part.shape[0] / large.shape[0]
        for candidate in self.candidates(large):
            probability = self.calibration.probability(candidate)
            if probability >= self.threshold:
                marks = tuple(_mark(mark, *back) for mark in candidate.landmarks)
                rect = _rect(candidate.rect, *back)
                yield RawFace(rect, probability, marks, candidate.evidence)

    def at(self, part: Pixels, size: float) -> Iterator[FaceVote]:
        """Yield the votes of animeface at one size of the part, in pixels of the part."""
        small = resized(part, size)
        across, down = part.shape[1] / small.shape[1], part.shape[0] / small.shape[0]
        for face in self._animeface.detect(small):
            marks = tuple(_mark(mark, across, down) for mark in face.landmarks)
            rect = _rect(FloatBox(*(float(edge) for edge in face.box)), across, down)
            yield FaceVote(member_name(size), rect, face.score, marks, face.evidence)

    def network_votes(self, part: Pixels, size: int) -> list[FaceVote]:
        """Return the votes of our own network, the part's longer side at `size` pixels."""
        found = self._network.boxes(part, size, LEAST_SCORE)
        return [FaceVote(NETWORK, rect, score) for rect, score in found]


def resized(part: Pixels, factor: float) -> Pixels:
    """Return the part made that many times as large."""
    if factor == 1:
        return part
    size = max(round(part.shape[1] * factor), 1), max(round(part.shape[0] * factor), 1)
    kind = Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(np.ascontiguousarray(part)).resize(size, kind))


def _enlargement(part: Pixels) -> float:
    shorter = min(part.shape[0], part.shape[1])
    return float(min(max(LEAST_SIDE / shorter, 1.0), MOST_ENLARGED))


def _rect(rect: FloatBox, across: float, down: float) -> FloatBox:
    return FloatBox(rect.x * across, rect.y * down, rect.width * across, rect.height * down)


def _mark(mark: Landmark, across: float, down: float) -> Landmark:
    return Landmark(mark.name, mark.x * across, mark.y * down)

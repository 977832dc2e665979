"""Detectors of other packages: what they find is held against what a `Face` promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gleanset.errors import GleansetError, Unreadable
from gleanset.records import Face
from gleanset.terminal import error_words

if TYPE_CHECKING:  # what builds detectors imports this
    from facecrop.detectors.base import Detector, Pixels

FAILED = "detector failed"


class PluginDetector:
    """A detector that `package` brings: a picture on which it fails is rejected and names that."""

    def __init__(self, detector: Detector, package: str) -> None:
        self.name, self._package, self._detector = detector.name, package, detector

    @property
    def settings(self) -> str:
        """Its settings, as it says them."""
        return self._detector.settings

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find faces. Raises `Unreadable` where it fails or gives what are none."""
        try:
            return [self._checked(face, pixels) for face in self._detector.detect(pixels)]
        except (GleansetError, TimeoutError, Unreadable):
            raise
        except Exception as error:
            raise Unreadable(FAILED, f"{self._package}: {error_words(error)}") from error

    def _checked(self, answer: Face, pixels: Pixels) -> Face:
        # Another type than a record promises would be met far from its detector.
        face = msgspec.convert(msgspec.to_builtins(answer), Face)
        if face.detector != self.name:
            raise ValueError(f"it gives faces of {face.detector!r}")
        if not 0 <= face.score <= 1:
            raise ValueError(f"the score of a face is {face.score}, and not in 0..1")
        height, width = pixels.shape[:2]
        x, y, across, down = face.box
        if across < 1 or down < 1 or x < 0 or y < 0 or x + across > width or y + down > height:
            raise ValueError(f"{tuple(face.box)} is no box within {width} x {height} pixels")
        return face

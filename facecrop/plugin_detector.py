"""Detectors of plugins, with checks of the faces they return."""

from typing import TYPE_CHECKING

import msgspec

from gleanset.arrays import Pixels
from gleanset.errors import GleansetError, Unreadable
from gleanset.records import Face
from gleanset.terminal import describe_error

if TYPE_CHECKING:  # circular at run time
    from facecrop.detectors.base import Detector

FAILED = "detector failed"


class PluginDetector:
    """Wrapper of a plugin's detector; its failures reject the image and name the package."""

    def __init__(self, detector: "Detector", package: str):
        self.name = detector.name
        self.settings = detector.settings
        self._package = package
        self._detector = detector

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find faces. Raises `Unreadable` if the detector fails or returns invalid faces."""
        try:
            return [
                self._check_face(face, pixels) for face in self._detector.detect(pixels)
            ]
        except (GleansetError, TimeoutError, Unreadable):
            raise
        except Exception as error:
            raise Unreadable(
                FAILED, f"{self._package}: {describe_error(error)}"
            ) from error

    def _check_face(self, detection: Face, pixels: Pixels) -> Face:
        """Return a valid face. Raises `ValueError`, and the errors of a conversion."""
        # Converted, because wrong types would only fail much later.
        face = msgspec.convert(msgspec.to_builtins(detection), Face)
        if face.detector != self.name:
            raise ValueError(f"wrong detector name: {face.detector!r}")
        if not 0 <= face.score <= 1:
            raise ValueError(f"score not in 0..1: {face.score}")

        height, width = pixels.shape[:2]
        x, y, face_width, face_height = face.box
        is_too_far = x + face_width > width or y + face_height > height
        if min(x, y) < 0 or min(face_width, face_height) < 1 or is_too_far:
            raise ValueError(
                f"box {tuple(face.box)} is not within {width} x {height} pixels"
            )
        return face

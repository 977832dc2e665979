"""Faces of a decoded image as samples: their crops on disk, and what is measured of them.

Crops are derived: the same image, region and settings give the same bytes again.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from gleanset.files.atomic import write_atomic
from gleanset.files.store import Store
from gleanset.images.cut import Array, CutSettings, cut, encode, region, sample_key
from gleanset.images.measure import look
from gleanset.records import Box, Cut, Face, Region


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts faces as `settings` say and keeps them in `crops`; small and picklable."""

    settings: CutSettings
    crops: Store

    def cut(self, sha256: str, pixels: Array, face: Face) -> Cut:
        """Write the crop of a face of that image; its sample. Raises what the disk raises."""
        place = region(face, self.settings, pixels.shape[1], pixels.shape[0])
        key = sample_key(sha256, face.box)
        part = self.write(key, pixels, place)
        return Cut(face, key, place.box, *look(part), place.angle)

    def too_small(self, face: Face) -> bool:
        """Whether a face is too small to be cut."""
        return min(face.box.width, face.box.height) < self.settings.min_size

    def write(self, key: str, pixels: Array, place: Region) -> Image.Image:
        """Write one region as the crop of a sample; its pixels."""
        part = cut(pixels, place.box, place.angle)
        path = self.crops.path(key, "JPEG")
        if place == Region(Box(0, 0, pixels.shape[1], pixels.shape[0])):
            # The original is the crop; one of an earlier, smaller margin would be read for it.
            path.unlink(missing_ok=True)
        else:
            write_atomic(path, encode(part), scratch=self.crops.scratch)
        return part

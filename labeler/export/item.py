"""One sample of an export, and how its picture comes about."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gleanset.records import Box, Image, Origin, Sample

Way = Literal["original", "stripped", "crop", "made"]


@dataclass(frozen=True, slots=True)
class ExportItem:
    """One sample of an export: its image, its files, and its path in the tree.

    In an export with boxes `face` is the box without padding in pixels of the original, and `path`
    that of the whole image, which several samples may share. `copy` counts the copies for
    oversampling from 1; `changed` ones are augmented. `way` and `changes` state how the file is
    made; then `says_where` states whether it contains a GPS position.
    """

    sample: Sample
    image: Image
    face: Box
    original: Path
    crop: Path
    path: str
    way: Way
    changes: str
    copy: int = 0
    changed: bool = False
    weight: float = 1.0
    says_where: bool = False

    @property
    def origin(self) -> Origin:
        """The origin to name: one with a licence or an author where there is one."""
        return max(self.image.origins, key=lambda o: (bool(o.licence), bool(o.author)))

    @property
    def original_path(self) -> str:
        """The path that its file came with, below the folder that was named; empty for no file."""
        return original_path((self.origin, *self.image.origins))

    @property
    def turned(self) -> bool:
        """Whether its file stands upright only for readers that know EXIF."""
        return self.way in ("original", "stripped") and self.image.orientation > 1

    def digest(self, pixels: str) -> str:
        """Return what is equal for pictures with equal bytes; `pixels` are those of the options."""
        region = (*self.sample.box, self.sample.angle)
        change = f" {self.copy}" if self.changed else ""
        text = f"{self.image.sha256} {region} {pixels} {self.way}{change}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def original_path(origins: Iterable[Origin]) -> str:
    """Return the path of the file that a picture came from, as the first that has one says.

    It is below the folder that was named, or inside the archive; the name alone for what came
    before that was kept. Empty for what came from no file of its own.
    """
    of_files = [one for one in origins if one.path is not None and one.video is None]
    told = [one.original_path for one in of_files] + [one.title for one in of_files]
    return next(filter(None, told), "")

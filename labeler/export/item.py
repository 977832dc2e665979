"""One sample of an export, and how its file is made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from gleanset.records import Box, Image, Origin, Sample, TrackBox

FileMethod = Literal["original", "crop", "made"]
ALL_SAMPLES = "all"
"""Name of the only part of an export without splits."""


class Clip(NamedTuple):
    """Part of a video with a moving crop.

    It begins at `started` (seconds) and has `frames` frames, `fps` a second. `boxes` are the crops
    around the face by time, in pixels of the image.
    """

    started: float
    frames: int
    fps: int
    boxes: tuple[TrackBox, ...]


class ExportItem(NamedTuple):
    """One sample of an export: its image, its files, and its path in the tree.

    In an export with boxes `face` is the box without padding in pixels of the original, and `path`
    that of the whole image, which several samples may share. `method` and `changes` state how the
    file is made. Once it is written, `sha256` is its hash and `has_gps` whether it contains a GPS
    position. `copy` numbers the copies of a sample in a balanced export from 1; it is 0 for the
    sample itself. A sample that stands for its track has its `clip`, and `original` is the video.
    """

    sample: Sample
    image: Image
    face: Box
    original: Path
    crop: Path
    path: str
    method: FileMethod
    changes: str
    has_gps: bool = False
    sha256: str = ""
    copy: int = 0
    clip: Clip | None = None

    @property
    def label(self) -> str:
        """The class of the sample."""
        return str(self.sample.label)

    @property
    def split(self) -> str:
        """The split of the sample, or `ALL_SAMPLES`."""
        return str(self.sample.split)

    @property
    def origin(self) -> Origin:
        """The origin to credit, preferably with a licence and an author."""
        # An image may be found several times, with a licence in one place only.
        return max(
            self.image.origins,
            key=lambda origin: (bool(origin.licence), bool(origin.author)),
        )

    @property
    def source(self) -> str:
        """The source of the image with the name of its imported set, for people."""
        origin = self.origin
        if origin.collection:
            return f"{origin.source} ({origin.collection})"
        return origin.source

    @property
    def needs_exif_rotation(self) -> bool:
        """Whether the file is upright only for readers that apply the EXIF orientation."""
        return self.method == "original" and self.image.orientation > 1

    def digest(self, pixel_settings: str) -> str:
        """Return a hash of everything that determines the bytes of the file."""
        region = (*self.sample.box, self.sample.angle)
        text = f"{self.image.sha256} {region} {pixel_settings} {self.method}"
        if self.copy:
            text += f" copy {self.copy}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def find_original_path(origins: Iterable[Origin]) -> str:
    """Return the path of the imported file, relative to the folder or archive it was in.

    Only its name where the path was not recorded; empty for images that were not files.
    """
    # A frame has the path of its video.
    files = [
        origin for origin in origins if origin.path is not None and origin.video is None
    ]
    paths = [origin.original_path for origin in files]
    return next(filter(None, paths + [origin.title for origin in files]), "")

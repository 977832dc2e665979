"""Samples as files: thumbnails in the cache, and whole images.

Image codecs are imported where they are used, so that a window opens faster.
"""

from __future__ import annotations

import io
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gleanset import Dataset
from gleanset.dataset import THUMBNAILS
from gleanset.db.regions import Frame, SampleRegion, VideoFrames
from gleanset.errors import Unreadable
from gleanset.files.store import Store, hash_bytes
from gleanset.records import Box, Region

if TYPE_CHECKING:
    from PIL import Image


THUMBNAIL_SIDES = (128, 256, 512)
"""The longer sides in pixels; a tile uses the smallest sufficient one."""

JPEG_QUALITY = 85


def whole_image(region: SampleRegion) -> SampleRegion:
    """Return the region of the whole image that a sample is in.

    Its key has the length of the keys of samples, and belongs to none.
    """
    return region._replace(
        key=region.image[:32], region=Region(Box(0, 0, region.width, region.height))
    )


class ThumbnailCache:
    """Reads thumbnails, and creates missing ones. Safe to use from several threads."""

    def __init__(self, cache: Path, originals: Store, crops: Store):
        self._folder = cache / THUMBNAILS
        self._originals = originals
        self._crops = crops

    def path(self, region: SampleRegion, side: int) -> Path:
        """Return the path of a thumbnail; another region or size is another file."""
        box, angle = region.region
        stamp = hash_bytes(f"{tuple(box)}:{angle}".encode())[:8]
        return self._folder / region.key[:2] / f"{region.key}-{stamp}-{side}.jpg"

    def pixels(self, region: SampleRegion, side: int) -> Image.Image:
        """Return the thumbnail of a sample, at most `side` pixels long. Raises `Unreadable`."""
        from gleanset.images.decode import decode

        path = self.path(region, side)
        with suppress(OSError, Unreadable):
            return decode(path.read_bytes()).pixels
        rendered = self._render(region, side)
        # Without caching on a full or read-only disk, thumbnails are only slower.
        with suppress(OSError):
            _write(path, rendered)
        return rendered

    def jpeg(self, region: SampleRegion, side: int) -> bytes:
        """Return the thumbnail of a sample as a file. Raises `Unreadable`."""
        pixels = self.pixels(region, side)
        with suppress(OSError):
            return self.path(region, side).read_bytes()
        buffer = io.BytesIO()
        pixels.save(buffer, "JPEG", quality=JPEG_QUALITY)
        return buffer.getvalue()

    def fit(self, region: SampleRegion, side: int) -> Image.Image:
        """Return a sample's thumbnail with exactly this longer side. Raises `Unreadable`."""
        from PIL import Image

        enough = next(
            (stored for stored in THUMBNAIL_SIDES if stored >= side),
            THUMBNAIL_SIDES[-1],
        )

        pixels = self.pixels(region, enough)
        scale = side / max(pixels.size)
        width, height = (max(1, round(length * scale)) for length in pixels.size)
        return pixels.resize((width, height), Image.Resampling.BILINEAR)

    def _render(self, region: SampleRegion, side: int) -> Image.Image:
        from PIL import Image

        from labeler.sample_pixels import get_sample_file, read_pixels

        pixels = self._crop(region, side)
        if pixels is None:
            pixels = read_pixels(
                get_sample_file(region, self._originals),
                side,
                "RGB",
            )
        pixels.thumbnail(
            (side, side),
            Image.Resampling.BOX,
            reducing_gap=2.0,
        )
        return pixels

    def _crop(self, region: SampleRegion, side: int) -> Image.Image | None:
        from gleanset.images.decode import decode

        with suppress(OSError, Unreadable):
            decoded = decode(
                self._crops.path(region.key, "JPEG").read_bytes(), min_side=side
            )
            if (decoded.width, decoded.height) == region.region.box[2:]:
                return decoded.pixels
        return None


def _write(path: Path, pixels: Image.Image) -> None:
    """Write without syncing: a file damaged by a power cut is created again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}-{threading.get_ident()}")
    pixels.save(partial, "JPEG", quality=JPEG_QUALITY)
    os.replace(partial, path)  # noqa: PTH105 - `Path.replace` logs nothing more and is slower


class FrameFile(NamedTuple):
    """A frame with its file."""

    frame: Frame
    path: Path


class FrameWalk(NamedTuple):
    """Images in temporal order; the sample is in the one at `place`."""

    files: tuple[FrameFile, ...] = ()
    place: int = 0


def frames_around(dataset: Dataset, sample: int) -> FrameWalk:
    """Return the image of a sample (row) and its neighbours in a video; empty if it is gone."""
    frames, place = VideoFrames(dataset.db).get_context(sample)
    files = (dataset.image_path(frame.sha256, frame.format) for frame in frames)
    return FrameWalk(tuple(map(FrameFile, frames, files)), place)

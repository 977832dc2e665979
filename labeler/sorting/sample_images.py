"""Samples as files: small pictures in the cache, whole ones, and what a drop elsewhere gets.

What reads pictures is imported where it is used: a window is there before its first picture.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gleanset import Dataset
from gleanset.db.regions import Frame, SampleRegion, VideoFrames
from gleanset.db.sorting import SampleTile, SampleTiles
from gleanset.errors import Unreadable
from gleanset.files.atomic import write_atomic
from gleanset.files.store import Store
from gleanset.records import Box, Region

if TYPE_CHECKING:
    from PIL import Image


def paths_of(dataset: Dataset, tiles: SampleTiles, ids: Sequence[int]) -> list[str]:
    """Return a file in the cache for each sample (row), named as its image was.

    Unreadable ones are left out, and no two have the same name.
    """
    found = tiles.get_many(ids)
    taken: set[str] = set()
    tiles_there = (found[number] for number in ids if number in found)
    return [
        _named(dataset, tile, Path(path), taken)
        for tile in tiles_there
        if (path := _path(dataset, tile))
    ]


def _named(dataset: Dataset, tile: SampleTile, path: Path, taken: set[str]) -> str:
    """Return a link to a file, or a copy, whose name is not `taken` yet."""
    from labeler.export.plan import original_name

    image = dataset.images.get(tile.region.image)
    stem = name = original_name(image.origins if image else ())
    numbers = count(2)
    while name.casefold() in taken:
        name = f"{stem} ({next(numbers)})"
    taken.add(name.casefold())
    link = dataset.cache / "dragged" / tile.key / f"{name}{path.suffix}"
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        try:
            os.link(path, link)
        except OSError:
            shutil.copyfile(path, link)
    except OSError:
        return str(path)
    return str(link.absolute())


def _path(dataset: Dataset, tile: SampleTile) -> str:
    from gleanset.images.cut import encode
    from labeler.sample_pixels import read_pixels, sample_file

    seen = tile.region
    original, cut = dataset.image_path(seen.image, seen.format), dataset.crop_path(seen.key)
    if seen.region.box == Box(0, 0, seen.width, seen.height) and not seen.region.angle:
        return _local(original)
    if path := _local(cut):
        return path
    made = dataset.cache / "dragged" / f"{seen.key}.jpg"
    try:
        file = sample_file(seen, dataset.originals(dataset.cache))
        write_atomic(made, encode(read_pixels(file, max(seen.region.box[2:]), "RGB")))
    except Unreadable:
        return ""
    return str(made.absolute())


def originals_at_hand(dataset: Dataset, seen: Sequence[SampleRegion]) -> list[str]:
    """Return where other programs find the originals of samples; without those that are gone."""
    files = [dataset.image_path(one.image, one.format) for one in seen]
    return [path for file in files if (path := _local(file))]


def _local(file: Path) -> str:
    """Return where other programs find a file; '' where it is gone."""
    try:
        return str(file.absolute()) if file.is_file() else ""
    except OSError:
        return ""


SIDES = (128, 256, 512)
"""The longer side in pixels; a tile takes the smallest that is not too small for it."""

QUALITY = 85


def side_for(pixels: float) -> int:
    """Return the side that a tile of so many real pixels needs."""
    return next((side for side in SIDES if side >= pixels), SIDES[-1])


def whole(seen: SampleRegion) -> SampleRegion:
    """Return the whole image that a sample is in, for a look at its surroundings."""
    return seen._replace(key=seen.image[:32], region=Region(Box(0, 0, seen.width, seen.height)))


class ThumbnailCache:
    """Reads, and makes what is not there. May be used by several threads at once."""

    def __init__(self, cache: Path, originals: Store, crops: Store) -> None:
        self._folder = cache / "thumbs"
        self._originals = originals
        self._crops = crops

    def path(self, seen: SampleRegion, side: int) -> Path:
        """Return where a small picture lies: another region or size is another file."""
        box, angle = seen.region
        stamp = hashlib.sha256(f"{tuple(box)}:{angle}".encode()).hexdigest()[:8]
        return self._folder / seen.key[:2] / f"{seen.key}-{stamp}-{side}.jpg"

    def pixels(self, seen: SampleRegion, side: int) -> Image.Image:
        """Return the picture of a sample, at most `side` pixels long. Raises `Unreadable`."""
        from gleanset.images.decode import decode

        path = self.path(seen, side)
        with suppress(OSError, Unreadable):
            return decode(path.read_bytes()).pixels
        made = self._made(seen, side)
        # A disk that is full or read only costs time, not pictures.
        with suppress(OSError):
            _write(path, made)
        return made

    def fitted(self, seen: SampleRegion, side: int) -> Image.Image:
        """Return a sample's picture with this longer side. Raises `Unreadable`."""
        from PIL import Image

        pixels = self.pixels(seen, side_for(side))
        scale = side / max(pixels.size)
        width, height = (max(1, round(one * scale)) for one in pixels.size)
        return pixels.resize((width, height), Image.Resampling.BILINEAR)

    def _made(self, seen: SampleRegion, side: int) -> Image.Image:
        from PIL import Image

        from labeler.sample_pixels import read_pixels, sample_file

        pixels = self._crop(seen, side)
        if pixels is None:
            pixels = read_pixels(sample_file(seen, self._originals), side, "RGB")
        pixels.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=2.0)
        return pixels

    def _crop(self, seen: SampleRegion, side: int) -> Image.Image | None:
        """Return the cut that lies on disk, where it is one of the present region."""
        from gleanset.images.decode import decode

        with suppress(OSError, Unreadable):
            picture = decode(self._crops.path(seen.key, "JPEG").read_bytes(), at_least=side)
            if (picture.width, picture.height) == seen.region.box[2:]:
                return picture.pixels
        return None


def _write(path: Path, pixels: Image.Image) -> None:
    """Without waiting for the disk: a file that a power cut spoilt is made again."""
    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=QUALITY)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}-{threading.get_ident()}")
    partial.write_bytes(buffer.getvalue())
    os.replace(partial, path)  # noqa: PTH105 - `Path.replace` logs nothing more and is slower


class WholePicture(NamedTuple):
    """A frame with its file."""

    frame: Frame
    path: Path


class PictureWalk(NamedTuple):
    """Pictures in the order of their time; the face is in the one at `place`."""

    pictures: tuple[WholePicture, ...] = ()
    place: int = 0


def walk_from(dataset: Dataset, sample: int) -> PictureWalk:
    """Return the picture of a sample (row) and its neighbours in a video; none where it is gone."""
    frames, place = VideoFrames(dataset.db).get_context(sample)
    files = (dataset.image_path(frame.sha256, frame.format) for frame in frames)
    return PictureWalk(tuple(map(WholePicture, frames, files)), place)

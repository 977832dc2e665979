"""Reading the pixels of samples, in worker processes.

Without PyTorch, because every worker imports this module.
"""

import hashlib
import math
import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from baseline.settings import Fit
from gleanset.arrays import Pixels
from gleanset.errors import Unreadable
from gleanset.files.atomic import PARTIAL_PREFIX, disk_errors
from gleanset.files.store import FILE_GONE, FILE_UNREADABLE, read_original
from gleanset.images.cropping import crop_region
from gleanset.images.decode import decode
from gleanset.platform import count_cores, replace_file
from gleanset.records import Box
from gleanset.work.pool import Processes, Threads, run_over
from gleanset.work.progress import NO_PROGRESS, Progress

if TYPE_CHECKING:
    from gleanset.images.augmentation import Kind


IMAGES_PER_PROCESS = 100
"""Images that are read in about the time that a process needs to start."""


def choose_readers(images: int) -> Processes | Threads:
    """Return processes for this number of images, or a thread for a few."""
    if images < IMAGES_PER_PROCESS:
        return Threads(1)
    return Processes(min(count_cores(), images // IMAGES_PER_PROCESS))


class PixelSource(NamedTuple):
    """The crop of a sample, or its original image and box."""

    key: str
    crop: Path
    original: Path
    box: Box
    angle: float = 0.0


@dataclass(frozen=True)
class PixelReader:
    """Reads a sample as `size` x `size` pixels of 1 or 3 channels.

    Picklable for worker processes.
    """

    size: int
    channels: int
    fit: Fit = "stretch"

    @property
    def mode(self) -> str:
        """The mode of images in Pillow."""
        return "L" if self.channels == 1 else "RGB"

    def __call__(self, source: PixelSource) -> Pixels:
        """Return uint8, C x size x size. Raises `Unreadable`."""
        values = to_square_pixels(
            read_crop(source).convert(self.mode), self.size, self.fit
        )
        if self.channels == 1:
            return values[None]
        return values.transpose(2, 0, 1).copy()


def read_crop(source: PixelSource) -> Image.Image:
    """Read the crop of a sample in its original size. Raises `Unreadable`."""
    try:
        return decode(read_original(source.crop)).pixels
    except Unreadable:
        # Crops may be deleted at any time; then the original is cropped.
        original = decode(read_original(source.original)).pixels
        return crop_region(original, source.box, source.angle)


def to_square_pixels(image: Image.Image, size: int, fit: Fit) -> Pixels:
    """Return an upright RGB image as size x size x 3 (gray: size x size), the input of a model.

    With `crop` it becomes the middle of a wide image, and the top of a tall one, where heads are.
    """
    if fit == "crop" and image.width != image.height:
        side = min(image.size)
        left = (image.width - side) // 2
        image = image.crop((left, 0, left + side, side))
    square = image.resize(
        (size, size),
        Image.Resampling.BILINEAR,
        reducing_gap=2.0,
    )
    return np.asarray(square, dtype=np.uint8)


VIEW_SEED = 0
"""Independent of the seed of a run, so that all runs use the same cached features."""


class ViewRequest(NamedTuple):
    """A sample and the numbers of its views to read."""

    source: PixelSource
    views: tuple[int, ...]


@dataclass(frozen=True)
class ViewReader:
    """Reads views of a sample: 0 is the plain image, the others are augmented by `kind`.

    Augmentation depends on the key of the sample and the number of the view only.
    """

    read: PixelReader
    kind: "Kind"

    def __call__(self, request: ViewRequest) -> Pixels:
        """Return uint8, views x C x size x size. Raises `Unreadable`."""
        plain = self.read(request.source)
        key = request.source.key
        return np.stack([self._make_view(plain, key, view) for view in request.views])

    def _make_view(self, plain: Pixels, key: str, view: int) -> Pixels:
        if view == 0:
            return plain
        # Imported here: only augmented views need OpenCV.
        from gleanset.images.augmentation import (
            LIMITS,
            apply_augmentation,
            draw_view_numbers,
        )

        numbers = draw_view_numbers(key, view, VIEW_SEED)
        batch = apply_augmentation(
            plain[None],
            numbers[None],
            LIMITS[self.kind],
        )
        return np.asarray(batch[0])


ImageInput = str | Path | bytes | Image.Image | Pixels
"""A path, the bytes of a file, an image of Pillow, or uint8 pixels H x W x 3 (RGB) or H x W."""


def to_rgb_image(image: ImageInput) -> Image.Image:
    """Return the image upright, RGB, transparency on white. Raises `Unreadable`."""
    if isinstance(image, Image.Image):
        return _flatten_alpha(ImageOps.exif_transpose(image))
    if isinstance(image, np.ndarray):
        return _from_array(image)
    return decode(image if isinstance(image, bytes) else read_bytes(Path(image))).pixels


def read_bytes(path: Path) -> bytes:
    """Read the bytes of a regular file. Raises `Unreadable`."""
    try:
        if not path.is_file():
            reason = "not a file" if path.exists() else FILE_GONE
            raise Unreadable(reason, str(path))
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise Unreadable(FILE_UNREADABLE, str(error)) from error


def _flatten_alpha(image: Image.Image) -> Image.Image:
    try:
        if "A" not in image.getbands() and "transparency" not in image.info:
            return image.convert("RGB")
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise Unreadable("damaged", str(error)) from error


def _from_array(pixels: Pixels) -> Image.Image:
    is_color = pixels.ndim == 3 and pixels.shape[2] == 3
    has_shape = is_color or pixels.ndim == 2
    if pixels.dtype != np.uint8 or not has_shape or not pixels.size:
        raise Unreadable(
            "not an image",
            f"{pixels.dtype} {pixels.shape}; needs uint8 H x W x 3 (RGB) or H x W",
        )
    return Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")


MAX_CACHED_FILES = 6
"""Enough for three splits in two sizes; the least recently used are removed."""


class DecodedPixels(NamedTuple):
    """Memory-mapped pixels (uint8, N x C x H x W) of the sources at `rows`."""

    x: Pixels
    rows: tuple[int, ...]


def decode_all(
    folder: Path,
    sources: Sequence[PixelSource],
    read: PixelReader,
    progress: Progress = NO_PROGRESS,
) -> DecodedPixels:
    """Return the pixels of the readable sources, in order.

    They are cached in `folder`, and decoded by one process at a time with its workers. Raises
    DiskFull, NotWritable.
    """
    path = folder / f"{_digest(sources, read)}.pixels"
    shape = (read.size, read.size, read.channels)  # of one image, channels last
    size = math.prod(shape) * len(sources)
    all_rows = tuple(range(len(sources)))
    with disk_errors(folder):
        if not all_rows or _is_cached(path, size):
            return _memory_map(path, shape, all_rows)

        from filelock import FileLock  # not for workers and predictions

        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            # Another process may have decoded them meanwhile.
            if _is_cached(path, size):
                return _memory_map(path, shape, all_rows)

            _evict_files(folder)
            partial = folder / f"{PARTIAL_PREFIX}{secrets.token_hex(8)}"
            try:
                rows = _decode(partial, sources, read, progress)
                if rows == all_rows:
                    replace_file(partial, path)
                    return _memory_map(path, shape, rows)
                # Not cached with gaps: all sources may be readable next time. The pixels stay
                # mapped after the file is removed below.
                return _memory_map(partial, shape, rows)
            finally:
                with suppress(OSError):  # Windows keeps mapped files
                    partial.unlink(missing_ok=True)


def _is_cached(path: Path, size: int) -> bool:
    with suppress(OSError):
        if path.stat().st_size == size:
            # Its time is that of the last use, for `_evict_files`.
            os.utime(path)
            return True
    return False


def _memory_map(
    path: Path, shape: tuple[int, int, int], rows: tuple[int, ...]
) -> DecodedPixels:
    """Return the pixels in a file; `shape` is height, width and channels of an image."""
    # An empty file cannot be mapped.
    pixels: Pixels = np.zeros((0, *shape), np.uint8)
    if rows:
        # Copy on write: the file is a cache that other processes read.
        pixels = np.memmap(
            path,
            np.uint8,
            mode="c",
            shape=(len(rows), *shape),
        )
    return DecodedPixels(
        np.asarray(pixels).transpose(0, 3, 1, 2),
        rows,
    )


def _decode(
    path: Path, sources: Sequence[PixelSource], read: PixelReader, progress: Progress
) -> tuple[int, ...]:
    """Write the pixels of the readable sources to a new file; return their rows."""
    row_by_key = {source.key: row for row, source in enumerate(sources)}
    readable: list[int] = []
    length = 0  # bytes of an image
    with path.open("xb+") as file:
        outcomes = run_over(
            read,
            sources,
            choose_readers(len(sources)),
        )
        for outcome in progress.over(outcomes, "load", total=len(sources)):
            if outcome.result is None:
                continue
            data = outcome.result.transpose(1, 2, 0).tobytes()
            length = len(data)
            row = row_by_key[outcome.item.key]
            readable.append(row)
            # Not through the mapping, which crashes on a full disk.
            file.seek(row * length)
            file.write(data)

        readable.sort()
        _close_gaps(file, readable, length)
    return tuple(readable)


def _close_gaps(file: BinaryIO, rows: Sequence[int], length: int) -> None:
    """Move the readable rows, of `length` bytes each, together."""
    for new, old in enumerate(rows):
        if new != old:
            file.seek(old * length)
            data = file.read(length)
            file.seek(new * length)
            file.write(data)
    file.truncate(len(rows) * length)


def _digest(sources: Iterable[PixelSource], read: PixelReader) -> str:
    """Return a hash of all that determines the pixels."""
    digest = hashlib.sha256(f"{read.size} {read.mode} {read.fit}\n".encode())
    for source in sources:
        # A file that was replaced is read again.
        stamps = (_file_stamp(source.crop), _file_stamp(source.original))
        facts = (source.key, source.box, source.angle, stamps)
        digest.update(repr(facts).encode())
    return digest.hexdigest()[:32]


def _file_stamp(file: Path) -> tuple[int, int] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _evict_files(folder: Path) -> None:
    """Remove the least recently used files, and partial ones."""
    by_use = sorted(folder.glob("*.pixels"), key=lambda path: path.stat().st_mtime)
    for path in (*by_use[:-MAX_CACHED_FILES], *folder.glob(f"{PARTIAL_PREFIX}*")):
        with suppress(OSError):  # Windows keeps files that another process has mapped
            path.unlink(missing_ok=True)

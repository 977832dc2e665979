"""Reading the pixels of one sample, in worker processes: torch is not needed for it.

A module of its own, because a worker imports what its function's module imports, and
torch takes seconds.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from PIL import Image, ImageOps

from baseline.settings import Fit
from gleanset.errors import Unreadable
from gleanset.files.atomic import PARTIAL, disk_errors
from gleanset.files.store import GONE, UNREADABLE, bytes_of
from gleanset.images.cut import cut
from gleanset.images.decode import decode
from gleanset.platform import cores, replace_file
from gleanset.records import Box
from gleanset.work.pool import Processes, Threads, run_over
from gleanset.work.progress import Progress

if TYPE_CHECKING:
    from baseline.data.augmentation import Kind


IMAGES_PER_PROCESS = 100
"""Pictures that are read in about the time that a process takes to start."""

Pixels = npt.NDArray[np.uint8]


def choose_readers(pictures: int) -> Processes | Threads:
    """Return as many processes as so many pictures keep busy; a thread reads a few sooner."""
    return (
        Processes(min(cores(), pictures // IMAGES_PER_PROCESS))
        if pictures >= IMAGES_PER_PROCESS
        else Threads(1)
    )


@dataclass(frozen=True, slots=True)
class PixelSource:
    """Where the pixels of a sample are: its crop, or its original and a box."""

    key: str
    crop: Path
    original: Path
    box: Box
    angle: float = 0.0


@dataclass(frozen=True, slots=True)
class PixelReader:
    """Reads one sample as `size` x `size` pixels; picklable, runs in worker processes."""

    size: int
    mode: str
    fit: Fit = "stretch"

    def __call__(self, source: PixelSource) -> Pixels:
        """uint8, C x size x size. Raises `Unreadable`."""
        image = read_crop(source).convert(self.mode)
        values = np.asarray(resize_to_square(image, self.size, self.fit), dtype=np.uint8)
        return values[None] if values.ndim == 2 else values.transpose(2, 0, 1).copy()


def read_crop(source: PixelSource) -> Image.Image:
    """Return the pixels of a sample in its own size. Raises `Unreadable`."""
    try:
        return decode(bytes_of(source.crop)).pixels
    except Unreadable:
        # Crops may be deleted at any time; the original is what counts.
        return cut(decode(bytes_of(source.original)).pixels, source.box, source.angle)


def resize_to_square(image: Image.Image, size: int, fit: Fit = "stretch") -> Image.Image:
    """Return the picture as size x size pixels: all that a model sees."""
    oblong = image.width != image.height
    shown = image.crop(square_crop_box(*image.size)) if fit == "crop" and oblong else image
    return shown.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)


def square_crop_box(width: int, height: int) -> tuple[int, int, int, int]:
    """Return the largest square (left, top, right, bottom) of a picture: the middle of a wide one,
    the upper end of a tall one, where heads are.
    """
    side = min(width, height)
    left = (width - side) // 2
    return left, 0, left + side, side


VIEW_SEED = 0
"""Views do not follow the seed of a run: runs with other seeds use the same cached features."""


@dataclass(frozen=True, slots=True)
class ViewRequest:
    """A sample and the numbers of the views that are asked of it."""

    source: PixelSource
    views: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ViewReader:
    """Reads views of a sample: number 0 is the plain picture, the others are changed by `kind`.

    How a view is changed depends on the key of the sample and the view's number alone.
    """

    read: PixelReader
    kind: Kind

    def __call__(self, wanted: ViewRequest) -> Pixels:
        """uint8, views x C x size x size. Raises `Unreadable`."""
        plain = self.read(wanted.source)
        return np.stack([self._view(plain, wanted.source.key, view) for view in wanted.views])

    def _view(self, plain: Pixels, key: str, view: int) -> Pixels:
        if view == 0:
            return plain
        # Imported here: only augmented views need OpenCV.
        from baseline.data.augmentation import LIMITS, changed, draw_view_numbers

        numbers = draw_view_numbers(key, view, VIEW_SEED)
        made: Pixels = changed(plain[None], numbers[None], LIMITS[self.kind])[0]
        return made


ImageInput: TypeAlias = str | Path | bytes | Image.Image | npt.NDArray[np.uint8]
"""A path, the bytes of a file, an image of Pillow, or uint8 pixels H x W x 3 (RGB) or H x W."""


def to_square_pixels(image: Image.Image, size: int, fit: Fit) -> Pixels:
    """Return an upright RGB image as size x size x 3, made a square as in training."""
    return np.asarray(resize_to_square(image, size, fit), dtype=np.uint8)


def to_rgb_image(picture: ImageInput) -> Image.Image:
    """Return the picture upright, RGB, transparency on white. Raises `Unreadable`."""
    if isinstance(picture, Image.Image):
        return _flat(ImageOps.exif_transpose(picture))
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    return decode(picture if isinstance(picture, bytes) else read_bytes(Path(picture))).pixels


def read_bytes(path: Path) -> bytes:
    """Read the bytes of an ordinary file. Raises `Unreadable`."""
    try:
        if not path.is_file():
            reason = "not a file" if path.exists() else GONE
            raise Unreadable(reason, str(path))
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise Unreadable(UNREADABLE, str(error)) from error


def _flat(image: Image.Image) -> Image.Image:
    try:
        if "A" not in image.getbands() and "transparency" not in image.info:
            return image.convert("RGB")
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise Unreadable("damaged", str(error)) from error


def _from_array(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (colour or pixels.ndim == 2) or not pixels.size:
        raise Unreadable(
            "not an image", f"{pixels.dtype} {pixels.shape}; uint8 H x W x 3 (RGB) or H x W wanted"
        )
    return Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")


MAX_CACHED_FILES = 6
"""Files that stay when new ones come: three splits in two sizes. Older ones make room."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """`x` is uint8 N x C x H x W, mapped; its pictures are those of the sources at `rows`."""

    x: Pixels
    rows: tuple[int, ...]


def decode_all(
    folder: Path,
    sources: Sequence[PixelSource],
    read: PixelReader,
    progress: Progress | None = None,
) -> Decoded:
    """Return the pixels of sources, in their order, without those that cannot be read.

    Decoded in worker processes where they are not in `folder` yet; who comes while another
    process does so waits for it. Raises DiskFull, NotWritable.
    """
    whole = folder / f"{_digest(sources, read)}.pixels"
    shape = (read.size, read.size, 1 if read.mode == "L" else 3)
    size, every = math.prod(shape) * len(sources), tuple(range(len(sources)))
    with disk_errors(folder):
        if not every or _is_there(whole, size):
            return _mapped(whole, shape, every)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            if _is_there(whole, size):
                return _mapped(whole, shape, every)
            _make_room(folder)
            partial = folder / f"{PARTIAL}{secrets.token_hex(8)}"
            try:
                rows = _decode(partial, sources, read, progress or Progress())
                if rows == every:
                    replace_file(partial, whole)
                    return _mapped(whole, shape, rows)
                # What has gaps is not found again: next time all may be there.
                return _mapped(partial, shape, rows)
            finally:
                with suppress(OSError):  # Windows keeps a file that is mapped
                    partial.unlink(missing_ok=True)


def _is_there(path: Path, size: int) -> bool:
    with suppress(OSError):
        if path.stat().st_size == size:
            os.utime(path)
            return True
    return False


def _mapped(path: Path, shape: tuple[int, int, int], rows: tuple[int, ...]) -> Decoded:
    if not rows:
        return Decoded(np.zeros((0, shape[2], *shape[:2]), np.uint8), ())
    mapped = np.asarray(np.memmap(path, np.uint8, "c", shape=(len(rows), *shape)))
    return Decoded(mapped.transpose(0, 3, 1, 2), rows)


def _decode(
    path: Path, sources: Sequence[PixelSource], read: PixelReader, progress: Progress
) -> tuple[int, ...]:
    places: dict[str, list[int]] = {}
    for row, source in enumerate(sources):
        places.setdefault(source.key, []).append(row)
    unique = {source.key: source for source in sources}
    there: set[int] = set()
    with path.open("xb+") as file:
        outcomes = run_over(read, list(unique.values()), choose_readers(len(unique)))
        for outcome in progress.over(outcomes, "load", total=len(unique)):
            if outcome.result is None:
                continue
            # Not through the mapping, which dies of a full disk.
            data = outcome.result.transpose(1, 2, 0).tobytes()
            for row in places[outcome.item.key]:
                file.seek(row * len(data))
                file.write(data)
                there.add(row)
        rows = tuple(sorted(there))
        _close_gaps(file, rows, read.size**2 * (1 if read.mode == "L" else 3))
    return rows


def _close_gaps(file: BinaryIO, rows: Sequence[int], length: int) -> None:
    """Move what could be read together, so many bytes each."""
    for new, old in enumerate(rows):
        if new != old:
            file.seek(old * length)
            data = file.read(length)
            file.seek(new * length)
            file.write(data)
    file.truncate(len(rows) * length)


def _digest(sources: Iterable[PixelSource], read: PixelReader) -> str:
    digest = hashlib.sha256(f"{read.size} {read.mode} {read.fit}\n".encode())
    for source in sources:
        stamps = (_stamp(source.crop), _stamp(source.original))
        digest.update(repr((source.key, source.box, source.angle, stamps)).encode())
    return digest.hexdigest()[:32]


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _make_room(folder: Path) -> None:
    """Remove the files that were not used for longest, and what a kill has left."""
    by_use = sorted(folder.glob("*.pixels"), key=lambda path: path.stat().st_mtime)
    for path in (*by_use[:-MAX_CACHED_FILES], *folder.glob(f"{PARTIAL}*")):
        with suppress(OSError):  # Windows keeps what another process has mapped
            path.unlink(missing_ok=True)

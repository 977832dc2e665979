"""Writing the pictures of an export: copied where they can be, converted where asked."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image, ImageEnhance, ImageOps

from gleanset.errors import Unreadable
from gleanset.files.atomic import disk_errors
from gleanset.files.store import PictureFile, sha256_of
from gleanset.images.cut import cut, encode
from gleanset.images.decode import decode
from gleanset.records import Sample
from labeler.export.options import ExportOptions

CROPPED, SHADED = 0.08, 0.15
"""How much an augmented copy loses of each side, and how far its brightness goes."""


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """What a file of an export is known by."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ExportPicture:
    """One file to write, for a worker: small and picklable. `change` numbers an augmented copy.

    `earlier` is a file of the export that this one replaces which shows the same, with the
    hash that it should have: it is linked instead of being made again.
    """

    path: str
    original: PictureFile
    crop: PictureFile
    sample: Sample
    change: int = 0
    earlier: tuple[Path, str] | None = None


def is_kept(sample: Sample, options: ExportOptions) -> bool:
    """Return whether the picture of a sample is its whole original, byte by byte."""
    return options.keep_metadata and sample.detector == "whole"


@dataclass(frozen=True, slots=True)
class PictureMaker:
    """Makes the bytes of pictures; picklable."""

    options: ExportOptions

    def bytes_of(self, item: ExportPicture) -> bytes:
        """Return a picture as it is exported.

        Raises `Unreadable` when neither the crop nor the original can be read.
        """
        if (file := self.taken(item)) is not None and (data := _there(file)) is not None:
            return data
        return self.converted(item)

    def size_of(self, item: ExportPicture) -> int:
        """Return how many bytes a picture has. Raises as `bytes_of`."""
        return len(self.bytes_of(item))

    def taken(self, item: ExportPicture) -> PictureFile | None:
        """Return the file of the dataset that can be taken as it is, should it be there: a crop, or
        an original that is kept.
        """
        if self.options.format == "coco" or self.options.converts or item.change:
            return None
        if item.sample.detector != "whole":
            return item.crop
        return item.original if is_kept(item.sample, self.options) else None

    def converted(self, item: ExportPicture) -> bytes:
        """Return a picture that is cut or encoded anew."""
        part = self._part(item)
        if item.change:
            part = augmented(part, f"{item.sample.key}:{item.change}")
        if self.options.grayscale:
            part = part.convert("L")
        if self.options.size is not None:
            part = _fitted(part, self.options)
        return encode(part) if self.options.file == "jpeg" else _png(part)

    def _part(self, item: ExportPicture) -> Image.Image:
        """Upright, and without the metadata of its original."""
        sample = item.sample
        if self.options.format == "coco":
            return decode(_bytes(item.original)).pixels
        if sample.detector != "whole" and (crop := _there(item.crop)) is not None:
            return decode(crop).pixels
        return cut(decode(_bytes(item.original)).pixels, sample.box, sample.angle)


@dataclass(frozen=True, slots=True)
class PictureWriter:
    """Writes pictures below `folder`; picklable."""

    folder: Path
    options: ExportOptions

    def __call__(self, item: ExportPicture) -> WrittenFile:
        """Raises `Unreadable` when neither the crop nor the original can be read."""
        target = self.folder / item.path
        maker = PictureMaker(self.options)
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not (_taken_over(item.earlier, target) or _put(maker.taken(item), item, target)):
                target.write_bytes(maker.converted(item))
            data = target.read_bytes()
        return WrittenFile(sha256_of(data), len(data))


def augmented(picture: Image.Image, seed: str) -> Image.Image:
    """Return a copy that is perhaps mirrored, a little cropped and shaded; equal seeds, equal
    copies.

    Hue and shape stay: hair colour and the proportions of a face are what tells classes apart.
    """
    random = Random(seed)  # noqa: S311 - not a secret
    if random.random() < 0.5:
        picture = ImageOps.mirror(picture)
    width, height = picture.size
    left, top = random.uniform(0, CROPPED * width), random.uniform(0, CROPPED * height)
    box = (left, top, left + (1 - CROPPED) * width, top + (1 - CROPPED) * height)
    picture = picture.resize(picture.size, Image.Resampling.BICUBIC, box=box)
    return ImageEnhance.Brightness(picture).enhance(random.uniform(1 - SHADED, 1 + SHADED))


def _fitted(picture: Image.Image, options: ExportOptions) -> Image.Image:
    assert options.size is not None
    method = Image.Resampling.LANCZOS
    if options.fit == "crop":
        return ImageOps.fit(picture, options.size, method)
    if options.fit == "pad":
        return ImageOps.pad(picture, options.size, method, color="white")
    return picture.resize(options.size, method)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    clean = picture.copy()
    clean.info = {}
    clean.save(buffer, "PNG")
    return buffer.getvalue()


def _taken_over(earlier: tuple[Path, str] | None, target: Path) -> bool:
    """Return whether the file of the last export is still what it was, and could be linked."""
    if earlier is None:
        return False
    path, sha256 = earlier
    try:
        return sha256_of(path.read_bytes()) == sha256 and linked(path, target)
    except OSError:
        return False


def _put(file: PictureFile | None, item: ExportPicture, target: Path) -> bool:
    """Return whether the file to be taken was there."""
    if file is None:
        return False
    if not isinstance(file, Path):
        if (data := _there(file)) is not None:
            target.write_bytes(data)
        return data is not None
    # Never linked: a picture edited in the export must not change its original.
    return linked(file, target) if file == item.crop else _copied(file, target)


def linked(source: Path, target: Path) -> bool:
    """A hard link where the disk allows it, else a copy; False where there is no source."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        return False
    except OSError:
        return _copied(source, target)
    return True


def _copied(source: Path, target: Path) -> bool:
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        return False
    return True


def _there(file: PictureFile) -> bytes | None:
    """Return the bytes of a file; None where there is none."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable("file is gone", str(error)) from error


def _bytes(file: PictureFile) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Unreadable("file is gone", str(error)) from error

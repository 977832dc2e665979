"""Writing the pictures of an export: copied where they can be, made anew where asked."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image, ImageEnhance, ImageOps

from gleanset.errors import InputUnusable, Unreadable
from gleanset.files.atomic import disk_errors
from gleanset.files.store import GONE, bytes_of, sha256_of
from gleanset.images.cut import cut, encode
from gleanset.images.decode import decode
from gleanset.images.embedded_metadata import file_says_where, says_where, without_metadata
from gleanset.platform import forbid_writing
from labeler.export.item import ExportItem
from labeler.export.options import ExportOptions, Fit
from labeler.export.plan import UNCHANGED, anew

CROPPED, SHADED = 0.08, 0.15
"""How much an augmented copy loses of each side, and how far its brightness goes."""

_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class MadePicture:
    """The bytes of a picture, and what was changed of it, in words."""

    data: bytes
    changes: str

    @property
    def says_where(self) -> bool:
        """Whether it says where it was taken: only what came along may."""
        return self.changes == UNCHANGED and says_where(self.data)


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """What a file of an export is known by; whether it says where it was taken."""

    sha256: str
    bytes: int
    changes: str
    says_where: bool


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file to write, for a worker: picklable.

    `earlier` is a file of the export that this one replaces which shows the same, with the
    hash that it should have and its changes: it is linked instead of being made again.
    """

    item: ExportItem
    earlier: tuple[Path, str, str] | None = None


def make_picture(item: ExportItem, options: ExportOptions) -> MadePicture:
    """Return a picture as it is exported.

    Raises `Unreadable` when neither the crop nor the original can be read, or the original is not
    what it was.
    """
    if item.way == "crop" and (data := _there(item.crop)) is not None:
        return MadePicture(data, item.changes)
    if item.way in ("original", "stripped"):
        data = _original(item)
        if item.way == "original":
            return MadePicture(data, item.changes)
        try:
            return MadePicture(without_metadata(data, item.image.orientation), item.changes)
        except Unreadable:  # its parts cannot be told
            return MadePicture(_coded(decode(data).pixels, item.path), anew(item.image))
    part = _part(item, options)
    if item.changed:
        part = augmented(part, f"{item.sample.key}:{item.copy}")
    if options.grayscale:
        part = part.convert("L")
    if (sides := options.sides) is not None:
        part = _fitted(part, sides, options.fit)
    return MadePicture(_coded(part, item.path), item.changes)


def _part(item: ExportItem, options: ExportOptions) -> Image.Image:
    """Upright, and without the metadata of its original."""
    sample = item.sample
    if options.boxed:
        return decode(bytes_of(item.original)).pixels
    if sample.detector != "whole" and (crop := _there(item.crop)) is not None:
        return decode(crop).pixels
    return cut(decode(bytes_of(item.original)).pixels, sample.box, sample.angle)


def picture_size(item: ExportItem, options: ExportOptions) -> int:
    """Return how many bytes a picture has. Raises as `make_picture`."""
    return len(make_picture(item, options).data)


def write_picture(file: ExportFile, folder: Path, options: ExportOptions) -> WrittenFile:
    """Write a picture below `folder`. Raises as `make_picture`."""
    item, target = file.item, folder / file.item.path
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if options.link and _linked_original(item, target):
            image, says_where = item.image, file_says_where(target)
            return WrittenFile(image.sha256, image.bytes, item.changes, says_where)
        if (taken := _taken_over(file, target)) is not None:
            return taken
        if item.way == "crop" and linked(item.crop, target):
            return _written(MadePicture(target.read_bytes(), item.changes))
        made = make_picture(item, options)
        target.write_bytes(made.data)
    return _written(made)


def augmented(picture: Image.Image, seed: str) -> Image.Image:
    """Return a mirrored, cropped or shaded copy, the same for equal seeds.

    Hue and shape stay: they tell classes apart.
    """
    random = Random(seed)  # noqa: S311 - not a secret
    if random.random() < 0.5:
        picture = ImageOps.mirror(picture)
    width, height = picture.size
    left, top = random.uniform(0, CROPPED * width), random.uniform(0, CROPPED * height)
    box = (left, top, left + (1 - CROPPED) * width, top + (1 - CROPPED) * height)
    picture = picture.resize(picture.size, Image.Resampling.BICUBIC, box=box)
    return ImageEnhance.Brightness(picture).enhance(random.uniform(1 - SHADED, 1 + SHADED))


def _fitted(picture: Image.Image, sides: tuple[int, int], fit: Fit) -> Image.Image:
    method = Image.Resampling.LANCZOS
    if fit == "crop":
        return ImageOps.fit(picture, sides, method)
    if fit == "pad":
        return ImageOps.pad(picture, sides, method, color="white")
    return picture.resize(sides, method)


def _coded(picture: Image.Image, path: str) -> bytes:
    ending = path.rpartition(".")[2]
    if ending == "jpg":
        return encode(picture)
    buffer = io.BytesIO()
    clean = picture.copy()
    clean.info = {}
    if ending == "webp":
        clean.save(buffer, "WEBP", lossless=True)
    else:
        clean.save(buffer, "PNG")
    return buffer.getvalue()


def _written(made: MadePicture) -> WrittenFile:
    return WrittenFile(sha256_of(made.data), len(made.data), made.changes, made.says_where)


def _taken_over(file: ExportFile, target: Path) -> WrittenFile | None:
    """Return the file of the last export, linked, if it is still what it was; else None."""
    if file.earlier is None:
        return None
    path, sha256, changes = file.earlier
    try:
        data = path.read_bytes()
        # A link to an original is only passed on where links are asked for.
        source = file.item.original
        is_original = source.exists() and path.samefile(source)
        if sha256_of(data) != sha256 or is_original or not linked(path, target):
            return None
    except OSError:
        return None
    return _written(MadePicture(data, changes))


def _linked_original(item: ExportItem, target: Path) -> bool:
    """Link an original that leaves as it is, should it be whole and safe to be linked.

    Nobody can write to it then, so that who edits the export does not edit the dataset. Of a
    JPEG with something behind its end there is a copy: some readers write such a file anew.
    """
    source = item.original
    if item.way != "original":
        return False
    try:
        with source.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(_END_OF_JPEG)))
            if size != item.image.bytes or (
                item.image.format == "JPEG" and file.read() != _END_OF_JPEG
            ):
                return False
        os.link(source, target)
    except OSError:  # it is gone, or has as many links as a disk allows
        return False
    forbid_writing(target)
    return True


def check_links(items: Sequence[ExportItem], folder: Path) -> None:
    """Try whether originals can be linked into a folder. Raises `InputUnusable`."""
    originals = (item.original for item in items if item.way == "original")
    source = next(originals, None)
    if source is None:
        return
    trial = folder / ".trial"
    try:
        os.link(str(source), trial)
        trial.unlink()
    except OSError as error:
        raise InputUnusable(
            f"{source} cannot be linked into {folder.parent}: {error.strerror}",
            "export to a folder on the disk of the dataset, or leave --link out",
        ) from error


def linked(source: Path, target: Path) -> bool:
    """A hard link where the disk allows it, else a copy; False where there is no source."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        return False
    except OSError:
        try:
            shutil.copyfile(source, target)
        except FileNotFoundError:
            return False
    return True


def _original(item: ExportItem) -> bytes:
    data = bytes_of(item.original)
    if sha256_of(data) != item.image.sha256:
        raise Unreadable("file is damaged", "its bytes are not those that were taken in")
    return data


def _there(file: Path) -> bytes | None:
    """Return the bytes of a file; None where there is none. Raises `Unreadable`."""
    try:
        return bytes_of(file)
    except Unreadable as error:
        if error.reason == GONE:
            return None
        raise

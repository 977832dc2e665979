"""Rendering the images of an export: linked or copied if possible, else encoded again."""

import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from gleanset.errors import InputUnusable, Unreadable
from gleanset.files.atomic import disk_errors
from gleanset.files.store import FILE_GONE, hash_bytes, hash_file, read_original
from gleanset.images.cropping import crop_region, encode_jpeg
from gleanset.images.decode import decode
from gleanset.images.embedded_metadata import file_has_gps_position, has_gps_position
from gleanset.platform import forbid_writing
from labeler.export.balance import augment_image
from labeler.export.item import ExportItem
from labeler.export.options import ExportOptions, Fit
from labeler.export.plan import UNCHANGED

_END_OF_JPEG = b"\xff\xd9"


def render_image(item: ExportItem, options: ExportOptions) -> tuple[bytes, ExportItem]:
    """Return the bytes of an item's file, and the item with what is known of them.

    Raises `Unreadable` if neither the crop nor the original can be read, or the original has
    changed.
    """
    data = _render(item, options)
    rendered_item = item._replace(
        sha256=hash_bytes(data),
        # Only unchanged files can have a position.
        has_gps=item.changes == UNCHANGED and has_gps_position(data),
    )
    return data, rendered_item


def _render(item: ExportItem, options: ExportOptions) -> bytes:
    """Return the bytes of an item's file. Raises `Unreadable`."""
    # A missing crop is made again below.
    if item.method == "crop":
        crop = _read_crop(item.crop)
        if crop is not None:
            return crop

    if item.method == "original":
        data = read_original(item.original)
        if hash_bytes(data) != item.image.sha256:
            raise Unreadable(
                "file is damaged",
                "its bytes have changed since it was imported",
            )
        return data

    pixels = _decode_sample(item, options)
    if options.grayscale:
        pixels = pixels.convert("L")
    size = options.target_size
    if size is not None:
        pixels = _resize(pixels, size, options.fit)
    if options.is_augmented(item.copy):
        pixels = augment_image(
            pixels,
            item.sample.key,
            item.copy,
            options,
        )
    return encode_jpeg(pixels) if item.path.endswith(".jpg") else _encode_png(pixels)


def _encode_png(pixels: Image.Image) -> bytes:
    # Pillow would write the profile and the comments of the original.
    clean = pixels.copy()
    clean.info = {}
    buffer = io.BytesIO()
    clean.save(buffer, "PNG")
    return buffer.getvalue()


def _decode_sample(item: ExportItem, options: ExportOptions) -> Image.Image:
    """Return the pixels of a sample, or of its whole image in an export with boxes."""
    sample = item.sample
    # Only faces have a crop, and half bodies are another part of the image.
    if not options.has_boxes and sample.detector != "whole" and options.crop == "face":
        crop = _read_crop(item.crop)
        if crop is not None:
            return decode(crop).pixels

    pixels = decode(read_original(item.original)).pixels
    if options.has_boxes:
        return pixels
    return crop_region(pixels, sample.box, sample.angle)


def write_image(item: ExportItem, folder: Path, options: ExportOptions) -> ExportItem:
    """Write an image below `folder`; return its item. Raises as `render_image`."""
    target = folder / item.path
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if item.clip is not None:
            from labeler.export.clip_ffmpeg import cut_clip  # loads ffmpeg-python

            cut_clip(item, item.clip, target)
            return item._replace(sha256=hash_file(target))
        # Without reading the pixels, where that is possible.
        if options.link and _link_original(item, target):
            return item._replace(
                sha256=item.image.sha256,
                has_gps=file_has_gps_position(target),
            )
        if item.method == "crop" and link_or_copy(item.crop, target):
            return item._replace(sha256=hash_file(target))

        data, rendered_item = render_image(item, options)
        target.write_bytes(data)

    return rendered_item


def _resize(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    method = Image.Resampling.LANCZOS
    if fit == "crop":
        return ImageOps.fit(image, size, method)
    if fit == "pad":
        return ImageOps.pad(image, size, method, color="white")
    return image.resize(size, method)


def _link_original(item: ExportItem, target: Path) -> bool:
    """Link an unchanged original, and make it read-only so that edits cannot reach the dataset.

    A JPEG with trailing bytes is copied, because some readers rewrite such files in place.
    """
    source = item.original
    if item.method != "original":
        return False
    try:
        with source.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(_END_OF_JPEG)))
            end = file.read()
        # A file that was changed since the import.
        if size != item.image.bytes:
            return False
        if item.image.format == "JPEG" and end != _END_OF_JPEG:
            return False
        os.link(source, target)
    except OSError:  # missing, or the maximum number of links is reached
        return False

    forbid_writing(target)
    return True


def check_links(items: Sequence[ExportItem], folder: Path) -> None:
    """Check that originals can be linked into a folder. Raises `InputUnusable`."""
    source = next((item.original for item in items if item.method == "original"), None)
    if source is None:
        return
    trial = folder / ".trial"
    try:
        os.link(source, trial)
        trial.unlink()
    except OSError as error:
        raise InputUnusable(
            f"{source} cannot be linked into {folder.parent}: {error.strerror}",
            "export to a folder on the dataset's disk, or leave --link out",
        ) from error


def link_or_copy(source: Path, target: Path) -> bool:
    """Hard-link a file, or copy it where links are not possible; False if there is no source."""
    try:
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    except FileNotFoundError:
        return False
    return True


def _read_crop(file: Path) -> bytes | None:
    """Return the bytes of a crop; None if it does not exist. Raises `Unreadable`."""
    try:
        return read_original(file)
    except Unreadable as error:
        if error.reason == FILE_GONE:
            return None
        raise

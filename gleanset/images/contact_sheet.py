"""Writing a contact sheet: one picture for a person to look at, in the format of its name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from gleanset.errors import InputUnusable, NotWritable, UsageError
from gleanset.files.atomic import write_atomic

if TYPE_CHECKING:
    from PIL import Image

KINDS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def save_sheet(sheet: Image.Image, file: Path) -> None:
    """Write it whole or not at all. Raises `UsageError`, `InputUnusable`, `NotWritable`."""
    kind = KINDS[checked_ending(file)]
    buffer = io.BytesIO()
    try:
        sheet.save(buffer, kind)
    except (ValueError, OverflowError, OSError) as error:
        # WebP and JPEG have a largest side.
        raise InputUnusable(f"cannot write {file}: {error}", "write a .png instead") from error
    try:
        write_atomic(file, buffer.getvalue())
    except OSError as error:
        raise NotWritable(
            f"cannot write {file}: {error.strerror}", "choose another place"
        ) from error


def checked_ending(file: Path) -> str:
    """Return the ending of a sheet's name. Raises `UsageError` for one that is no picture's."""
    ending = file.suffix.lower()
    if ending not in KINDS:
        raise UsageError(f"cannot tell the format of {file}", f"end it in {', '.join(KINDS)}")
    return ending


def fitted(picture: Image.Image, size: int) -> Image.Image:
    """Return a copy whose longer side has `size` pixels."""
    from PIL import Image  # not before: commands check endings when they begin

    scale = size / max(picture.size)
    wanted = [max(round(side * scale), 1) for side in picture.size]
    kind = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC
    return picture.resize((wanted[0], wanted[1]), kind)

"""What a person may choose of an export."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gleanset.errors import UsageError

Format = Literal["imagefolder", "huggingface", "coco", "webdataset", "csv"]
Names = Literal["origin", "prefix-count"]
Fit = Literal["stretch", "crop", "pad"]
FORMATS: tuple[Format, ...] = ("imagefolder", "huggingface", "coco", "webdataset", "csv")
NAMES: tuple[Names, ...] = ("origin", "prefix-count")
FITS: tuple[Fit, ...] = ("stretch", "crop", "pad")
FILES = {"jpeg": "jpg", "png": "png"}


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How to write an export. Small and picklable.

    `size` is (width, height) in pixels, `fit` how a picture of another shape comes to it.
    `licences` are patterns such as `cc-*`: of pictures without a matching one nothing is
    exported. `keep_metadata` leaves whole pictures as they were fetched, byte by byte.
    """

    format: Format = "imagefolder"
    names: Names = "origin"
    size: tuple[int, int] | None = None
    fit: Fit = "stretch"
    grayscale: bool = False
    file: Literal["jpeg", "png"] = "jpeg"
    keep_metadata: bool = False
    licences: tuple[str, ...] = ()
    card: bool = True

    def __post_init__(self) -> None:
        if self.format == "coco" and self.size is not None:
            raise UsageError(
                "a COCO export keeps the sizes of its pictures, because boxes refer to them",
                "leave --size out, or use --format imagefolder",
            )
        if self.keep_metadata and self.converts:
            raise UsageError(
                "pictures that are converted lose their metadata",
                "leave --keep-metadata out, or --size, --grayscale and --file png",
            )

    @property
    def balances(self) -> bool:
        """Whether a balance of train shows: boxes of one picture cannot be copied apart."""
        return self.format != "coco"

    @property
    def converts(self) -> bool:
        """Whether pictures are to be written otherwise than crops are kept."""
        return self.size is not None or self.grayscale or self.file != "jpeg"

    @property
    def pixels(self) -> str:
        """What decides on the bytes of a picture, in one spelling."""
        size = "x".join(map(str, self.size or ())) or "as it is"
        words = (size, self.fit, str(self.grayscale), self.file, str(self.keep_metadata))
        return " ".join((*words, str(self.format == "coco")))


def parse_size(text: str | None) -> tuple[int, int] | None:
    """'120x120' or '300' as width and height in pixels. Raises `UsageError`."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip().lower())
    sides = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (0, 0)
    if not all(1 <= side <= 10_000 for side in sides):
        raise UsageError(f"{text!r} is not a size", "write for instance 120x120")
    return sides

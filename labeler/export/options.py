"""What a person may choose of an export."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gleanset.errors import UsageError

Format = Literal["imagefolder", "huggingface", "coco", "webdataset", "parquet", "csv"]
Names = Literal["origin", "prefix-count"]
Fit = Literal["stretch", "crop", "pad"]
FORMATS: tuple[Format, ...] = (
    "imagefolder",
    "huggingface",
    "coco",
    "webdataset",
    "parquet",
    "csv",
)
SHARDED: tuple[Format, ...] = ("webdataset", "parquet")
SHARD_BYTES = 1_000_000_000
"""About the size of a shard; the authors of WebDataset advise 100 MB to 10 GB."""
NAMES: tuple[Names, ...] = ("origin", "prefix-count")
FITS: tuple[Fit, ...] = ("stretch", "crop", "pad")
FILES = {"jpeg": "jpg", "png": "png"}


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How to write an export. Small and picklable.

    `size` is (width, height) in pixels, `fit` how a picture of another shape comes to it.
    `licences` are patterns such as `cc-*`: of pictures without a matching one nothing is
    exported. `keep_metadata` leaves whole pictures as they were fetched, byte by byte.
    A shard is closed at about `shard_size` bytes, or at `shard_pictures` pictures.
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
    shard_size: int | None = None
    shard_pictures: int | None = None

    def __post_init__(self) -> None:
        if not self.sharded and (self.shard_size or self.shard_pictures):
            raise UsageError(
                f"an export in the format {self.format} has no shards",
                f"leave the size of shards out, or use --format {' or '.join(SHARDED)}",
            )
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
    def sharded(self) -> bool:
        """Whether pictures are packed into shards instead of a tree."""
        return self.format in SHARDED

    @property
    def bytes_of_shard(self) -> int:
        """About how many bytes a shard has at most."""
        return self.shard_size or SHARD_BYTES

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


_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def parse_bytes(text: str | None) -> int | None:
    """'1GB', '500 MB', '256MiB' or a number of bytes. Raises `UsageError`."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]|[kmg]i)?b?", text.strip().lower())
    size = int(float(match.group(1)) * _UNITS[match.group(2) or ""]) if match else 0
    if not 1_000 <= size <= 10**13:
        raise UsageError(f"{text!r} is no size of a shard", "write for instance 1GB or 500MB")
    return size

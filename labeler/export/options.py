"""What a person may choose of an export."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from gleanset.errors import UsageError

Format = Literal[
    "imagefolder",
    "csv",
    "huggingface",
    "parquet",
    "webdataset",
    "coco",
    "yolo-detect",
    "yolo-classify",
]
Names = Literal["origin", "prefix-count"]
Fit = Literal["stretch", "crop", "pad"]
File = Literal["readable", "original", "jpeg", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
SHARDED: tuple[Format, ...] = ("webdataset", "parquet")
BOXED: tuple[Format, ...] = ("coco", "yolo-detect")
"""Whole pictures with boxes; all other formats have a picture for each sample."""
CLASS_FOLDERS: tuple[Format, ...] = ("imagefolder", "csv", "huggingface", "yolo-classify")
SHARD_BYTES = 1_000_000_000
"""About the size of a shard; the authors of WebDataset advise 100 MB to 10 GB."""
NAMES: tuple[Names, ...] = get_args(Names)
FITS: tuple[Fit, ...] = get_args(Fit)
FILES: tuple[File, ...] = get_args(File)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How to write an export. Small and picklable.

    `size` is (width, height) in pixels, `fit` how a picture of another shape comes to it.
    Whole pictures leave byte for byte; with `file` "readable" but for formats that few programs
    read, with "jpeg" or "png" all of them are written anew. `strip_metadata` takes out of
    them what they say beside their pixels, and `link` links them to the dataset.
    `licences` are patterns such as `cc-*`: of pictures without a matching one nothing is
    exported. `undecided` takes, where boxes are asked for, also pictures with a face that nobody
    has decided on.
    A shard is closed at about `shard_size` bytes, or at `shard_pictures` pictures.
    """

    format: Format = "imagefolder"
    names: Names = "origin"
    size: tuple[int, int] | None = None
    fit: Fit = "stretch"
    grayscale: bool = False
    file: File = "readable"
    strip_metadata: bool = False
    link: bool = False
    undecided: bool = False
    licences: tuple[str, ...] = ()
    shard_size: int | None = None
    shard_pictures: int | None = None

    def __post_init__(self) -> None:
        self._check_shards()
        self._check_boxes()
        self._check_files()
        if self.names != "origin" and (self.boxed or self.sharded):
            what = "are named by their keys" if self.sharded else "may show several classes"
            raise UsageError(
                f"in the format {self.format} pictures {what}",
                "leave --names out, or use --format imagefolder",
            )

    def _check_shards(self) -> None:
        if not self.sharded and (self.shard_size or self.shard_pictures):
            raise UsageError(
                f"an export in the format {self.format} has no shards",
                f"leave the size of shards out, or use --format {' or '.join(SHARDED)}",
            )

    def _check_boxes(self) -> None:
        if self.boxed and self.size is not None:
            raise UsageError(
                f"a {self.format} export keeps the sizes of its pictures, because boxes refer to "
                "them",
                "leave --size out, or use --format imagefolder",
            )
        if self.undecided and not self.boxed:
            raise UsageError(
                f"an export in the format {self.format} has no boxes, so none can lack",
                f"leave --undecided out, or use --format {' or '.join(BOXED)}",
            )

    def _check_files(self) -> None:
        if self.file == "original" and (self.strip_metadata or self.size or self.grayscale):
            raise UsageError(
                "original files keep every byte, and so their size, colours and metadata",
                "leave --file original out, or --size, --grayscale and --strip-metadata",
            )
        if self.link and (self.strip_metadata or self.remakes(whole=True)):
            raise UsageError(
                "only pictures that leave unchanged can be links",
                "leave --link out, or --size, --grayscale, --file and --strip-metadata",
            )
        if self.link and self.sharded:
            raise UsageError(
                f"in the format {self.format} pictures are packed, and cannot be links",
                "leave --link out, or use --format imagefolder",
            )

    @property
    def sharded(self) -> bool:
        """Whether pictures are packed into shards instead of a tree."""
        return self.format in SHARDED

    @property
    def boxed(self) -> bool:
        """Whether pictures are whole ones with the boxes of their samples."""
        return self.format in BOXED

    @property
    def bytes_of_shard(self) -> int:
        """About how many bytes a shard has at most."""
        return self.shard_size or SHARD_BYTES

    @property
    def balances(self) -> bool:
        """Whether a balance of train shows: boxes of one picture cannot be copied apart."""
        return not self.boxed

    def remakes(self, *, whole: bool) -> bool:
        """Return whether a whole picture, or a cut one, is to be decoded and written anew."""
        wanted = ("jpeg", "png") if whole else ("png",)
        return self.size is not None or self.grayscale or self.file in wanted

    @property
    def pixels(self) -> str:
        """What decides on the bytes of a picture, in one spelling."""
        size = "x".join(map(str, self.size or ())) or "as it is"
        words = (size, self.fit, str(self.grayscale), self.file, str(self.strip_metadata))
        return " ".join((*words, str(self.boxed)))


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

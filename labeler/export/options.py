"""Options of an export."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar, Literal

import msgspec

from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.files.shards import SHARD_SIZE_HELP, ShardSize
from gleanset.plugins import get_plugin_package
from gleanset.request import Count, Request, make_validator
from labeler.export.formats import FORMATS, get_format
from labeler.export.formats.base import ExportFormat
from labeler.export.formats.builtin import (
    FIELDS,
    TEMPLATE,
    check_template,
    write_captions,
)

Fit = Literal["stretch", "crop", "pad"]
File = Literal["readable", "jpeg", "png"]
CAPTION_FORMATS = ("captions", "clips")
SHARD_FORMATS = tuple(name for name, form in FORMATS.items() if form.layout == "shards")
UNSPLIT_FORMATS = tuple(name for name, form in FORMATS.items() if form.split_optional)
MAX_SIDE = 10_000
"""Pixels of a side of an exported image."""
FPS = 24
"""Frames per second of clips: those of films, and of most models that generate videos."""
SHARD_SIZE = "1GB"
"""Approximate size of a shard; WebDataset recommends 100 MB to 10 GB."""


def normalize_size(text: str) -> str:
    """Return a size as WIDTHxHEIGHT. Raises `UsageError`."""
    return "x".join(map(str, parse_size(text)))


class ExportOptions(Request, frozen=True, kw_only=True):
    """Options of `labeler export`, and of `[export]` in a recipe."""

    COMMAND: ClassVar[str] = "labeler export"

    format: Annotated[
        str,
        Param(
            "; ".join(f"{name}: {form.about}" for name, form in FORMATS.items()) + ".",
            metavar="FORMAT",
            show_default=True,
            parse=make_validator(get_format),
        ),
    ] = "imagefolder"
    size: Annotated[
        str | None,
        Param(
            "Resize all images, for example to 120x120.",
            metavar="WxH",
            parse=normalize_size,
        ),
    ] = None
    fit: Annotated[
        Fit, Param("How --size treats another aspect ratio.", show_default=True)
    ] = "stretch"
    crop: Annotated[
        Literal["face", "half-body", "whole"],
        Param(
            "What to crop from an image: the face as in the dataset, the person's upper half, or "
            "nothing. In clips the crop follows the face.",
            show_default=True,
        ),
    ] = "face"
    grayscale: Annotated[bool, Param("Convert to grayscale.")] = False
    file: Annotated[
        File,
        Param(
            "Encoding of whole images. readable: the original bytes, but HEIC, AVIF and "
            "GIF re-encoded; jpeg, png: re-encode all.",
            show_default=True,
        ),
    ] = "readable"
    licences: Annotated[
        tuple[str, ...],
        Param(
            "Only images whose licence matches, such as 'cc-by*'; repeatable.",
            metavar="PATTERN",
            option="--licence",
        ),
    ] = ()
    with_reports: Annotated[
        bool, Param("Also export images that were sent with web reports.")
    ] = False
    link: Annotated[
        bool,
        Param(
            "Hard-link whole images to those of the dataset to save space; both become read-only."
        ),
    ] = False
    no_split: Annotated[
        bool,
        Param(
            f"For {', '.join(UNSPLIT_FORMATS)}: export all labelled samples, without "
            "train|val|test folders."
        ),
    ] = False
    balance: Annotated[
        Literal["copies", "augment", "down"] | None,
        Param(
            "Balance the classes in train. copies: repeat images of small classes; augment: add "
            "augmented images; down: leave out images of large classes."
        ),
    ] = None
    target: Annotated[
        Count | None,
        Param(
            "For --balance: images of each class in train, at least (copies, augment) or at most "
            "(down). Default: the largest class, or the smallest for down.",
            metavar="N",
        ),
    ] = None
    augmentation: Annotated[
        Literal["characters", "photos"],
        Param(
            "For --balance augment, as in the presets. characters: keeps hue and shape; photos: "
            "also rotation, shear, color and erasing.",
            show_default=True,
        ),
    ] = "characters"
    seed: Annotated[
        int,
        Param(
            "For --balance: random seed of what is repeated or left out.",
            show_default=True,
        ),
    ] = 0
    caption: Annotated[
        str | None,
        Param(
            f"For captions and clips: the text of a file. Default: '{TEMPLATE}'; other fields: "
            f"{', '.join(f'{{{name}}}' for name in FIELDS[2:])}.",
            metavar="TEMPLATE",
            parse=check_template,
        ),
    ] = None
    repeats: Annotated[
        Count | None,
        Param(
            "For captions and clips: name the class folders N_CLASS, whose files kohya's trainers "
            "show N times in each epoch.",
            metavar="N",
        ),
    ] = None
    length: Annotated[
        Annotated[float, msgspec.Meta(gt=0)] | None,
        Param(
            "For clips: maximum seconds of a clip. Default: those of its track.",
            metavar="SECONDS",
        ),
    ] = None
    fps: Annotated[
        Count, Param("For clips: frames per second.", metavar="N", show_default=True)
    ] = FPS
    shard_size: Annotated[
        str | None,
        Param(
            f"{SHARD_SIZE_HELP} Default: {SHARD_SIZE}.",
            metavar="SIZE|N",
            parse=make_validator(ShardSize.parse),
        ),
    ] = None

    def __post_init__(self) -> None:
        """Check for conflicting options. Raises `UsageError`."""
        super().__post_init__()
        for is_conflict, problem, fix in self._conflicts():
            if is_conflict:
                raise UsageError(problem, fix)

    def _conflicts(self) -> Iterator[tuple[object, str, str]]:
        """Yield whether options conflict, the problem, and its fix."""
        # Options of formats that the chosen one does not have.
        yield (
            not self.is_sharded and self.shard_size,
            f"the format {self.format} has no shards",
            f"leave out --shard-size, or use --format {' or '.join(SHARD_FORMATS)}",
        )
        yield (
            self.no_split and not self.form.split_optional,
            f"the format {self.format} needs splits",
            f"leave out --no-split, or use --format {' or '.join(UNSPLIT_FORMATS)}",
        )
        yield (
            self.caption is not None and self.format not in CAPTION_FORMATS,
            f"the format {self.format} has no captions",
            f"leave out --caption, or use --format {' or '.join(CAPTION_FORMATS)}",
        )
        yield (
            not self.is_clips and (self.length or self.fps != FPS),
            f"the format {self.format} has no videos",
            "leave out --length and --fps, or use --format clips",
        )
        yield (
            self.is_clips
            and (self.balance or self.link or self.must_reencode(whole_images=True)),
            "clips are cut from videos, in their size",
            "leave out --balance, --link, --size, --grayscale and --file",
        )
        yield (
            self.repeats is not None and self.format not in CAPTION_FORMATS,
            "only trainers of image generators read repeats",
            f"leave out --repeats, or use --format {' or '.join(CAPTION_FORMATS)}",
        )
        # Whole images stay as they are.
        yield (
            self.has_boxes and self.size is not None,
            f"the format {self.format} keeps image sizes, because boxes refer to them",
            "leave out --size, or use --format imagefolder",
        )
        yield (
            self.has_boxes and self.crop != "face",
            f"the format {self.format} has whole images",
            "leave out --crop, or use --format captions",
        )
        yield (
            self.has_boxes and self.balance is not None,
            f"the format {self.format} has whole images with faces of several classes, which "
            "cannot be balanced",
            "leave out --balance and use class weights of the trainer, or use --format imagefolder",
        )
        # Balancing.
        yield (
            self.no_split and self.balance is not None,
            "only train is balanced, which needs splits",
            "leave out --no-split, or --balance",
        )
        yield (
            self.target is not None and self.balance is None,
            "--target is the size of balanced classes",
            "add --balance copies, --balance augment or --balance down",
        )
        # Links.
        yield (
            self.link and self.must_reencode(whole_images=True),
            "only unchanged images can be linked",
            "leave out --link, or --size, --grayscale and --file",
        )
        yield (
            self.link and self.is_sharded,
            f"the format {self.format} packs images, which cannot be linked",
            "leave out --link, or use --format imagefolder",
        )

    @property
    def form(self) -> ExportFormat:
        """The definition of the format, with the caption template applied."""
        form = get_format(self.format)
        if self.caption is None:
            return form
        return replace(form, write=partial(write_captions, template=self.caption))

    @property
    def marker_facts(self) -> dict[str, str]:
        """The format, and the package that provides it, as markers and manifests store them."""
        package = get_plugin_package("exports", self.format)
        return {"format": self.format} | ({"plugin": package} if package else {})

    @property
    def format_label(self) -> str:
        """The format, and the package that provides it, as text."""
        return " of ".join(self.marker_facts.values())

    @property
    def is_sharded(self) -> bool:
        """Whether images are packed into shards instead of a tree."""
        return self.form.layout == "shards"

    @property
    def has_boxes(self) -> bool:
        """Whether it has whole images with the boxes of their samples."""
        return self.form.layout == "whole"

    @property
    def is_clips(self) -> bool:
        """Whether it has a clip of each track instead of images."""
        return self.form.layout == "clips"

    @property
    def noun(self) -> str:
        """What its files are called in texts."""
        return "clip" if self.is_clips else "image"

    @property
    def target_size(self) -> tuple[int, int] | None:
        """Width and height of all images in pixels; None to keep them."""
        return parse_size(self.size) if self.size else None

    def must_reencode(self, *, whole_images: bool) -> bool:
        """Return whether whole images, or crops, are decoded and encoded again."""
        # Half bodies are cropped from the original.
        if not whole_images and self.crop != "face":
            return True
        # Crops are JPEGs already.
        encodings = ("jpeg", "png") if whole_images else ("png",)
        return self.size is not None or self.grayscale or self.file in encodings

    def is_augmented(self, copy: int) -> bool:
        """Return whether the copy with this number (0: the image itself) is augmented."""
        return copy > 0 and self.balance == "augment"

    @property
    def pixel_settings(self) -> str:
        """The options that determine the bytes of an image, as text."""
        settings: list[object] = [self.size or "as it is", self.fit]
        settings += [self.grayscale, self.file, self.has_boxes]
        if self.balance == "augment":
            settings += [self.augmentation, self.seed]
        return " ".join(map(str, settings))


def parse_size(text: str) -> tuple[int, int]:
    """Parse '120x120' or '300' as width and height in pixels. Raises `UsageError`."""
    # One number is both sides.
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip().lower())
    width = int(match[1]) if match else 0
    height = int(match[2]) if match and match[2] else width
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise UsageError(f"{text!r} is not a size", "for example: 120x120")
    return width, height

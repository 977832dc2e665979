"""What a person may choose of an export."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Annotated, ClassVar, Literal, get_args

from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.files.shards import SHARD_SIZE_HELP, ShardSize, checked_shard_size
from gleanset.plugins import made_by, plugin_words
from gleanset.request import Request
from labeler.export.formats import FORMS, format_named
from labeler.export.formats.base import ExportFormat
from labeler.export.formats.captions import FIELDS, TEMPLATE, checked_template, write_captions

Names = Literal["origin", "prefix-count"]
Fit = Literal["stretch", "crop", "pad"]
File = Literal["readable", "original", "jpeg", "png"]
SHARDED = tuple(name for name, form in FORMS.items() if form.pictures == "shards")
BOXED = tuple(name for name, form in FORMS.items() if form.pictures == "whole")
"""Whole pictures with boxes; all other formats have a picture for each sample."""
CAPTIONED = ("captions", "captions-whole")
UNSPLIT = tuple(name for name, form in FORMS.items() if form.may_have_no_split)
SHARD_SIZE = "1GB"
"""About the size of a shard; the authors of WebDataset advise 100 MB to 10 GB."""
NAMES: tuple[Names, ...] = get_args(Names)


def _checked_format(name: str) -> str:
    format_named(name)
    return name


def checked_size(text: str) -> str:
    """Return a size as it is kept: 120x120. Raises `UsageError`."""
    return "x".join(map(str, parse_size(text) or ()))


ALL = "all"
"""The one part of an export without splits."""


class ExportOptions(Request, frozen=True, kw_only=True):
    """How to write an export: the options of `labeler export`, and of `[export]` in a recipe."""

    COMMAND: ClassVar[str] = "labeler export"

    format: Annotated[
        str,
        Param(
            "; ".join(f"{name}: {form.about}" for name, form in FORMS.items()) + ".",
            metavar="FORMAT",
            show_default=True,
            parse=_checked_format,
            more=partial(plugin_words, "exports", FORMS),
        ),
    ] = "imagefolder"
    names: Annotated[
        Names, Param("Files named as they came, or cat_0001.jpg.", show_default=True)
    ] = "origin"
    size: Annotated[
        str | None,
        Param(
            "Bring every picture to this size, such as 120x120.", metavar="WxH", parse=checked_size
        ),
    ] = None
    fit: Annotated[
        Fit, Param("How a picture of another shape comes to the size.", show_default=True)
    ] = "stretch"
    grayscale: Annotated[bool, Param("Without colour.")] = False
    file: Annotated[
        File,
        Param(
            "readable: whole pictures byte for byte, but what few readers open (HEIC, AVIF, JPEG "
            "XL, GIF) written anew; original: those, too, byte for byte; jpeg, png: all written "
            "anew.",
            show_default=True,
        ),
    ] = "readable"
    licences: Annotated[
        tuple[str, ...],
        Param(
            "Only pictures with a licence like this, such as 'cc-by*'.",
            metavar="PATTERN",
            option="--licence",
        ),
    ] = ()
    with_reports: Annotated[
        bool, Param("Also export images that users of the page sent with a report.")
    ] = False
    strip_metadata: Annotated[
        bool, Param("Take place, camera and comments out of whole pictures; no pixel changes.")
    ] = False
    link: Annotated[
        bool,
        Param(
            "Link whole pictures to those of the dataset, which takes no space; nobody can write "
            "to them then."
        ),
    ] = False
    no_split: Annotated[
        bool,
        Param(
            "Of imagefolder, csv and captions: all that is labelled, with a split or without, in "
            "folders without train|val|test above them."
        ),
    ] = False
    caption: Annotated[
        str | None,
        Param(
            f"Of captions: the text of a picture, by default '{TEMPLATE}'; also "
            f"{', '.join(f'{{{name}}}' for name in FIELDS[2:])}.",
            metavar="TEMPLATE",
            parse=checked_template,
        ),
    ] = None
    undecided: Annotated[
        bool,
        Param("Of formats with boxes: also pictures with a face that nobody has decided on."),
    ] = False
    shard_size: Annotated[
        str | None,
        Param(
            f"{SHARD_SIZE_HELP} Default: {SHARD_SIZE}.",
            metavar="SIZE|N",
            parse=checked_shard_size,
        ),
    ] = None

    def __post_init__(self) -> None:
        """Check what does not go together. Raises `UsageError`."""
        super().__post_init__()
        for hinders, what, fix in self._contradictions():
            if hinders:
                raise UsageError(what, fix)

    def _contradictions(self) -> Iterator[tuple[object, str, str]]:
        """Yield what cannot be asked for together: whether it was, why not, and the fix."""
        here, sharded, boxed = f"in the format {self.format}", self.sharded, self.boxed
        yield (
            not sharded and self.shard_size,
            f"an export {here} has no shards",
            f"leave the size of shards out, or use --format {' or '.join(SHARDED)}",
        )
        yield (
            self.no_split and not self.form.may_have_no_split,
            f"an export {here} is read by its splits",
            f"leave --no-split out, or use --format {' or '.join(UNSPLIT)}",
        )
        yield (
            self.caption is not None and self.format not in CAPTIONED,
            f"an export {here} has no captions",
            f"leave --caption out, or use --format {' or '.join(CAPTIONED)}",
        )
        yield (
            boxed and self.size is not None,
            f"a {self.format} export keeps the sizes of its pictures, because boxes refer to them",
            "leave --size out, or use --format imagefolder",
        )
        yield (
            self.undecided and not boxed,
            f"an export {here} has no boxes, so none can lack",
            f"leave --undecided out, or use --format {' or '.join(BOXED)}",
        )
        yield (
            self.file == "original" and (self.strip_metadata or self.size or self.grayscale),
            "original files keep every byte, and so their size, colours and metadata",
            "leave --file original out, or --size, --grayscale and --strip-metadata",
        )
        yield (
            self.link and (self.strip_metadata or self.remakes(whole=True)),
            "only pictures that leave unchanged can be links",
            "leave --link out, or --size, --grayscale, --file and --strip-metadata",
        )
        yield (
            self.link and sharded,
            f"{here} pictures are packed, and cannot be links",
            "leave --link out, or use --format imagefolder",
        )
        yield (
            self.names != "origin" and (boxed or sharded),
            f"{here} pictures "
            + ("are named by their keys" if sharded else "may show several classes"),
            "leave --names out, or use --format imagefolder",
        )

    @property
    def form(self) -> ExportFormat:
        """The format by what it writes, and not by its name."""
        form = format_named(self.format)
        if self.format not in CAPTIONED:
            return form
        return replace(form, write=partial(write_captions, template=self.template))

    @property
    def template(self) -> str:
        """What captions are made of."""
        return TEMPLATE if self.caption is None else self.caption

    @property
    def recorded(self) -> dict[str, str]:
        """What an export says of itself: its format, and the package that this came with."""
        package = made_by("exports", self.format)
        return {"format": self.format} | ({"plugin": package} if package else {})

    @property
    def made_as(self) -> str:
        """The same in words."""
        return " of ".join(self.recorded.values())

    @property
    def sharded(self) -> bool:
        """Whether pictures are packed into shards instead of a tree."""
        return self.form.pictures == "shards"

    @property
    def boxed(self) -> bool:
        """Whether pictures are whole ones with the boxes of their samples."""
        return self.form.pictures == "whole"

    @property
    def size_of_shard(self) -> ShardSize:
        """How large a shard becomes at most."""
        return ShardSize.parse(self.shard_size or SHARD_SIZE)

    @property
    def sides(self) -> tuple[int, int] | None:
        """Width and height of every picture; None for as it is."""
        return parse_size(self.size)

    @property
    def balances(self) -> bool:
        """Whether a balance of train shows: boxes of one picture cannot be copied apart."""
        return not (self.boxed or self.no_split)

    def remakes(self, *, whole: bool) -> bool:
        """Return whether a whole picture, or a cut one, is to be decoded and written anew."""
        wanted = ("jpeg", "png") if whole else ("png",)
        return self.size is not None or self.grayscale or self.file in wanted

    @property
    def pixels(self) -> str:
        """What decides on the bytes of a picture, in one spelling."""
        flags = (self.grayscale, self.file, self.strip_metadata, self.boxed)
        return " ".join((self.size or "as it is", self.fit, *map(str, flags)))


def parse_size(text: str | None) -> tuple[int, int] | None:
    """'120x120' or '300' as width and height in pixels. Raises `UsageError`."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip().lower())
    sides = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (0, 0)
    if not all(1 <= side <= 10_000 for side in sides):
        raise UsageError(f"{text!r} is not a size", "write for instance 120x120")
    return sides

"""A recipe: a TOML file that describes a whole dataset from sources to training preset."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec

from gleanset.config import TomlTable, read_toml
from gleanset.errors import RecipeError, UsageError
from gleanset.settings import CropSettings, SplitSettings, WebSettings, WorkSettings
from harvest.list_columns import ColumnRole
from harvest.robots_words import RobotsWord
from harvest.video.options import FramesOptions
from labeler.balance import Method
from labeler.export.options import (
    ExportOptions,
    File,
    Fit,
    Format,
    Names,
    parse_bytes,
    parse_size,
)
from pipeline.shipped import bundled

Count = Annotated[int, msgspec.Meta(ge=1)]
# What a host may say to robots in vain, as --ignore-robots (docs/legal.md).
Plain = str | int | float | bool
OWN_PLACES = {"images", "crops", "cache", "runs", "damaged", "dataset.toml", "catalog.sqlite"}
"""What a dataset folder holds besides exports."""
BLANK = "CHANGE ME"
"""How a text begins that the person has to replace; a recipe with one is not carried out."""


class FolderSource(TomlTable, frozen=True):
    """`[[folder]]`: pictures that are on disk, in a folder or an archive."""

    path: str
    hints_from_folders: bool = False
    class_level: Count | None = None
    label: str | None = None
    author: str | None = None
    licence: str | None = None
    page: str | None = None
    group_by: str | None = None


class NetSource(TomlTable, frozen=True):
    """What all that is downloaded has in common: the manners, as on the command line."""

    ignore_robots: list[RobotsWord] = msgspec.field(default_factory=list)
    sleep: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0


class UrlsSource(NetSource, frozen=True, kw_only=True):
    """`[[urls]]`: a list of URLs; `columns` names those of a table."""

    file: str
    label: str | None = None
    columns: dict[ColumnRole, str] = msgspec.field(default_factory=dict)
    limit: Count | None = None


class KeywordSource(NetSource, frozen=True):
    """`[[keyword]]`: what sites find, with the options of `harvest keyword`.

    A keyword may be a pair, ["words to search", "label"]; without that and without `label` each
    is its own hint. `source` may be several; `options` are then tables: { bing.size = "large" }.
    """

    keywords: list[str | tuple[str, str]] = msgspec.field(default_factory=list)
    input: str | None = None
    source: str | list[str] = "bing"
    limit: Count | None = None
    range: str | None = None
    filter: str | None = None
    label: str | None = None
    options: dict[str, str | int | dict[str, str | int]] = msgspec.field(default_factory=dict)

    @property
    def sources(self) -> list[str]:
        """The sites, each once."""
        return list(dict.fromkeys([self.source] if isinstance(self.source, str) else self.source))

    def settings(self) -> dict[str, dict[str, str]]:
        """Return the options of each source. Raises `UsageError` for those of no source asked."""
        by_site: dict[str, dict[str, str]] = {site: {} for site in self.sources}
        for name, value in self.options.items():
            if isinstance(value, dict):
                self._asked(by_site, name).update({k: str(v) for k, v in value.items()})
            elif len(by_site) == 1:
                by_site[self.sources[0]][name] = str(value)
            else:
                raise UsageError(
                    f"options.{name} of [[keyword]]: of which source?",
                    f'write options = {{ {self.sources[0]}.{name} = "{value}" }}',
                )
        return by_site

    def _asked(self, by_site: dict[str, dict[str, str]], site: str) -> dict[str, str]:
        if site not in by_site:
            raise UsageError(
                f"options.{site} of [[keyword]]: {site} is not asked, only {', '.join(by_site)}",
                f'leave it out, or write source = ["{site}"]',
            )
        return by_site[site]


class FramesSource(FramesOptions, frozen=True, kw_only=True):
    """`[[frames]]`: files, folders, patterns and addresses of videos, and what to sample.

    All options of `harvest frames` under their names there, `start` and `end` for `--from`
    and `--to`.
    """

    videos: list[str]
    label: str | None = None

    def options(self) -> FramesOptions:
        """Return what to sample, without the videos."""
        names = FramesOptions.__struct_fields__
        return FramesOptions(**{name: getattr(self, name) for name in names})


class TrainPart(TomlTable, frozen=True):
    """`[train]`: a preset and other values for some of its settings."""

    preset: str = "simple"
    options: dict[str, Plain | list[Plain]] = msgspec.field(default_factory=dict)

    def texts(self) -> dict[str, str]:
        """Return the options as on a command line."""
        return {key: _text(value) for key, value in self.options.items()}


class BalancePart(TomlTable, frozen=True):
    """`[balance]`: classes of train that count alike, as `labeler balance`."""

    method: Method = "weights"
    target: Count | None = None
    seed: int = 0


class ExportPart(TomlTable, frozen=True):
    """`[export]`: for other tools, below the dataset folder; the options of `labeler export`."""

    to: str = "exports/imagefolder"
    format: Format = "imagefolder"
    names: Names = "origin"
    size: str | None = None
    fit: Fit = "stretch"
    grayscale: bool = False
    file: File = "readable"
    strip_metadata: bool = False
    link: bool = False
    undecided: bool = False
    licences: tuple[str, ...] = ()
    shard_size: str | None = None
    shard_pictures: Count | None = None

    def target(self, root: Path) -> Path:
        """Return where to export in the dataset at `root`.

        Raises `UsageError` for any other place.
        """
        place = Path(os.path.normpath(self.to))
        if place.is_absolute() or place.drive or place.parts[:1] in (("..",), ()):
            raise UsageError(
                f"export.to = {self.to!r} leads out of the dataset",
                'name a folder in it, such as to = "exports/imagefolder"; for another place '
                "leave [export] out and run: labeler export OUT",
            )
        if place.parts[0] in OWN_PLACES or (root / place.parts[0]).is_file():
            raise UsageError(
                f"export.to = {self.to!r}: the dataset keeps its own files there",
                'write to = "exports/imagefolder"',
            )
        return root / place

    def options(self) -> ExportOptions:
        """As the exporter takes them. Raises `UsageError`."""
        told = {name: getattr(self, name) for name in self.__struct_fields__ if name != "to"}
        told["size"] = parse_size(self.size)
        told["shard_size"] = parse_bytes(self.shard_size)
        return ExportOptions(**told)


class Recipe(TomlTable, frozen=True):
    """A whole recipe. Parts that are absent are not carried out, but for `crop`."""

    title: str
    folder: list[FolderSource] = msgspec.field(default_factory=list)
    urls: list[UrlsSource] = msgspec.field(default_factory=list)
    keyword: list[KeywordSource] = msgspec.field(default_factory=list)
    frames: list[FramesSource] = msgspec.field(default_factory=list)
    crop: CropSettings = CropSettings()
    work: WorkSettings | None = None
    dedup: bool = False
    accept_hints: bool = True
    split: SplitSettings | None = None
    balance: BalancePart | None = None
    export: ExportPart | None = None
    train: TrainPart | None = None
    web: WebSettings | None = None


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises `RecipeError` naming key, line and what was meant, or what is still to be filled in.
    """
    recipe = read_toml(path, Recipe)
    _check_filled_in(path)
    return recipe


def _check_filled_in(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = [line.partition("#")[0] for line in text.splitlines()]
    blanks = [one for one in _texts(tomllib.loads(text)) if one.startswith(BLANK)]
    if blanks:
        at = next(n for n, line in enumerate(lines, start=1) if BLANK in line)
        told = "; ".join(dict.fromkeys(blanks))
        raise RecipeError(f"{path}, line {at}: to be filled in by you: {told!r}", _mend(path))


def _mend(path: Path) -> str:
    if path.resolve().parent != bundled() / "recipes":
        return "write your own there (the recipe's first lines say what), and run it again"
    # What comes with the program is shared, and goes with the next version.
    return f"make a copy (gleanset recipes {path.stem} > my-{path.stem}.toml) and fill that in"


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts of a TOML value, in its order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _text(value: Plain | list[Plain]) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)

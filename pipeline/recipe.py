"""A recipe: a TOML file that describes a whole dataset from sources to training preset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from gleanset.config import Table, read_toml
from gleanset.settings import CropSettings, SplitSettings
from harvest.video.options import Wish
from labeler.balance import Method
from labeler.export.options import Fit, Format, Names, Options, parse_size

Count = Annotated[int, msgspec.Meta(ge=1)]
# What a host may say to robots in vain, as --ignore-robots (docs/legal.md).
Robots = Literal["robots.txt", "noai", "noimageai", "noindex", "noimageindex", "all"]


class FolderSource(Table, frozen=True):
    """`[[folder]]`: pictures that are on disk. Paths are relative to the recipe."""

    path: str
    hints_from_folders: bool = False
    label: str | None = None


class UrlsSource(Table, frozen=True):
    """`[[urls]]`: a list of URLs."""

    file: str
    label: str | None = None
    limit: Count | None = None
    ignore_robots: list[Robots] = msgspec.field(default_factory=list)


class KeywordSource(Table, frozen=True):
    """`[[keyword]]`: what a site finds. Without `label` each keyword is its own hint."""

    keywords: list[str]
    source: str = "bing"
    limit: Count = 100
    label: str | None = None
    options: dict[str, str] = msgspec.field(default_factory=dict)
    ignore_robots: list[Robots] = msgspec.field(default_factory=list)


class FramesSource(Wish, frozen=True, kw_only=True):
    """`[[frames]]`: files, folders, patterns and addresses of videos, and what to sample.

    All options of `harvest frames` under their names there, `start` and `end` for `--from`
    and `--to`.
    """

    videos: list[str]
    label: str | None = None


class TrainPart(Table, frozen=True):
    """`[train]`: a preset and other values for some of its settings."""

    preset: str = "simple"
    options: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)

    def texts(self) -> dict[str, str]:
        """The options as on a command line."""
        return {key: _text(value) for key, value in self.options.items()}


class BalancePart(Table, frozen=True):
    """`[balance]`: classes of train that count alike, as `labeler balance`."""

    method: Method = "weights"
    target: Count | None = None
    seed: int = 0


class ExportPart(Table, frozen=True):
    """`[export]`: for other tools, below the dataset folder; the options of `labeler export`."""

    to: str = "exports/imagefolder"
    format: Format = "imagefolder"
    names: Names = "origin"
    size: str | None = None
    fit: Fit = "stretch"
    grayscale: bool = False
    file: Literal["jpeg", "png"] = "jpeg"
    licences: tuple[str, ...] = ()

    def options(self) -> Options:
        """As the exporter takes them. Raises `UsageError`."""
        return Options(
            self.format, self.names, parse_size(self.size), self.fit, self.grayscale, self.file,
            licences=self.licences,
        )  # fmt: skip


class Recipe(Table, frozen=True):
    """A whole recipe. Parts that are absent are not carried out, but for `crop`."""

    title: str
    folder: list[FolderSource] = msgspec.field(default_factory=list)
    urls: list[UrlsSource] = msgspec.field(default_factory=list)
    keyword: list[KeywordSource] = msgspec.field(default_factory=list)
    frames: list[FramesSource] = msgspec.field(default_factory=list)
    crop: CropSettings = CropSettings()
    dedup: bool = False
    accept_hints: bool = True
    split: SplitSettings | None = None
    balance: BalancePart | None = None
    export: ExportPart | None = None
    train: TrainPart | None = None


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe. Raises `RecipeError` naming key, line and what was meant."""
    return read_toml(path, Recipe)


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

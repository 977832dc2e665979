"""A recipe: a TOML file that describes a whole dataset from sources to training preset."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from baseline.request import TrainRequest
from gleanset.config import TomlTable, did_you_mean, read_toml
from gleanset.errors import InputUnusable, RecipeError, UsageError
from gleanset.files.names import leads_out
from gleanset.installation import restore_command
from gleanset.settings import CropSettings, SplitSettings, WebSettings, WorkSettings
from harvest.frames_request import FramesRequest
from harvest.request import FolderRequest, KeywordRequest, UrlsRequest
from labeler.balance import BalanceSettings
from labeler.export.options import ExportOptions
from pipeline.episodes.request import EpisodesRequest

OWN_PLACES = {"images", "crops", "cache", "runs", "damaged", "dataset.toml", "catalog.sqlite"}
"""What a dataset folder holds besides exports."""
BLANK = "CHANGE ME"
"""How a text begins that the person has to replace; a recipe with one is not carried out."""


class ExportPart(ExportOptions, frozen=True, kw_only=True):
    """`[export]`: for other tools, below the dataset folder; the options of `labeler export`."""

    to: str = "exports/imagefolder"

    def target(self, root: Path) -> Path:
        """Return where to export in the dataset at `root`.

        Raises `UsageError` for any other place.
        """
        place = Path(os.path.normpath(self.to))
        if leads_out(str(place)) or not place.parts:
            raise UsageError(
                f"export.to = {self.to!r} leads out of the dataset",
                'name a folder in it, such as to = "exports/imagefolder"; for another place '
                "leave [export] out and run: labeler export OUT",
            )
        if place.parts[0].casefold() in OWN_PLACES or (root / place.parts[0]).is_file():
            raise UsageError(
                f"export.to = {self.to!r}: the dataset keeps its own files there",
                'write to = "exports/imagefolder"',
            )
        return root / place

    def options(self) -> ExportOptions:
        """Return the same, as the exporter takes them."""
        names = ExportOptions.__struct_fields__
        return ExportOptions(**{name: getattr(self, name) for name in names})


class Recipe(TomlTable, frozen=True):
    """A whole recipe. Parts that are absent are not carried out, but for `crop`."""

    title: str
    folder: list[FolderRequest] = msgspec.field(default_factory=list)
    urls: list[UrlsRequest] = msgspec.field(default_factory=list)
    keyword: list[KeywordRequest] = msgspec.field(default_factory=list)
    frames: list[FramesRequest] = msgspec.field(default_factory=list)
    episodes: list[EpisodesRequest] = msgspec.field(default_factory=list)
    crop: CropSettings = CropSettings()
    work: WorkSettings | None = None
    dedup: bool = False
    accept_hints: bool = True
    split: SplitSettings | None = None
    balance: BalanceSettings | None = None
    export: ExportPart | None = None
    train: TrainRequest | None = None
    web: WebSettings | None = None


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises `RecipeError` naming key, line and what was meant, or what is still to be filled in.
    """
    recipe = read_toml(path, Recipe)
    _check_filled_in(path)
    return recipe


def _check_filled_in(path: Path) -> None:
    text = path.read_text(encoding="utf-8-sig")
    lines = [line.partition("#")[0] for line in text.splitlines()]
    blanks = [one for one in _texts(tomllib.loads(text)) if one.startswith(BLANK)]
    if blanks:
        at = next(n for n, line in enumerate(lines, start=1) if BLANK in line)
        told = "; ".join(dict.fromkeys(blanks))
        raise RecipeError(f"{path}, line {at}: to be filled in by you: {told!r}", _fix(path))


def _fix(path: Path) -> str:
    if path.resolve().parent != bundled() / "recipes":
        return "write your own there (the recipe's first lines say what), and run it again"
    # What comes with the program is shared, and goes with the next version.
    return f"make a copy (gleanset recipes {path.stem} > my-{path.stem}.toml) and fill that in"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def bundled() -> Path:
    """Return the `datasets` folder: beside the rooms in a checkout, inside `pipeline` in a
    wheel.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "datasets", here.parent / "datasets"):
        if (folder / "sample").is_dir():
            return folder
    raise InputUnusable(
        "the bundled sample is missing from this installation",
        restore_command("datasets"),
    )


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with Gleanset, by name."""
    return {path.stem: path for path in sorted((bundled() / "recipes").glob("*.toml"))}


def shipped_titles() -> dict[str, str]:
    """Return the titles of these recipes, by name."""
    return {
        name: tomllib.loads(path.read_text(encoding="utf-8"))["title"]
        for name, path in shipped_recipes().items()
    }


def shipped_recipe(name: str) -> Path:
    """One of them. Raises `UsageError` with the names there are."""
    known = shipped_recipes()
    if name not in known:
        guess = did_you_mean(name, known, "did you mean {}? ")
        raise UsageError(f"no recipe is called {name!r}", f"{guess}there are: {', '.join(known)}")
    return known[name]


def recipe_at(named: Path) -> Path:
    """Return a recipe by its path, or by the name of one that comes with Gleanset."""
    is_name = named.name == str(named) and not named.suffix
    return shipped_recipe(named.name) if is_name and not named.exists() else named

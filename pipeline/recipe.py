"""Recipes: TOML files that describe a dataset from its sources to its training."""

import os
import re
import tomllib
from pathlib import Path

from baseline.request import TrainRequest
from gleanset.command_result import CommandResult
from gleanset.config import TomlTable, did_you_mean, read_toml
from gleanset.errors import RecipeError, UsageError
from gleanset.files.names import escapes_folder
from gleanset.installation import bundled_data
from gleanset.settings import CropSettings, SplitSettings, WebSettings
from harvest.request import FolderRequest, FramesRequest, KeywordRequest, UrlsRequest
from labeler.export.options import ExportOptions
from pipeline.episodes.request import EpisodesRequest

RESERVED_NAMES = {
    "images",
    "crops",
    "cache",
    "runs",
    "damaged",
    "snapshots",
    "web",
    "dataset.toml",
    "catalog.sqlite",
}
"""Files and folders in a dataset that an export must not use."""
_STRING_OR_COMMENT = re.compile(r"""(["'])(.*?)(?:\1|$)|#.*""")
"""A string of TOML, as far as it is on one line (its text is the second group), or a comment."""
_PLACEHOLDER = "CHANGE ME"
"""Texts that begin so have to be replaced before the recipe can run."""


class ExportPart(ExportOptions, frozen=True, kw_only=True):
    """`[export]`: options of `labeler export`, and a folder inside the dataset."""

    to: str = ""
    """By default `exports/` and the format."""

    def folder_in(self, root: Path) -> Path:
        """Return the folder to export to in the dataset at `root`.

        Raises `UsageError` for a folder outside it or in use by the dataset.
        """
        folder = Path(os.path.normpath(self.to or f"exports/{self.format}"))
        if escapes_folder(str(folder)) or not folder.parts:
            raise UsageError(
                f"export.to is outside the dataset: {self.to!r}",
                'use a folder inside, such as to = "exports/imagefolder"; to export elsewhere, '
                "remove [export] and run: labeler export OUT",
            )
        top = folder.parts[0]
        if top.casefold() in RESERVED_NAMES or (root / top).is_file():
            raise UsageError(
                f"export.to is used by the dataset: {self.to!r}",
                'use to = "exports/imagefolder"',
            )

        return root / folder

    def options(self) -> ExportOptions:
        """Return the options without `to`."""
        return ExportOptions(
            **{name: getattr(self, name) for name in ExportOptions.__struct_fields__}
        )


Source = FolderRequest | UrlsRequest | KeywordRequest | FramesRequest | EpisodesRequest


class Recipe(TomlTable, frozen=True):
    """A whole recipe; stages without a table are skipped, except cropping."""

    title: str
    folder: list[FolderRequest] = []
    urls: list[UrlsRequest] = []
    keyword: list[KeywordRequest] = []
    frames: list[FramesRequest] = []
    episodes: list[EpisodesRequest] = []
    crop: CropSettings | None = None
    dedup: bool = False
    accept_hints: bool = True
    split: SplitSettings | None = None
    export: ExportPart | None = None
    train: TrainRequest | None = None
    web: WebSettings | None = None

    @property
    def sources(self) -> tuple[Source, ...]:
        """The requests that collect images, in the order in which they run."""
        return (
            *self.folder,
            *self.urls,
            *self.keyword,
            *self.frames,
            *self.episodes,
        )


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises `RecipeError` with key and line, also for placeholders that are left.
    """
    recipe = read_toml(path, Recipe)
    _refuse_placeholders(path)
    return recipe


def _refuse_placeholders(path: Path) -> None:
    placeholders: dict[str, int] = {}  # with the line of the first occurrence
    for number, line in enumerate(
        path.read_text(encoding="utf-8-sig").splitlines(), start=1
    ):
        for _, text in _STRING_OR_COMMENT.findall(line):
            if text.startswith(_PLACEHOLDER):
                placeholders.setdefault(text, number)

    if not placeholders:
        return
    fix = "replace it (see the first lines of the recipe), and run the recipe again"
    # An upgrade would overwrite changes to a bundled file.
    if path.resolve().parent == bundled_data() / "recipes":
        fix = f"edit a copy: gleanset recipes {path.stem} > my-{path.stem}.toml"
    first_line = min(placeholders.values())
    raise RecipeError(
        f"{path}, line {first_line}: not filled in: {'; '.join(placeholders)!r}", fix
    )


class RecipeList(CommandResult):
    """The titles of the bundled recipes by name."""

    recipes: dict[str, str]

    def summary(self) -> dict[str, str]:
        """Return a line for each recipe, then what to do with one."""
        return self.recipes | {
            "show one": "gleanset recipes NAME",
            "next": "gleanset run NAME --into DIR",
        }


class RecipeText(CommandResult):
    """The text of a bundled recipe."""

    name: str
    recipe: str

    def lines(self) -> list[str]:
        """Return the text as it is, to be saved as a file."""
        return self.recipe.rstrip("\n").split("\n")


def list_bundled_recipes() -> dict[str, Path]:
    """Return the bundled recipes by name."""
    return {
        path.stem: path for path in sorted((bundled_data() / "recipes").glob("*.toml"))
    }


def read_bundled_titles() -> dict[str, str]:
    """Return the titles of the bundled recipes by name."""
    return {
        name: tomllib.loads(path.read_text(encoding="utf-8"))["title"]
        for name, path in list_bundled_recipes().items()
    }


def find_bundled_recipe(name: str) -> Path:
    """Return a bundled recipe. Raises `UsageError` for an unknown name."""
    recipes = list_bundled_recipes()
    if name not in recipes:
        guess = did_you_mean(name, recipes, "did you mean {}? ")
        raise UsageError(
            f"unknown recipe: {name!r}", f"{guess}use one of: {', '.join(recipes)}"
        )
    return recipes[name]


def find_recipe(path: Path) -> Path:
    """Return the path of a recipe file or a bundled recipe."""
    is_name = path.name == str(path) and not path.suffix
    if is_name and not path.exists():
        return find_bundled_recipe(path.name)
    return path

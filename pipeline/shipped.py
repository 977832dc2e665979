"""The recipes and the sample that come with Gleanset."""

from __future__ import annotations

import tomllib
from pathlib import Path

from gleanset.config import did_you_mean
from gleanset.errors import InputUnusable, UsageError
from gleanset.installation import restore_command


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

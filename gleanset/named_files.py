"""File names in summaries: the first few, and the command that lists all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from gleanset.dataset import Dataset
from gleanset.terminal import shown_name

FEW = 5
"""Number of files that are named."""


def few_files(lines: Sequence[str], see: str, number: int | None = None) -> dict[str, object]:
    """Return summary entries: the first lines, and where to `see` all."""
    return {"see": see, "files": first_lines(lines, number)}


def first_lines(lines: Sequence[str], number: int | None = None) -> list[str]:
    """Return the first lines, and one with the number of others."""
    more = (len(lines) if number is None else number) - len(lines[:FEW])
    return [*lines[:FEW], *([f"and {more} more"] if more else [])]


def for_dataset(dataset: Dataset, command: str) -> str:
    """Return a command with the option `-d` of a dataset."""
    return f"{command} {dataset.option}"


def rejections_of(dataset: Dataset, stage: str = "") -> str:
    """Return the command that lists rejections, of one stage or of all."""
    where = f" --where stage={stage}" if stage else ""
    return for_dataset(dataset, f"gleanset list rejections{where}")


def short_name(path: str) -> str:
    """Return a file name with its parent folder, safe for a terminal."""
    return shown_name("/".join(PurePath(path).parts[-2:]))


def found_at(dataset: Dataset, key: str) -> str:
    """Return the path or URL of a sample's image."""
    sample = dataset.samples.get(key)
    image = dataset.images.get(sample.image) if sample is not None else None
    origin = image.origins[0] if image is not None and image.origins else None
    return (origin.path or origin.url or origin.key) if origin is not None else "no file any more"

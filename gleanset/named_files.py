"""Files that a summary not only counts: the first few by name, and the command that shows all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from gleanset.dataset import Dataset
from gleanset.terminal import shown_name

FEW = 5
"""So many files are named."""


def few_files(lines: Sequence[str], see: str, number: int | None = None) -> dict[str, object]:
    """Return the first few of `number` files, and the command that shows all."""
    return {"see": see, "files": first_lines(lines, number)}


def first_lines(lines: Sequence[str], number: int | None = None) -> list[str]:
    """Return the first few lines, and how many more there are."""
    more = (len(lines) if number is None else number) - len(lines[:FEW])
    return [*lines[:FEW], *([f"and {more} more"] if more else [])]


def for_dataset(dataset: Dataset, command: str) -> str:
    """Return a command with the dataset that it is for."""
    return f"{command} {dataset.option}"


def rejections_of(dataset: Dataset, stage: str = "") -> str:
    """Return the command that lists what a stage rejected, or all of them."""
    where = f" --where stage={stage}" if stage else ""
    return for_dataset(dataset, f"gleanset list rejections{where}")


def short_name(path: str) -> str:
    """Return a file's name with the folder it lies in, safe for a terminal."""
    return shown_name("/".join(PurePath(path).parts[-2:]))


def found_at(dataset: Dataset, key: str) -> str:
    """Return the file or address that the picture of a sample came from."""
    sample = dataset.samples.get(key)
    image = dataset.images.get(sample.image) if sample is not None else None
    origin = image.origins[0] if image is not None and image.origins else None
    return (origin.path or origin.url or origin.key) if origin is not None else "no file any more"

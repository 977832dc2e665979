"""File names in summaries: the first few, and the command that lists all."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from gleanset.dataset import Dataset
from gleanset.html.words import clock
from gleanset.records import Origin
from gleanset.terminal import escape_name

MAX_LISTED = 5
"""Number of files that are named."""


def summarize_lines(
    lines: Sequence[str], see: str, number: int | None = None
) -> dict[str, object]:
    """Return summary entries: the first lines of `number`, and where to `see` all.

    `number` is that of all lines, if `lines` has only the first of them. Empty without lines.
    """
    return {"see": see, "files": shorten_list(lines, number)} if lines else {}


def shorten_list(lines: Sequence[str], number: int | None = None) -> list[str]:
    """Return the first lines, and one with the number of others (of `number` in all)."""
    total = len(lines) if number is None else number
    first = list(lines[:MAX_LISTED])
    if total > len(first):
        first.append(f"and {total - len(first)} more")
    return first


def preview_paths(paths: Sequence[str]) -> dict[str, list[str]]:
    """Return a heading and the first paths."""
    lines = [escape_name(path) for path in paths]
    if len(lines) <= MAX_LISTED:
        return {"paths": lines}
    return {"paths (--json lists all)": shorten_list(lines)}


def rejections_command(dataset: Dataset, stage: str = "") -> str:
    """Return the command that lists rejections, of one stage or of all."""
    condition = f" --where stage={stage}" if stage else ""
    return f"gleanset list rejections{condition} {dataset.option}"


def format_short_path(path: str) -> str:
    """Return a file name with its parent folder, safe for a terminal."""
    return escape_name("/".join(PurePath(path).parts[-2:]))


def format_origin(origin: Origin) -> str:
    """Return the short name of a file, or `ARCHIVE: NAME` for a file in an archive."""
    if origin.source != "archive":
        return format_short_path(origin.key)

    archive = escape_name(PurePath(origin.path or "").name)
    # The key is the hash of the archive, a colon, and the name in it.
    _, _, member = origin.key.partition(":")
    return f"{archive}: {format_short_path(member)}" if member else archive


class Location(NamedTuple):
    """Path or URL of an image, and the time of a frame in its video, in seconds."""

    path: str
    time: float | None = None

    def describe(self) -> str:
        """Return the path, with the time of a frame as a player shows it."""
        return self.path if self.time is None else f"{self.path} at {clock(self.time)}"


def locate(origin: Origin) -> Location:
    """Return the location that an origin names."""
    return Location(
        origin.path or origin.url or origin.key,
        origin.time,
    )


def find_location(dataset: Dataset, key: str) -> Location:
    """Return the location of a sample's image."""
    sample = dataset.samples.get(key)
    image = dataset.images.get(sample.image) if sample else None
    if not image or not image.origins:
        return Location("file is gone")
    return locate(image.origins[0])

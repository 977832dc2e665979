"""File names for people, made from where a picture came from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from gleanset.files.names import kept_name, safe_name
from gleanset.records import Origin, Sample


def original_name(origins: Iterable[Origin]) -> str:
    """Return the name a picture came with, or `<source>-<id>`, without its extension."""
    for origin in origins:
        if origin.video is not None and origin.time is not None:
            stem = PurePosixPath(origin.title or "video").stem
            return safe_name(f"{stem}-{origin.time:.3f}")
        if origin.source in ("folder", "archive", "import") and origin.title:
            return kept_name(PurePosixPath(origin.title).stem)
        return safe_name(f"{origin.source}-{_last_part(origin.key)}")
    return "image"


def original_path(origins: Iterable[Origin]) -> str:
    """Return the path of the file that a picture came from, as the first that has one says.

    It is below the folder that was named, or inside the archive; the name alone for what came
    before that was kept. Empty for what came from no file of its own.
    """
    of_files = [one for one in origins if one.path is not None and one.video is None]
    told = [one.original_path for one in of_files] + [one.title for one in of_files]
    return next(filter(None, told), "")


def _last_part(key: str) -> str:
    """Return what of an id names the picture: of a URL the file, without what is asked of it."""
    part = key.rsplit("/", 1)[-1]
    if "://" in key:
        part = re.split("[?#]", key)[0].rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"\.(jpe?g|png|gif|webp|bmp|tiff?|avif)$", "", part, flags=re.IGNORECASE)


def unique_names(
    wanted: Iterable[tuple[Sample, str, str]], extensions: Iterable[str], *, by_stem: bool = False
) -> Iterator[str]:
    """One path `folder/name.jpg` for each (sample, folder, name), no two alike.

    Names that differ only in case are alike: some file systems cannot tell them apart. With
    `by_stem` so are those that differ only in their ending. The later one gets the beginning of
    its sample's key.
    """
    taken: set[str] = set()
    for (sample, folder, name), extension in zip(wanted, extensions, strict=True):
        end = f".{extension}"
        path = f"{folder}/{name}"
        if _alike(path, end, by_stem) in taken:
            path = f"{folder}/{name}-{sample.key[:12]}"
        taken.add(_alike(path, end, by_stem))
        yield f"{path}{end}"


def _alike(path: str, end: str, by_stem: bool) -> str:
    return path.casefold() if by_stem else f"{path}{end}".casefold()

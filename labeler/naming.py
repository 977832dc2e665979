"""File names for people: made from where a picture came from, safe on every system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from gleanset.records import Origin, Sample

LONGEST = 80
# Names that Windows keeps for devices, whatever follows the dot.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def safe_name(text: str) -> str:
    """Any text as one component of a path: letters, digits, `-`, `_`, `.`; never empty."""
    tidy = unicodedata.normalize("NFC", text)
    tidy = "".join(c if c.isalnum() or c in "-_." else "_" for c in tidy)
    tidy = re.sub(r"_+", "_", tidy).strip("._ ")[:LONGEST].rstrip("._ ")
    return f"_{tidy}" if not tidy or _RESERVED.match(tidy) else tidy


def folder_name(label: str) -> str:
    """A class as a folder. Class names are checked when they are made, so it stays readable."""
    tidy = label.rstrip(". ")
    return f"_{tidy}" if _RESERVED.match(tidy) or not tidy else tidy


def original_name(origins: Iterable[Origin]) -> str:
    """The name a picture came with, or `<source>-<id>`, without its extension."""
    for origin in origins:
        if origin.video is not None and origin.time is not None:
            stem = PurePosixPath(origin.title or "video").stem
            return safe_name(f"{stem}-{origin.time:.3f}")
        if origin.source == "folder" and origin.title:
            return safe_name(PurePosixPath(origin.title).stem)
        return safe_name(f"{origin.source}-{origin.key.rsplit('/', 1)[-1]}")
    return "image"


def unique_names(wanted: Iterable[tuple[Sample, str, str]]) -> Iterator[str]:
    """One path `folder/name.jpg` for each (sample, folder, name), no two alike.

    Names that differ only in case are alike: some file systems cannot tell them apart. The
    later one gets the beginning of its sample's key.
    """
    taken: set[str] = set()
    for sample, folder, name in wanted:
        path = f"{folder}/{name}.jpg"
        if path.casefold() in taken:
            path = f"{folder}/{name}-{sample.key[:12]}.jpg"
        taken.add(path.casefold())
        yield path

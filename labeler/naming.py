"""File names for people: made from where a picture came from, safe on every system."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from gleanset.records import Origin, Sample

LONGEST = 80
# Bytes: file systems take 255 for one component, and numbers and a key are appended.
LONGEST_FILE, LONGEST_FOLDER = 200, 240
# Names that Windows keeps for devices, whatever follows the dot.
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def safe_name(text: str) -> str:
    """Any text as one component of a path: letters, digits, `-`, `_`, `.`; never empty."""
    tidy = unicodedata.normalize("NFC", text)
    tidy = "".join(c if _of_a_word(c) else "_" for c in tidy)
    tidy = _shortened(re.sub(r"_+", "_", tidy).strip("._ ")[:LONGEST], LONGEST_FILE)
    return f"_{tidy}" if not tidy or _RESERVED.match(tidy) else tidy


def _of_a_word(character: str) -> bool:
    # Marks are the vowels of many scripts.
    mark = unicodedata.category(character) in ("Mn", "Mc")
    return character.isalnum() or character in "-_." or mark


def _shortened(text: str, size: int) -> str:
    """At most `size` bytes of UTF-8, without dots and spaces at the end."""
    return text.encode()[:size].decode(errors="ignore").rstrip("._ ")


def folder_name(label: str) -> str:
    """Return a class as a folder.

    Class names are checked when they are made, so it stays readable.
    """
    tidy = label.rstrip(". ")
    if len(tidy.encode()) > LONGEST_FOLDER:
        tidy = _shortened(tidy, LONGEST_FOLDER)
    return f"_{tidy}" if _RESERVED.match(tidy) or not tidy else tidy


def folder_names(labels: Iterable[str]) -> dict[str, str]:
    """Return a folder of its own for each class, also where a file system ignores case.

    Where two would share one, the class that is not spelled like it, or else the later one,
    gets six digits that come from its name alone.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for label in sorted(set(labels), key=lambda label: (folder_name(label) != label, label)):
        folder = folder_name(label)
        if folder.casefold() in taken:
            folder = f"{folder}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"
        taken.add(folder.casefold())
        found[label] = folder
    return found


def original_name(origins: Iterable[Origin]) -> str:
    """Return the name a picture came with, or `<source>-<id>`, without its extension."""
    for origin in origins:
        if origin.video is not None and origin.time is not None:
            stem = PurePosixPath(origin.title or "video").stem
            return safe_name(f"{stem}-{origin.time:.3f}")
        if origin.source in ("folder", "archive") and origin.title:
            return safe_name(PurePosixPath(origin.title).stem)
        return safe_name(f"{origin.source}-{_last_part(origin.key)}")
    return "image"


def _last_part(key: str) -> str:
    """Return what of an id names the picture: of a URL the file, without what is asked of it."""
    part = key.rsplit("/", 1)[-1]
    if "://" in key:
        part = re.split("[?#]", key)[0].rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"\.(jpe?g|png|gif|webp|bmp|tiff?|avif)$", "", part, flags=re.IGNORECASE)


def unique_names(
    wanted: Iterable[tuple[Sample, str, str]], extensions: Iterable[str]
) -> Iterator[str]:
    """One path `folder/name.jpg` for each (sample, folder, name), no two alike.

    Names that differ only in case are alike: some file systems cannot tell them apart. The
    later one gets the beginning of its sample's key.
    """
    taken: set[str] = set()
    for (sample, folder, name), extension in zip(wanted, extensions, strict=True):
        path = f"{folder}/{name}.{extension}"
        if path.casefold() in taken:
            path = f"{folder}/{name}-{sample.key[:12]}.{extension}"
        taken.add(path.casefold())
        yield path

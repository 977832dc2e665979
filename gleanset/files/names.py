"""Names of files: their endings, in lower case, as text, and safe on every system.

What is inside decides what a file is.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path, PureWindowsPath

VIDEOS = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".qt",
        ".3gp",
        ".3g2",
        ".mj2",
        ".mkv",
        ".webm",
        ".avi",
        ".divx",
        ".mpg",
        ".mpeg",
        ".mpe",
        ".m2v",
        ".m2ts",
        ".flv",
        ".f4v",
        ".wmv",
        ".asf",
        ".ogv",
        ".ogm",
        ".rmvb",
        ".ivf",
        ".mxf",
        ".nut",
        ".h264",
        ".264",
        ".h265",
        ".265",
        ".hevc",
        ".obu",
        ".wtv",
    }
)
"""Containers that are hardly ever anything else: a broken one is still meant as a video."""

ARCHIVES = frozenset(
    {".zip", ".cbz", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".gz", ".bz2", ".xz"}
)
"""Of pictures in one file."""


def printable(path: Path) -> str:
    """Return a path as text; bytes that are not UTF-8 are spelled out, so that it can be stored."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def leads_out(name: str) -> bool:
    """Return whether a path from outside leaves its folder on any system."""
    path = PureWindowsPath(name)
    return bool(path.anchor) or ".." in path.parts or "\0" in name


LONGEST = 80
# Bytes: file systems take 255 for one component, and numbers and a key are appended.
LONGEST_FILE, LONGEST_FOLDER = 200, 240
# What no name may have on Windows.
_REFUSED = '<>:"/\\|?*'
# They join letters of several scripts, and emoji.
_JOINERS = "\u200c\u200d"
# Names that Windows keeps for devices, whatever follows the dot.
_RESERVED = re.compile(
    r"(con|conin\$|conout\$|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³]) *(\.|$)", re.IGNORECASE
)


def safe_name(text: str) -> str:
    """Any text as one component of a path: letters, digits, `-`, `_`, `.`; never empty."""
    tidy = unicodedata.normalize("NFC", text)
    tidy = "".join(c if _of_a_word(c) else "_" for c in tidy)
    tidy = _shortened(re.sub(r"_+", "_", tidy).strip("._ ")[:LONGEST], LONGEST_FILE)
    return f"_{tidy}" if not tidy or _RESERVED.match(tidy) else tidy


def kept_name(text: str) -> str:
    """Return the name of a file as it is, without what some system refuses in one; never empty.

    Spaces, brackets and emoji stay; separators, control characters and marks that turn the
    direction of writing do not, nor dots at its ends, nor what Windows keeps for devices.
    """
    tidy = "".join(map(_kept, unicodedata.normalize("NFC", text))).strip(". ")
    tidy = tidy.encode()[:LONGEST_FILE].decode(errors="ignore").rstrip(". ")
    return f"_{tidy}" if not tidy or _RESERVED.match(tidy) else tidy


def _kept(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == "Zs":
        return " "
    refused = character in _REFUSED or (kind[0] == "C" and character not in _JOINERS)
    return "_" if refused or kind in ("Zl", "Zp") else character


def _of_a_word(character: str) -> bool:
    # Marks are the vowels of many scripts.
    mark = unicodedata.category(character) in ("Mn", "Mc")
    return character.isalnum() or character in "-_." or mark


def _shortened(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore").rstrip("._ ")


def folder_name(label: str) -> str:
    """Return a class name as a folder name; it was checked when it was made."""
    tidy = label.rstrip(". ")
    if len(tidy.encode()) > LONGEST_FOLDER:
        tidy = _shortened(tidy, LONGEST_FOLDER)
    return f"_{tidy}" if _RESERVED.match(tidy) or not tidy else tidy


def folder_names(labels: Iterable[str], files: Iterable[str] = ()) -> dict[str, str]:
    """Return a folder of its own for each class, also where a file system ignores case.

    Where two would share one, the class that is not spelled like it, or else the later one,
    gets six digits that come from its name alone, and so does one called like one of `files`.
    """
    folders: dict[str, str] = {}
    taken = {name.casefold() for name in files}
    for label in sorted(set(labels), key=lambda label: (folder_name(label) != label, label)):
        folder = folder_name(label)
        if folder.casefold() in taken:
            folder = f"{folder}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"
        taken.add(folder.casefold())
        folders[label] = folder
    return folders


SPLIT_FOLDERS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
LEVEL_HELP = (
    "Which folder names the class, counted from the outermost, with train|val|test not counted."
)


def class_folder(
    folders: Sequence[str], level: int = 1, splits: Container[str] | None = None
) -> str | None:
    """Return the name of the folder on that level, the outermost by default; None if there is none.

    Level 0 is the innermost.

    `folders` lead from the folder that was named down to the image. A first one that is one of the
    `splits`, or without these called as a split is, does not count.
    """
    inner = below_split(folders, splits)
    return inner[level - 1] if inner and len(inner) >= level else None


def below_split(folders: Sequence[str], splits: Container[str] | None = None) -> Sequence[str]:
    """Return the folders without a first one that is a split, as in `class_folder`."""
    first = folders[0] if folders else ""
    is_split = first.lower() in SPLIT_FOLDERS if splits is None else first in splits
    return folders[1:] if is_split else folders


def split_folders(folders: Iterable[Sequence[str]]) -> frozenset[str]:
    """Return the outermost folders that are splits, given the folders that lead to each image.

    One alone beside other folders, such as train beside bus and car, is a class: unless its images
    are in folders of it, and those of the others are not.
    """
    holds_images: dict[str, bool] = {}
    for parts in folders:
        if parts:
            holds_images[parts[0]] = holds_images.get(parts[0], False) or len(parts) == 1
    splits = {name for name in holds_images if name.lower() in SPLIT_FOLDERS}
    others = [holds for name, holds in holds_images.items() if name not in splits]
    if len(splits) == 1 and others and (holds_images[min(splits)] or not any(others)):
        return frozenset()
    return frozenset(splits)


def visible_files(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder with its folders, which may be removed, and files; none hidden."""
    for here, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(here), folders, sorted(name for name in files if not name.startswith("."))

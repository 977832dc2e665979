"""Traversal of a folder: the files to read, and counts of ignored files by reason.

All importers use it, so that their summaries account for every file.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath

from gleanset.dataset import is_dataset
from gleanset.files.names import (
    ARCHIVE_EXTENSIONS,
    SPLIT_FOLDERS,
    VIDEO_EXTENSIONS,
    find_split_folders,
)

HIDDEN = "hidden"
SYSTEM = "thumbnails, recycle bins and system files"
LINKED_FOLDER = "linked folder: name the link itself to read it"
DATASET = "Gleanset dataset"
SOURCE_TABLE = "sources.csv"
VIDEO = "video: use harvest frames"
ARCHIVE = "archive: only read if named itself (harvest folder FILE)"
PACKED = "archive that is not zip or tar: unpack it first"
NOT_AN_IMAGE = "not an image"

# Folders created by Windows, macOS and network drives (Synology, QNAP), in lower case.
_SYSTEM_FOLDERS = frozenset(
    (
        *("@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot"),
        *(
            "$recycle.bin",
            "recycler",
            "system volume information",
            "lost+found",
            "__macosx",
        ),
        *("network trash folder", "temporary items"),
    )
)
_SYSTEM_FILES = frozenset(
    {
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "icon\r",
        "picasa.ini",
    }
)
_SYSTEM_SUFFIXES = ("@synoeastream", "@synoresource")
_PACKED_SUFFIXES = frozenset(
    {".rar", ".7z", ".lzh", ".lha", ".cab", ".ace", ".zst", ".cbr", ".cb7"}
)
# Text files next to images: recognized by name, so that they are not opened.
_TEXT_SUFFIXES = frozenset(
    {
        ".txt",
        ".json",
        ".jsonl",
        ".xml",
        ".xmp",
        ".csv",
        ".tsv",
        ".yaml",
        ".yml",
        ".md",
        ".html",
    }
)
# Images in unsupported formats: not ignored, but rejected by name.
_UNREAD_IMAGES = (
    *(
        ".svg",
        ".ico",
        ".psd",
        ".jp2",
        ".j2k",
        ".wmf",
        ".emf",
        ".eps",
        ".tga",
        ".exr",
        ".xcf",
    ),
    *(".pbm", ".pgm", ".ppm", ".pnm"),
)
_IMAGE_BEGINNINGS = (
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"GIF8",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"8BPS",
    b"\xff\x0a",
    b"\0\0\0\x0cJXL ",
    b"\0\0\0\x0cjP",
    b"\xff\x4f\xff\x51",
    b"FUJIFILMCCD-RAW",
)
_IMAGE_BRANDS = (
    b"avif",
    b"avis",
    b"heic",
    b"heix",
    b"heim",
    b"heis",
    b"mif1",
    b"msf1",
    b"crx ",
)
_AUDIO_BRANDS = (b"M4A ", b"M4B ", b"M4P ")
_VIDEO_BEGINNINGS = (b"\x1aE\xdf\xa3", b"FLV\x01", b"\0\0\x01\xba")
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)
_HEAD = 32


def walk_tree(
    root: Path,
    ignored: Counter[str],
    on_error: Callable[[OSError], object] | None = None,
    *,
    links: bool = False,
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder with the sorted names of its subfolders and files.

    Hidden and system files, linked folders (they may form a loop) and datasets are skipped; their
    files are counted in `ignored` by reason. With `links`, linked folders are followed, except
    those to a parent folder and those inside another linked folder. A subfolder that the caller
    removes from the list is not entered.
    """
    if is_dataset(root):
        ignored[DATASET] += count_files(root)
        return
    followed: list[Path] = []
    for name, folders, files in os.walk(root, onerror=on_error, followlinks=links):
        folder_path = Path(name)
        entered = []
        for folder in sorted(folders):
            path = folder_path / folder
            if path.is_symlink():
                if links and _may_follow(path, followed):
                    followed.append(path)
                    entered.append(folder)
                else:
                    ignored[LINKED_FOLDER] += 1
            elif reason := get_junk_reason(folder) or (
                DATASET if is_dataset(path) else None
            ):
                ignored[reason] += count_files(path)
            else:
                entered.append(folder)
        folders[:] = entered
        ignored.update(filter(None, map(get_junk_reason, files)))
        yield (
            folder_path,
            folders,
            [file for file in sorted(files) if not get_junk_reason(file)],
        )


def _may_follow(link: Path, followed: Iterable[Path]) -> bool:
    target = Path(os.path.realpath(link))
    leads_up = Path(os.path.realpath(link.parent)).is_relative_to(target)
    nested = any(link.is_relative_to(other) for other in followed)
    return not (leads_up or nested or get_junk_reason(link.name) or is_dataset(link))


def get_junk_reason(name: str) -> str | None:
    """Return why a name is always ignored; None if it is not."""
    lowered = name.lower()
    if lowered in _SYSTEM_FOLDERS | _SYSTEM_FILES or lowered.endswith(_SYSTEM_SUFFIXES):
        return SYSTEM
    return HIDDEN if name.startswith(".") else None


def count_files(folder: Path) -> int:
    """Count the files below a folder, each link as one."""
    return sum(
        len(files) + sum(Path(parent, name).is_symlink() for name in folders)
        for parent, folders, files in os.walk(folder)
    )


def get_ignored_reason(path: Path, name: str = "") -> str | None:
    """Return why a file (name or first bytes) is not an image."""
    if (reason := get_reason_by_name(name or path.name)) is not None:
        return reason
    # Imported here, because it loads Pillow.
    from gleanset.images.decode import IMAGE_EXTENSIONS

    if PurePath(name or path).suffix.lower() in (*IMAGE_EXTENSIONS, *_UNREAD_IMAGES):
        return None
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return get_reason_by_header(file.read(_HEAD))
    except OSError:
        return None


def get_reason_by_name(name: str) -> str | None:
    """Return why a file, by its extension, is not an image."""
    suffix = PurePath(name).suffix.lower()
    if suffix in VIDEO_EXTENSIONS:
        return VIDEO
    if suffix in ARCHIVE_EXTENSIONS:
        return ARCHIVE
    if suffix in _PACKED_SUFFIXES:
        return PACKED
    return NOT_AN_IMAGE if suffix in _TEXT_SUFFIXES else None


def get_reason_by_header(head: bytes) -> str | None:
    """Return why a file, by its first bytes, is not an image."""
    if head.startswith(_IMAGE_BEGINNINGS) or (head[:4], head[8:12]) == (
        b"RIFF",
        b"WEBP",
    ):
        return None
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return None
    if head[4:8] == b"ftyp" and head[8:12] not in _AUDIO_BRANDS:
        return None if head[8:12] in _IMAGE_BRANDS else VIDEO
    if head.startswith(_VIDEO_BEGINNINGS) or (head[:4], head[8:12]) == (
        b"RIFF",
        b"AVI ",
    ):
        return VIDEO
    return NOT_AN_IMAGE


def find_splits(root: Path) -> frozenset[str]:
    """Return the top-level folders that are splits, by the rules of `find_split_folders`."""
    tops = [entry.name for entry in os.scandir(root) if entry.is_dir()]
    candidates = frozenset(name for name in tops if name.lower() in SPLIT_FOLDERS)
    if not candidates:
        return candidates
    walk = walk_tree(root, Counter())
    holding = ((folder, files) for folder, _, files in walk if folder != root)
    return find_split_folders(
        folder.relative_to(root).parts
        for folder, files in holding
        if any(get_ignored_reason(folder / name) is None for name in files)
    )


def summarize_ignored(ignored: Counter[str]) -> dict[str, object]:
    """Return the summary entries for ignored files: their number and the reasons."""
    summary: dict[str, object] = {"ignored": ignored.total()}
    if reasons := {
        reason: number for reason, number in ignored.most_common() if number
    }:
        summary["ignored_reasons"] = reasons
    return summary

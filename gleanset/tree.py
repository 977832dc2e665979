"""Traversal of a folder: the files to read, and counts of ignored files by reason.

All importers use it, so that their summaries account for every file.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePath

from gleanset.dataset import is_dataset
from gleanset.files.names import (
    ARCHIVE_EXTENSIONS,
    SPLIT_FOLDERS,
    VIDEO_EXTENSIONS,
    find_split_folders,
)
from gleanset.images.plugin_formats import guess_kind

HIDDEN = "hidden"
SYSTEM = "thumbnails, recycle bins and system files"
LINKED_FOLDER = "linked folder: name the link itself to read it"
DATASET = "Gleanset dataset"
SOURCE_TABLE = "sources.csv"
VIDEO = "video: use harvest frames"
ARCHIVE = "archive: only read if named itself (harvest folder FILE)"
PACKED = "archive that is not zip or tar: unpack it first"
NOT_AN_IMAGE = "not an image"
TAGS = "tags, read with their image"
SHARED_TAGS = "tags, given to several images of the same name"
XMP = "XMP: names of faces are read with --people"

READ_OTHERWISE = (VIDEO, ARCHIVE, PACKED)
"""Reasons of files that are read in another way."""
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
# Created by Windows, macOS and network drives (Synology, QNAP), in lower case.
_SYSTEM_NAMES = frozenset(
    (
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "@tmp",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "lost+found",
        "__macosx",
        "network trash folder",
        "temporary items",
        # Files.
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "icon\r",
        "picasa.ini",
    )
)
_SYSTEM_SUFFIXES = ("@synoeastream", "@synoresource")
_PACKED_SUFFIXES = frozenset(
    {".rar", ".7z", ".lzh", ".lha", ".cab", ".ace", ".zst", ".cbr", ".cb7"}
)
_TEXTS = ".txt .caption .json .jsonl .xml .csv .tsv .yaml .yml .md .html"
_TEXT_SUFFIXES = frozenset(_TEXTS.split())
"""Text files next to images: recognized by name, so that they are not opened."""
_OTHER_IMAGES = (
    ".svg .ico .psd .jp2 .j2k .wmf .emf .eps .tga .exr .xcf .pbm .pgm .ppm .pnm"
)
_UNREAD_IMAGE_SUFFIXES = frozenset(_OTHER_IMAGES.split())
"""Images in unsupported formats: not ignored, but rejected by name."""
_HEAD = 32
_REASONS_BY_KIND = {"image": None, "video": VIDEO, None: NOT_AN_IMAGE}


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

    open_links: list[Path] = []
    for name, folders, files in os.walk(root, onerror=on_error, followlinks=links):
        parent = Path(name)
        # `os.walk` enters what is left in its list.
        folders[:] = [
            folder
            for folder in sorted(folders)
            if _enters(parent / folder, ignored, open_links if links else None)
        ]

        visible_files = []
        for file in sorted(files):
            reason = get_junk_reason(file)
            if not reason:
                visible_files.append(file)
            else:
                ignored[reason] += 1
        yield parent, folders, visible_files


def _enters(folder: Path, ignored: Counter[str], open_links: list[Path] | None) -> bool:
    """Return whether to enter a folder; count the files of others in `ignored`.

    A link that is entered is appended to `open_links`; None if links are not followed.
    """
    if folder.is_symlink():
        if open_links is not None and _may_follow(folder, open_links):
            open_links.append(folder)
            return True
        ignored[LINKED_FOLDER] += 1
        return False

    reason = get_junk_reason(folder.name)
    if not reason and is_dataset(folder):
        reason = DATASET
    if reason:
        ignored[reason] += count_files(folder)
    return not reason


def _may_follow(link: Path, open_links: Iterable[Path]) -> bool:
    """Return whether a link cannot form a loop, and leads to a folder that is not ignored."""
    target = Path(os.path.realpath(link))
    leads_up = Path(os.path.realpath(link.parent)).is_relative_to(target)
    is_nested = any(link.is_relative_to(other) for other in open_links)
    is_junk = get_junk_reason(link.name) is not None
    return not (leads_up or is_nested or is_junk or is_dataset(link))


def get_junk_reason(name: str) -> str | None:
    """Return why a name is always ignored; None if it is not."""
    lower = name.lower()
    if lower in _SYSTEM_NAMES or lower.endswith(_SYSTEM_SUFFIXES):
        return SYSTEM
    return HIDDEN if name.startswith(".") else None


def count_files(folder: Path) -> int:
    """Count the files below a folder, each link as one."""
    count = 0
    for parent, folders, files in os.walk(folder):
        count += len(files)
        count += sum(Path(parent, name).is_symlink() for name in folders)
    return count


def get_ignored_reason(path: Path, name: str = "") -> str | None:
    """Return why a file is not an image, by its name or first bytes; None if it may be one.

    `name` is that of a member of an archive whose bytes were copied to `path`.
    """
    reason = get_reason_by_name(name or path.name)
    if reason:
        return reason

    # Imported here, because it loads Pillow.
    from gleanset.images.decode import IMAGE_EXTENSIONS

    suffix = PurePath(name or path).suffix.lower()
    if suffix in IMAGE_EXTENSIONS or suffix in _UNREAD_IMAGE_SUFFIXES:
        return None

    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            kind = guess_kind(file.read(_HEAD))
    except OSError:
        return None
    return _REASONS_BY_KIND[kind]


def get_reason_by_name(name: str) -> str | None:
    """Return why a file, by its extension, is not an image."""
    suffix = PurePath(name).suffix.lower()
    if suffix in VIDEO_EXTENSIONS:
        return VIDEO
    if suffix in ARCHIVE_EXTENSIONS:
        return ARCHIVE
    if suffix in _PACKED_SUFFIXES:
        return PACKED
    if suffix == ".xmp":
        return XMP
    return NOT_AN_IMAGE if suffix in _TEXT_SUFFIXES else None


def count_tags(texts: Mapping[Path, Collection[Path]], ignored: Counter[str]) -> None:
    """Count texts with the images that they gave tags as such, not as `NOT_AN_IMAGE`."""
    ignored[NOT_AN_IMAGE] -= len(texts)
    for images in texts.values():
        ignored[SHARED_TAGS if len(images) > 1 else TAGS] += 1


def find_splits(root: Path) -> frozenset[str]:
    """Return the top-level folders that are splits, by the rules of `find_split_folders`."""
    tops = [entry.name for entry in os.scandir(root) if entry.is_dir()]
    candidates = frozenset(name for name in tops if name.lower() in SPLIT_FOLDERS)
    if not candidates:
        return candidates

    image_folders = []
    for folder, _, files in walk_tree(root, Counter()):
        has_image = any(not get_ignored_reason(folder / name) for name in files)
        if folder != root and has_image:
            image_folders.append(folder.relative_to(root).parts)
    return find_split_folders(image_folders)


def summarize_ignored(ignored: Counter[str]) -> dict[str, object]:
    """Return the summary entries for ignored files: their number and the reasons."""
    reasons = +ignored  # without those that no file has
    return {
        "ignored": ignored.total(),
        "ignored_reasons": dict(reasons.most_common()),
    }

"""File names: known extensions (lower case), conversion to text, and names safe on every system.

Extensions are only a first guess: the content of a file decides its type.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Container, Iterable, Sequence
from pathlib import Path, PureWindowsPath

_VIDEOS = (
    ".mp4 .m4v .mov .3gp .mkv .webm .avi .divx .mpg .mpeg .m2v .m2ts "
    ".flv .f4v .wmv .asf .ogv .ogm .rmvb .mxf .h264 .264 .h265 .265 .hevc"
)
VIDEO_EXTENSIONS = frozenset(_VIDEOS.split())
"""Extensions used only for videos: a damaged file with one still counts as a video."""

ARCHIVE_EXTENSIONS = frozenset(
    {".zip", ".cbz", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".gz", ".bz2", ".xz"}
)
"""Extensions of archives that may contain images."""


def format_path(path: Path | str) -> str:
    """Return a path as text; escape bytes that are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def parse_path(text: str) -> Path:
    """Return the path that `format_path` gave as this text."""
    path = Path(text)
    if path.exists():
        return path
    # Python's surrogates of bytes that are not UTF-8 (PEP 383).
    return Path(
        re.sub(
            r"\\x([89a-f][0-9a-f])",
            lambda escape: chr(0xDC00 + int(escape[1], 16)),
            text,
        )
    )


def escapes_folder(name: str) -> bool:
    """Return whether an untrusted path would leave its folder on any system."""
    # By the rules of Windows, which know drives, and backslashes as well as slashes.
    path = PureWindowsPath(name)
    return bool(path.anchor) or ".." in path.parts or "\0" in name


MAX_NAME_CHARACTERS = 80
# Bytes: file systems allow 255 for one component, and numbers and a key are appended.
MAX_FILE_NAME_BYTES = 200
MAX_FOLDER_NAME_BYTES = 240
# Characters that Windows does not allow in names.
_REFUSED = '<>:"/\\|?*'
# Zero-width (non-)joiners, which several scripts and emoji need.
_JOINERS = "\u200c\u200d"
# Device names, which Windows reserves with any extension.
_RESERVED = re.compile(
    r"(con|conin\$|conout\$|prn|aux|nul|com[\d¹²³]|lpt[\d¹²³]) *(\.|$)", re.IGNORECASE
)


def make_safe_name(text: str) -> str:
    """Return a nonempty path component of letters, digits, `-`, `_`, `.`."""
    letters = map(_map_to_safe, unicodedata.normalize("NFC", text))
    # A name with a dot in front is hidden; Windows drops dots and blanks at the end.
    name = re.sub(r"_+", "_", "".join(letters)).strip("._ ")
    return _make_valid(name[:MAX_NAME_CHARACTERS], MAX_FILE_NAME_BYTES)


def _map_to_safe(character: str) -> str:
    # Combining marks are the vowels of many scripts.
    is_mark = unicodedata.category(character) in ("Mn", "Mc")
    is_safe = character.isalnum() or character in "-_." or is_mark
    return character if is_safe else "_"


def make_portable_name(text: str) -> str:
    """Return a nonempty file name that every system allows.

    Spaces, brackets and emoji are kept. Path separators, control characters and marks of writing
    direction become `_`; leading and trailing dots are removed; device names of Windows get a `_`.
    """
    letters = map(_map_to_portable, unicodedata.normalize("NFC", text))
    return _make_valid("".join(letters).strip(". "), MAX_FILE_NAME_BYTES, ". ")


def _map_to_portable(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    is_control = category[0] == "C" and character not in _JOINERS
    is_line_end = category in ("Zl", "Zp")
    return "_" if character in _REFUSED or is_control or is_line_end else character


def _make_valid(text: str, max_bytes: int, ends: str = "._ ") -> str:
    """Return a name without `ends` at its end that is neither too long, nor empty, nor reserved."""
    name = text.encode()[:max_bytes].decode(errors="ignore").rstrip(ends)
    return f"_{name}" if not name or _RESERVED.match(name) else name


def make_folder_name(label: str) -> str:
    """Return the folder name for a validated class name."""
    name = label.rstrip(". ")
    # A name that is cut may end in a dot or blank again.
    is_long = len(name.encode()) > MAX_FOLDER_NAME_BYTES
    return _make_valid(name, MAX_FOLDER_NAME_BYTES, "._ " if is_long else "")


def assign_folder_names(
    labels: Iterable[str], files: Iterable[str] = ()
) -> dict[str, str]:
    """Return a folder name for each class, unique ignoring case.

    If two classes would share a folder, the one whose name differs from the folder's, or else the
    later one, gets six hex digits from a hash of its name. So does a class named like one of
    `files`.
    """
    folders = {}
    used = {name.casefold() for name in files}
    # Names that are their own folder's come first, and keep it.
    order = sorted(
        set(labels), key=lambda label: (make_folder_name(label) != label, label)
    )
    for label in order:
        folder = make_folder_name(label)
        # Some file systems ignore the case of names.
        if folder.casefold() in used:
            folder = f"{folder}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"
        used.add(folder.casefold())
        folders[label] = folder
    return folders


SPLIT_FOLDERS = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing"}
)
LEVEL_HELP = (
    "Which folder names the class, counted from the outermost, "
    "with train|val|test not counted."
)


def find_class_folder(
    folders: Sequence[str], level: int = 1, splits: Container[str] | None = None
) -> str | None:
    """Return the folder name at a level (1: outermost, 0: innermost).

    `folders` is the path from the folder given by the user down to the image. Its first folder is
    skipped if it is in `splits` or, without `splits`, has the name of a split. None if there is no
    such level.
    """
    inner = strip_split_folder(folders, splits)
    if not inner or level > len(inner):
        return None
    return inner[level - 1]  # level 0 is the last one


def strip_split_folder(
    folders: Sequence[str], splits: Container[str] | None
) -> Sequence[str]:
    """Return the folders without a leading split folder, as in `find_class_folder`."""
    first = folders[0] if folders else ""
    is_split = first.lower() in SPLIT_FOLDERS if splits is None else first in splits
    return folders[1:] if is_split else folders


def find_split_folders(folders: Iterable[Sequence[str]]) -> frozenset[str]:
    """Return which outermost folders are splits, from all images' folders.

    A single split name next to other folders, such as train next to bus and car, is a class, unless
    its images are in subfolders and another folder has images of its own.
    """
    outermost = set[str]()
    with_images = set()  # directly, not in subfolders alone
    for parts in folders:
        outermost.update(parts[:1])
        if len(parts) == 1:
            with_images.add(parts[0])

    splits = {name for name in outermost if name.lower() in SPLIT_FOLDERS}
    others = outermost - splits
    if len(splits) == 1 and others:
        is_class = splits <= with_images or not others & with_images
        if is_class:
            return frozenset()
    return frozenset(splits)

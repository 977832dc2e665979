"""Which folder names the class of a picture that lies in a tree: one meaning, for every command."""

from __future__ import annotations

from collections.abc import Sequence

SPLITS = frozenset({"train", "val", "valid", "validation", "test"})
LEVEL_HELP = (
    "Which folder names the class, counted from the outermost, with train|val|test not counted."
)


def class_folder(folders: Sequence[str], level: int = 1) -> str | None:
    """Return the name of the folder on that level, the outermost by default; None if there is none.

    `folders` lead from the folder that was named down to the picture. A first one that is called as
    a split is does not count.
    """
    inner = folders[1:] if folders and folders[0].lower() in SPLITS else folders
    return inner[level - 1] if len(inner) >= level else None

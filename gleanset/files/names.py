"""Names of files: their endings, in lower case, and as text. What is inside decides what one is."""

from __future__ import annotations

import os
from pathlib import Path

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

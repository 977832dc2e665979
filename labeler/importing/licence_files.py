"""The licence files of a set of images: LICENSE, LICENSE.txt, COPYING and the like."""

import re
from pathlib import Path

_NAME = re.compile(r"(.*[ _.-])?(licen[cs]es?|copying)([ _.-].*)?", re.IGNORECASE)
_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".xml")
"""Endings of tables, such as the LICENSES.csv of an export, whose rows are read for each image."""
MAX_BYTES = 5_000_000


def read_licence_files(folder: Path) -> dict[str, str]:
    """Return the text of each licence file directly in a folder, by name."""
    texts = {}
    for path in sorted(folder.iterdir()):
        is_licence = _NAME.fullmatch(path.name) and path.suffix.lower() not in _TABLES
        if is_licence and path.is_file() and path.stat().st_size <= MAX_BYTES:
            data = path.read_bytes()
            text = data.decode("utf-8", "replace").strip()
            # A file with NULs is a document in a binary format.
            if text and b"\0" not in data:
                texts[path.name] = text
    return texts

"""`sources.csv` beside pictures: who made them, their licence, the page they are from."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from gleanset.credit import NOTHING, Credit, credit_text, page_address
from gleanset.errors import InputUnusable

NAME = "sources.csv"
COLUMNS = ("file", "author", "licence", "page")
LARGEST = 100_000_000
_ALSO = {"license": "licence", "url": "page", "page_url": "page", "name": "file", "path": "file"}

SourceRows = Mapping[Path, Credit]


def source_rows(folder: Path) -> SourceRows:
    """Return what the table of a folder says, by path; empty where there is no table.

    Columns are file, author, licence and page; `file` is a path below the folder. Raises
    `InputUnusable` for a table that cannot be read.
    """
    table = folder / NAME
    if not table.is_file():
        return {}
    try:
        if table.stat().st_size > LARGEST:
            raise InputUnusable(f"{table} is too large", "leave rows of other folders out")
        with table.open(encoding="utf-8-sig", newline="") as file:
            return dict(_rows(table, csv.DictReader(file)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputUnusable(
            f"{table} cannot be read: {error}", "write UTF-8 with commas: file,author,licence,page"
        ) from error


def _rows(table: Path, rows: csv.DictReader[str]) -> Iterator[tuple[Path, Credit]]:
    names = {name: _ALSO.get(tidy := name.strip().lower(), tidy) for name in rows.fieldnames or ()}
    if "file" not in names.values():
        raise InputUnusable(
            f"{table} has no column named file", f"its first row names {', '.join(COLUMNS)}"
        )
    for row in rows:
        told = {names[key]: text for key, text in row.items() if key in names}
        if (name := credit_text(told.get("file"))) is not None:
            author, licence = credit_text(told.get("author")), credit_text(told.get("licence"))
            credit = Credit(author, licence, page_address(told.get("page")))
            yield table.parent / PurePosixPath(name.replace("\\", "/")), credit


def credit_in(tables: Mapping[Path, SourceRows], path: Path) -> Credit:
    """Return what the tables (by folder) say of a file: the one that lies nearest first."""
    found = NOTHING
    for folder in path.parents:
        if folder in tables:
            found = found.completed(tables[folder].get(path, NOTHING))
    return found

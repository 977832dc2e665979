"""`sources.csv` beside pictures: who made them, and which of them belong together."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gleanset.credit import NOTHING, Credit, credit_text, page_address
from gleanset.errors import InputUnusable

NAME = "sources.csv"
COLUMNS = ("file", "author", "licence", "page", "group")
LARGEST = 100_000_000
_ALSO = {"license": "licence", "url": "page", "page_url": "page", "name": "file", "path": "file"}


class SourceTableRow(NamedTuple):
    """What a table says of a file: its credit, and the name of its group, if any."""

    credit: Credit = NOTHING
    group: str | None = None


SAYS_NOTHING = SourceTableRow()
SourceRows = Mapping[Path, SourceTableRow]


class SourceTables:
    """The tables of a folder and of those below it; each is read when a file is asked about."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._rows: dict[Path, SourceRows] = {}

    def of(self, path: Path) -> SourceTableRow:
        """Return what the tables say of a file: the one that lies nearest first.

        Raises `InputUnusable` for a table that cannot be read.
        """
        credit, group = NOTHING, None
        if not path.is_relative_to(self._top):
            return SAYS_NOTHING
        for folder in path.parents:
            if folder not in self._rows:
                self._rows[folder] = source_rows(folder)
            row = self._rows[folder].get(path, SAYS_NOTHING)
            credit, group = credit.completed(row.credit), group or row.group
            if folder == self._top:
                break
        return SourceTableRow(credit, group)


def source_rows(folder: Path) -> SourceRows:
    """Return what the table of a folder says, by path; empty where there is no table.

    Columns are file, author, licence, page and group; `file` is a path below the folder. Raises
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
            f"{table} cannot be read: {error}",
            f"write UTF-8 with commas: {','.join(COLUMNS)}",
        ) from error


def _rows(table: Path, rows: csv.DictReader[str]) -> Iterator[tuple[Path, SourceTableRow]]:
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
            path = table.parent / PurePosixPath(name.replace("\\", "/"))
            yield path, SourceTableRow(credit, credit_text(told.get("group")))

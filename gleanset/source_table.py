"""`sources.csv` next to images: author, licence, page and group of each file."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, NamedTuple

from gleanset.credit import NO_CREDIT, Credit, clean_credit_text, clean_page_url
from gleanset.errors import InputUnusable
from gleanset.files.encodings import find_encoding
from gleanset.files.names import format_path
from gleanset.named_files import summarize_lines

NAME = "sources.csv"
COLUMNS = ("file", "author", "licence", "page", "group")
MAX_TABLE_BYTES = 100_000_000
_SYNONYMS = {
    "license": "licence",
    "url": "page",
    "page_url": "page",
    "name": "file",
    "path": "file",
}


class SourceTableRow(NamedTuple):
    """The row of a file: its credit, and the name of its group, if any."""

    credit: Credit = NO_CREDIT
    group: str | None = None


EMPTY_ROW = SourceTableRow()
SourceRows = Mapping[Path, SourceTableRow]
"""Rows by path in Unicode normal form C: other systems write names in other forms."""


def _list_folder(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())  # lists nothing before it is iterated
    except OSError:
        return ()


@dataclass
class SourceTables:
    """The tables of a folder and its subfolders, each read when first needed.

    `list_files` and `open_file` access folders, or the members of an archive. `encoding` is that of
    tables that are not UTF-8, None to guess it. Raises `InputUnusable` for a table that cannot be
    read.
    """

    top: Path
    list_files: Callable[[Path], Iterable[Path]] = _list_folder
    open_file: Callable[[Path], IO[bytes]] = lambda table: table.open("rb")
    encoding: str | None = None
    _rows: dict[Path, SourceRows] = field(default_factory=dict)

    def get_row(self, path: Path) -> SourceTableRow:
        """Return credit and group of a file; nearer tables win."""
        if not path.is_relative_to(self.top):
            return EMPTY_ROW

        name = _normalize(path)
        credit = NO_CREDIT
        group = None
        for folder in path.parents:
            self.read(folder)
            row = self._rows[folder].get(name, EMPTY_ROW)
            credit = credit.fill_from(row.credit)
            group = group or row.group
            if folder == self.top:
                break
        return SourceTableRow(credit, group)

    def read(self, folder: Path) -> None:
        """Read the table of a folder, so that `list_unmatched` includes its rows."""
        if folder not in self._rows:
            self._rows[folder] = self._read_table(folder)

    def _read_table(self, folder: Path) -> SourceRows:
        files = filter(is_source_table, self.list_files(folder))
        tables = [path for path in files if not path.is_dir()]
        if not tables:
            return {}

        # The exact spelling first: other files may differ from it in case.
        table = min(tables, key=lambda path: (path.name != NAME, path))
        try:
            with self.open_file(table) as file:
                if file.seek(0, os.SEEK_END) > MAX_TABLE_BYTES:
                    raise InputUnusable(
                        f"{table} is too large", "leave rows of other folders out"
                    )
                file.seek(0)

                encoding = find_encoding(file, str(table), self.encoding)
                encoding.report(str(table))
                text = io.TextIOWrapper(file, encoding=encoding.name, newline="")
                delimiter = find_delimiter(text.readline())
                text.seek(0)
                rows = csv.DictReader(text, delimiter=delimiter)
                return dict(_parse_rows(table, rows))
        except (OSError, UnicodeError, csv.Error) as error:
            raise InputUnusable(
                f"{table} cannot be read: {error}",
                f"write UTF-8 with commas: {','.join(COLUMNS)}",
            ) from error

    def list_unmatched(self) -> list[str]:
        """Return the names in rows without a file, with their tables."""
        names = []
        files = {}
        for folder, rows in self._rows.items():
            table = format_path(Path(folder.name, NAME))
            for path in sorted(rows):
                parent = path.parent
                # A file not passed to `get_row`, such as an image without a class, may still exist.
                if parent not in files:
                    files[parent] = set(map(_normalize, self.list_files(parent)))
                if path not in files[parent]:
                    name = format_path(path.relative_to(_normalize(folder)))
                    names.append(f"{table}: {name}")
        return names


def summarize_unmatched(names: Sequence[str]) -> dict[str, object]:
    """Return the summary entries for rows that match no file, if any."""
    if not names:
        return {}
    summary = summarize_lines(names, "docs/legal.md#pictures-of-your-own")
    return {"rows_without_file": len(names), "rows_without_file_names": summary}


def _normalize(path: Path) -> Path:
    return Path(unicodedata.normalize("NFC", str(path)))


def find_delimiter(header: str) -> str:
    """Return the delimiter of a table: programs of many countries save CSV with semicolons."""
    return max(",;\t", key=header.count)


def is_source_table(path: PurePath) -> bool:
    """Return whether a file is named `sources.csv`, ignoring case."""
    return path.name.lower() == NAME


def _parse_rows(
    table: Path, rows: csv.DictReader[str]
) -> Iterator[tuple[Path, SourceTableRow]]:
    names = {}
    for title in rows.fieldnames or ():
        name = title.strip().lower()
        names[title] = _SYNONYMS.get(name, name)
    if "file" not in names.values():
        raise InputUnusable(
            f"{table} has no column named file",
            f"its first row names {', '.join(COLUMNS)}",
        )

    for row in rows:
        # Cells beyond the header are in a list, under None.
        cells = {names[key]: text for key, text in row.items() if key in names}
        file = clean_credit_text(cells.get("file"))
        if not file:
            continue

        credit = Credit(
            author=clean_credit_text(cells.get("author")),
            licence=clean_credit_text(cells.get("licence")),
            page=clean_page_url(cells.get("page")),
        )
        group = clean_credit_text(cells.get("group"))
        path = table.parent / PurePosixPath(file.replace("\\", "/"))
        yield _normalize(path), SourceTableRow(credit, group)

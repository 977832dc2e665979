"""`sources.csv` beside pictures: who made them, and which of them belong together."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, NamedTuple

from gleanset.credit import NOTHING, Credit, credit_text, page_address
from gleanset.errors import InputUnusable
from gleanset.files.names import printable
from gleanset.named_files import few_files

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
    """The tables of a folder and of those below it; each is read when a file is asked about.

    A file that no row names exactly has the row whose name differs in case or Unicode form alone,
    where there is one such row and one such file: other systems write names in another form.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self._rows: dict[Path, SourceRows] = {}
        self._folded: dict[Path, dict[str, list[Path]]] = {}
        self._unmatched: dict[Path, set[Path]] = {}
        self._siblings: dict[Path, Counter[Path | str]] = {}

    def of(self, path: Path) -> SourceTableRow:
        """Return what the tables say of a file, the nearest first. Raises `InputUnusable`."""
        credit, group = NOTHING, None
        if not path.is_relative_to(self.top):
            return SAYS_NOTHING
        for folder in path.parents:
            row = self._row(folder, path)
            credit, group = credit.completed(row.credit), group or row.group
            if folder == self.top:
                break
        return SourceTableRow(credit, group)

    def read(self, folder: Path) -> None:
        """Read the table of a folder, so that rows of it that match no file are known."""
        if folder not in self._rows:
            rows = self._rows[folder] = self.rows_in(folder)
            self._unmatched[folder] = set(rows)
            folded = self._folded[folder] = {}
            for path in rows:
                folded.setdefault(_folded(path), []).append(path)

    def rows_in(self, folder: Path) -> SourceRows:
        """Return the table of a folder, if any; an archive overrides it."""
        return source_rows(folder)

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the files of a folder; an archive overrides it."""
        return folder.iterdir() if folder.is_dir() else ()

    def unmatched(self) -> list[str]:
        """Return the names in rows that match no file, each with its table."""
        return [
            f"{printable(Path(folder.name, NAME))}: {printable(path.relative_to(folder))}"
            for folder, paths in self._unmatched.items()
            for path in sorted(paths)
            # One that nobody asked about, such as an image without a class, is there all the same.
            if not self._count_siblings(path)[path] and self._count_alike(path) != 1
        ]

    def _row(self, folder: Path, path: Path) -> SourceTableRow:
        self.read(folder)
        name = path
        if path not in (rows := self._rows[folder]):
            alike = self._folded[folder].get(_folded(path), []) if rows else []
            if len(alike) != 1 or self._count_alike(path) != 1:
                return SAYS_NOTHING
            name = alike[0]
        self._unmatched[folder].discard(name)
        return rows[name]

    def _count_alike(self, path: Path) -> int:
        return self._count_siblings(path)[_folded(path)]

    def _count_siblings(self, path: Path) -> Counter[Path | str]:
        """Count the files beside a path, each by its path and by its folded name."""
        folder = path.parent
        if folder not in self._siblings:
            paths = list(self.files_in(folder))
            self._siblings[folder] = Counter([*paths, *map(_folded, paths)])
        return self._siblings[folder]


def unmatched_summary(names: Sequence[str]) -> dict[str, object]:
    """Return what a summary says of rows of tables that match no file; nothing without any."""
    if not names:
        return {}
    named = few_files(names, "docs/legal.md#pictures-of-your-own")
    return {"rows_without_file": len(names), "rows_without_file_names": named}


def _folded(path: Path) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def is_source_table(path: PurePath) -> bool:
    """Return whether a file is the table of its folder; its name may have capitals."""
    return path.name.lower() == NAME


def _tables_in(folder: Path) -> Iterator[Path]:
    yield folder / NAME
    with suppress(OSError):
        yield from filter(is_source_table, sorted(folder.iterdir()))


def source_rows(folder: Path) -> SourceRows:
    """Return the table of a folder (`COLUMNS`) by path, if any. Raises `InputUnusable`."""
    table = next((path for path in _tables_in(folder) if path.is_file()), None)
    if table is None:
        return {}
    return parse_table(table, lambda: table.open("rb"))


def parse_table(table: Path, open_table: Callable[[], IO[bytes]]) -> SourceRows:
    """Return the rows of an open table by path. Raises `InputUnusable`."""
    try:
        with open_table() as file:
            if file.seek(0, os.SEEK_END) > LARGEST:
                raise InputUnusable(f"{table} is too large", "leave rows of other folders out")
            file.seek(0)
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            return dict(_rows(table, csv.DictReader(text)))
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

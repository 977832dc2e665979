"""Files next to images: credit and group in `sources.csv`, tags in texts and `metadata.jsonl`."""

import csv
import io
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, NamedTuple, TextIO

from gleanset.credit import NO_CREDIT, Credit, clean_credit_text, clean_page_url
from gleanset.errors import InputUnusable
from gleanset.files.encodings import find_encoding
from gleanset.files.names import format_path
from gleanset.files.tags import TAG_SUFFIXES, Tags, parse_tag_rows, parse_tags
from gleanset.named_files import summarize_lines

NAME = "sources.csv"
TAG_TABLE = "metadata.jsonl"
COLUMNS = ("file", "author", "licence", "page", "group")
MAX_TABLE_BYTES = 100_000_000
_SEPARATOR_LINE = re.compile('"?sep=(.)', re.IGNORECASE)
_SIDECAR_SUFFIXES = (*TAG_SUFFIXES, ".json", ".xmp")
MAX_SIDECAR_BYTES = 1_000_000
_SYNONYMS = {
    "license": "licence",
    "url": "page",
    "page_url": "page",
    "name": "file",
    "path": "file",
}


class SourceTableRow(NamedTuple):
    """The row of a file: its credit, the name of its group, if any, and its tags."""

    credit: Credit = NO_CREDIT
    group: str | None = None
    tags: Tags = ()


EMPTY_ROW = SourceTableRow()
SourceRows = Mapping[Path, SourceTableRow]
"""Rows by path in Unicode normal form C: other systems write names in other forms."""


def _list_folder(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())  # lists nothing before it is iterated
    except OSError:
        return ()


def _open_file(path: Path) -> IO[bytes]:
    if not path.is_file():
        raise OSError("it is not a file")  # a named pipe would never end
    return path.open("rb")


@dataclass
class SourceTables:
    """The tables and texts of a folder and its subfolders, each read when first needed.

    `list_files` and `open_file` access folders, or the members of an archive. Files that are
    excluded are not read. `encoding` is that of files that are not UTF-8, None to guess it. `texts`
    receives those that gave images their tags, with the images of each; the images of a table are
    not listed. Raises `InputUnusable` for a table that cannot be
    read.
    """

    top: Path
    list_files: Callable[[Path], Iterable[Path]] = _list_folder
    open_file: Callable[[Path], IO[bytes]] = _open_file
    encoding: str | None = None
    is_excluded: Callable[[Path], bool] = lambda _: False
    texts: dict[Path, set[Path]] = field(default_factory=dict)
    _rows: dict[Path, SourceRows] = field(default_factory=dict)  # by table
    # By folder and by the path with its extension in lower case.
    _sidecars: dict[Path, dict[Path, Path]] = field(default_factory=dict)

    def get_row(self, path: Path) -> SourceTableRow:
        """Return credit, group and tags of a file; nearer files win, texts before tables."""
        if not path.is_relative_to(self.top):
            return EMPTY_ROW

        name = _normalize(path)
        credit = NO_CREDIT
        group = None
        tags = self._read_tags(path)
        for folder in path.parents:
            self.read(folder)
            for table in (folder / NAME, folder / TAG_TABLE):
                row = self._rows[table].get(name, EMPTY_ROW)
                credit = credit.fill_from(row.credit)
                group = group or row.group
                if row.tags and not tags:
                    tags = row.tags
                    self.texts.setdefault(table, set())
            if folder == self.top:
                break
        return SourceTableRow(credit, group, tags)

    def read(self, folder: Path) -> None:
        """Read the tables of a folder, so that `list_unmatched` includes their rows."""
        if folder in self._sidecars:
            return
        files = list(self.list_files(folder))
        # Of names that differ in the case of the extension, lower case is the last one.
        self._sidecars[folder] = {
            path.with_suffix(path.suffix.lower()): path
            for path in sorted(filter(is_sidecar, files))
        }
        for name, parse in ((NAME, _parse_rows), (TAG_TABLE, _parse_tag_table)):
            tables = [
                path
                for path in files
                if path.name.lower() == name and not path.is_dir()
            ]
            self._rows[folder / name] = self._read_table(tables, name, parse)

    def _read_tags(self, image: Path) -> Tags:
        """Return the tags in the text of an image; none without one."""
        # gallery-dl writes 1.jpg.txt for 1.jpg.
        names = [
            name + suffix
            for suffix in TAG_SUFFIXES
            for name in (image.stem, image.name)
        ]
        for path in map(image.with_name, names):
            tags = parse_tags(
                self.read_sidecar(path),
                str(path),
                self.encoding,
            )
            if tags:
                self.texts.setdefault(self._sidecars[image.parent][path], set()).add(
                    image
                )
                return tags
        return ()

    def read_sidecar(self, path: Path) -> bytes:
        """Return the bytes of a file that is about an image; none if it is not there.

        Its extension may be in upper case. Of a larger file than `MAX_SIDECAR_BYTES` one byte more
        is returned.
        """
        self.read(path.parent)
        sidecar = self._sidecars[path.parent].get(path)
        if sidecar and not self.is_excluded(sidecar):
            # An unreadable file is counted as ignored.
            with suppress(OSError, InputUnusable), self.open_file(sidecar) as file:
                return file.read(MAX_SIDECAR_BYTES + 1)
        return b""

    def _read_table(
        self,
        tables: Sequence[Path],
        name: str,
        parse: Callable[[Path, TextIO], Iterable[tuple[Path, SourceTableRow]]],
    ) -> SourceRows:
        if not tables:
            return {}

        # The exact spelling first: other files may differ from it in case.
        table = min(tables, key=lambda path: (path.name != name, path))
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
                return dict(parse(table, text))
        except (OSError, UnicodeError, csv.Error) as error:
            raise InputUnusable(
                f"{table} cannot be read: {error}",
                f"write UTF-8 with commas: {','.join(COLUMNS)}",
            ) from error

    def list_unmatched(self) -> list[str]:
        """Return the names in rows without a file, with their tables."""
        names = []
        files = {}
        for table, rows in self._rows.items():
            folder = _normalize(table.parent)
            label = format_path(Path(table.parent.name, table.name))
            for path in sorted(rows):
                parent = path.parent
                # A file not passed to `get_row`, such as an image without a class, may still exist.
                if parent not in files:
                    files[parent] = set(map(_normalize, self.list_files(parent)))
                if path not in files[parent]:
                    name = format_path(Path(os.path.relpath(path, folder)))
                    names.append(f"{label}: {name}")
        return names


def summarize_unmatched(names: Sequence[str]) -> dict[str, object]:
    """Return the summary entries for rows that match no file."""
    summary = summarize_lines(names, "docs/legal.md#pictures-of-your-own")
    return {"rows_without_file": len(names), "rows_without_file_names": summary}


def _normalize(path: Path) -> Path:
    return Path(unicodedata.normalize("NFC", str(path)))


def skip_to_header(lines: Iterator[str]) -> tuple[Iterator[str], str]:
    """Return the lines of a table from its header on, and its delimiter.

    Programs of many countries save CSV with semicolons, and Excel may name the delimiter in a line
    before the header: `sep=;`. Blank lines are skipped.
    """
    line = next(filter(str.strip, lines), "")
    named = _SEPARATOR_LINE.match(line)
    if named:
        return lines, named[1]
    return chain([line], lines), max(",;\t", key=line.count)


def is_sidecar(path: PurePath) -> bool:
    """Return whether a file may be about an image of the same name, by its extension."""
    return path.suffix.lower() in _SIDECAR_SUFFIXES


def is_source_table(path: PurePath) -> bool:
    """Return whether a file is named `sources.csv`, ignoring case."""
    return path.name.lower() == NAME


def _parse_tag_table(
    table: Path, lines: TextIO
) -> Iterator[tuple[Path, SourceTableRow]]:
    for name, tags in parse_tag_rows(lines):
        file = clean_credit_text(name)
        if file:
            yield _locate(file, table), SourceTableRow(tags=tags)


def _locate(name: str, table: Path) -> Path:
    """Return the path of a file that a table names."""
    return _normalize(table.parent / PurePosixPath(name.replace("\\", "/")))


def _parse_rows(table: Path, text: TextIO) -> Iterator[tuple[Path, SourceTableRow]]:
    lines, delimiter = skip_to_header(text)
    rows = csv.reader(lines, delimiter=delimiter)
    titles = [title.strip().lower() for title in next(rows, [])]
    names = [_SYNONYMS.get(title, title) for title in titles]
    if "file" not in names:
        raise InputUnusable(
            f"{table} has no column named file",
            f"its first row names {', '.join(COLUMNS)}",
        )

    for row in rows:
        # Not strict: a row may have fewer or more cells than the header.
        cells = dict(zip(names, row, strict=False))
        file = clean_credit_text(cells.get("file"))
        if not file:
            continue

        credit = Credit(
            author=clean_credit_text(cells.get("author")),
            licence=clean_credit_text(cells.get("licence")),
            page=clean_page_url(cells.get("page")),
        )
        yield (
            _locate(file, table),
            SourceTableRow(credit, clean_credit_text(cells.get("group"))),
        )

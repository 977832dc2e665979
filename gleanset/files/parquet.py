"""Parquet files, read in batches of rows; the only module that uses pyarrow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gleanset.errors import InputUnusable, MissingComponent
from gleanset.files.encodings import wrong_encoding_error
from gleanset.installation import install_command

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1_000
"""Rows read at a time."""

_READ_AHEAD = 1 << 20

Column = str | list[Any] | dict[str, Any]
"""Type of a column: `string`, `int64`, `double`, `bool` or `binary`; `[type]` for a list; a dict of
columns for a struct."""


def import_pyarrow() -> Any:
    """Import pyarrow with `pyarrow.parquet`. Raises `MissingComponent`."""
    try:
        import_module("pyarrow.parquet")
        return import_module("pyarrow")
    except ImportError as error:
        raise MissingComponent(
            "Parquet files need the package pyarrow, which is not installed",
            install_command("parquet"),
        ) from error


def list_columns(path: Path) -> list[tuple[str, bool]]:
    """Return each column name and whether it is not nested. Raises `InputUnusable`."""
    is_nested = import_pyarrow().types.is_nested
    with _open_parquet(path) as file:
        return [(field.name, not is_nested(field.type)) for field in file.schema_arrow]


def read_texts(
    path: Path, columns: Sequence[str], encoding: str | None
) -> Iterator[tuple[str | None, ...]]:
    """Yield rows of the given columns as text or None.

    `encoding` is used for texts that are not UTF-8. Raises `InputUnusable`, also if
    such a text is met and `encoding` is None.
    """
    with _open_parquet(path) as file:
        batches = file.iter_batches(
            BATCH_ROWS, columns=list(columns), use_threads=False
        )
        for batch in batches:
            texts = [_to_texts(batch.column(name), path, encoding) for name in columns]
            yield from zip(*texts, strict=True)


@contextmanager
def open_parquet_writer(
    path: Path, columns: Mapping[str, Column], metadata: Mapping[str, str]
) -> Iterator[Callable[[Sequence[Mapping[str, object]]], None]]:
    """Yield a function that writes a row group, reproducibly."""
    arrow = import_pyarrow()
    schema = arrow.schema(
        [(name, _make_type(column)) for name, column in columns.items()],
        metadata=metadata,
    )

    # Open the file here: pyarrow does not accept paths that are not UTF-8.
    with (
        path.open("wb") as out,
        arrow.parquet.ParquetWriter(out, schema, compression="zstd") as file,
    ):

        def write(rows: Sequence[Mapping[str, object]]) -> None:
            file.write_batch(arrow.RecordBatch.from_pylist(list(rows), schema))

        yield write


def _make_type(column: Column) -> pa.DataType:
    arrow = import_pyarrow()
    if isinstance(column, dict):
        return arrow.struct([(name, _make_type(part)) for name, part in column.items()])
    if isinstance(column, list):
        return arrow.list_(_make_type(column[0]))
    return arrow.type_for_alias(column)


@contextmanager
def _open_parquet(path: Path) -> Iterator[Any]:
    arrow = import_pyarrow()
    try:
        # A buffer makes pyarrow read pages on demand: a column chunk may have gigabytes.
        with (
            path.open("rb") as raw,
            arrow.parquet.ParquetFile(raw, buffer_size=_READ_AHEAD) as file,
        ):
            yield file
    except (arrow.ArrowException, OSError, MemoryError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise InputUnusable(
            f"{path} cannot be read as Parquet: {reason}",
            "check that it is one, and whole",
        ) from error


def _to_texts(column: pa.Array, path: Path, encoding: str | None) -> list[str | None]:
    arrow = import_pyarrow()
    types = arrow.types
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    # As bytes: pyarrow decodes all texts of a column or none.
    if types.is_string(column.type) or types.is_large_string(column.type):
        column = column.cast(arrow.large_binary())
    return [_to_text(cell, path, encoding) for cell in column.to_pylist()]


def _to_text(cell: object, path: Path, encoding: str | None) -> str | None:
    if not isinstance(cell, bytes):
        return None if cell is None else str(cell)
    with suppress(UnicodeDecodeError):
        return cell.decode()
    try:
        # Without `encoding` this fails again, for the error below.
        return cell.decode(encoding or "utf-8")
    except UnicodeError as error:
        raise wrong_encoding_error(
            f"{cell[:40]!r} in {path}", encoding or "utf-8"
        ) from error

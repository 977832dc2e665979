"""How one shard is written: a tar for WebDataset, or a Parquet file as Hugging Face reads it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gleanset.files.parquet import parquet_file
from labeler.export.columns import INSIDE, table_columns, table_row
from labeler.export.options import Format

ENDINGS: dict[Format, str] = {"webdataset": ".tar", "parquet": ".parquet"}
GROUP_ROWS, GROUP_BYTES = 100, 16_000_000
"""A row group of Parquet is closed at so many rows, or bytes of pictures: readers that stream hold
one in memory."""


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """One sample in a shard: the name of its picture there, the bytes of it, what is told."""

    file: str
    data: bytes
    told: Mapping[str, object]


Put = Callable[[ShardRecord], None]


@contextmanager
def open_shard(
    path: Path, format_: Format, classes: Sequence[str], like: Mapping[str, object]
) -> Iterator[Put]:
    """What puts records into a new shard; `like` is told of one of them, for the columns."""
    opened = _tar(path) if format_ == "webdataset" else _parquet(path, classes, like)
    with opened as put:
        yield put


@contextmanager
def _tar(path: Path) -> Iterator[Put]:
    """For each record the picture, a `.json` and a `.cls`; equal records give equal bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:

        def put(record: ShardRecord) -> None:
            stem, _, ending = record.file.partition(".")
            told = {key: value for key, value in record.told.items() if key != "class"}
            members = {
                ending: record.data,
                "json": json.dumps(told, ensure_ascii=False).encode(),
                "cls": str(record.told["class"]).encode(),
            }
            for extension, data in members.items():
                about = tarfile.TarInfo(f"{stem}.{extension}")
                about.size = len(data)
                tar.addfile(about, io.BytesIO(data))

        yield put


@contextmanager
def _parquet(path: Path, classes: Sequence[str], like: Mapping[str, object]) -> Iterator[Put]:
    """Rows with the picture itself; `label` is the number of the class, as `datasets` has it."""
    columns, said = table_columns(INSIDE, table_row(like, "sha256"), classes)
    rows: list[dict[str, object]] = []
    taken = 0
    with parquet_file(path, columns, said) as write:

        def put(record: ShardRecord) -> None:
            nonlocal taken
            image = {"bytes": record.data, "path": record.file}
            rows.append({"image": image} | table_row(record.told))
            taken += len(record.data)
            if len(rows) == GROUP_ROWS or taken > GROUP_BYTES:
                write(rows)
                rows.clear()
                taken = 0

        yield put
        if rows:
            write(rows)

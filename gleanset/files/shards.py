"""Shards: tar or Parquet files that hold many images with their metadata."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import NamedTuple

from gleanset.errors import UsageError
from gleanset.files.parquet import Column, open_parquet_writer


class ShardRecord(NamedTuple):
    """One sample in a shard: file name, bytes and metadata of its image."""

    file: str
    data: bytes
    facts: Mapping[str, object]


Put = Callable[[ShardRecord], None]

SHARD_EXTENSIONS = {"webdataset": ".tar", "parquet": ".parquet"}
# Limits of a Parquet row group in rows and bytes of images: streaming readers hold one row group
# in memory.
GROUP_ROWS = 100
GROUP_BYTES = 16_000_000
EMBEDDED_IMAGE: Mapping[str, Column] = {"image": {"bytes": "binary", "path": "string"}}
"""Columns for an image embedded in the Parquet file."""
_TYPES = {str: "string", int: "int64", float: "double"}
_DTYPES = {"string": "string", "int64": "int64", "double": "float64"}
_UNITS = {
    "k": 1e3,
    "m": 1e6,
    "g": 1e9,
    "t": 1e12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
}
SHARD_SIZE_HELP = (
    "About the size of a shard, such as 500MB, or its number of images: 10000."
)


@contextmanager
def open_tar(path: Path) -> Iterator[Put]:
    """Open a reproducible WebDataset tar: image, `.json`, `.cls` per record."""
    import tarfile

    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:

        def put(record: ShardRecord) -> None:
            stem, _, ending = record.file.partition(".")
            rest = {key: value for key, value in record.facts.items() if key != "class"}
            members = {
                ending: record.data,
                "json": json.dumps(rest, ensure_ascii=False).encode(),
            }
            if "class" in record.facts:
                members["cls"] = str(record.facts["class"]).encode()

            for extension, data in members.items():
                member = tarfile.TarInfo(f"{stem}.{extension}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))

        yield put


@contextmanager
def open_parquet(
    path: Path, columns: Mapping[str, Column], metadata: Mapping[str, str]
) -> Iterator[Put]:
    """Open a Parquet file with a row, including `image`, per record."""
    rows = []
    group_bytes = 0
    with open_parquet_writer(path, columns, metadata) as write:

        def put(record: ShardRecord) -> None:
            nonlocal group_bytes
            image = {"bytes": record.data, "path": record.file}
            rows.append({"image": image, **record.facts})

            group_bytes += len(record.data)
            if len(rows) == GROUP_ROWS or group_bytes > GROUP_BYTES:
                write(rows)
                rows.clear()
                group_bytes = 0

        yield put
        if rows:
            write(rows)


def describe_columns(
    image_columns: Mapping[str, Column],
    row: Mapping[str, object],
    classes: Sequence[str],
) -> tuple[dict[str, Column], dict[str, str]]:
    """Return columns and Hugging Face metadata; `classes` are names of `label`."""
    columns = dict(image_columns)
    features: dict[str, object] = {}
    if image_columns is EMBEDDED_IMAGE:
        features["image"] = {"_type": "Image"}
    else:
        features["file_name"] = {"dtype": "string", "_type": "Value"}
    for name, value in row.items():
        columns[name] = _TYPES[type(value)]
        features[name] = {
            "dtype": get_dtype(value),
            "_type": "Value",
        }
    if classes:
        features["label"] = {
            "names": list(classes),
            "_type": "ClassLabel",
        }
    schema = json.dumps(
        {"info": {"features": features}},
        ensure_ascii=False,
    )
    return columns, {"huggingface": schema}


def get_dtype(value: object) -> str:
    """Return the dtype name of a cell in Hugging Face `datasets`."""
    return _DTYPES[_TYPES[type(value)]]


class ShardSize(NamedTuple):
    """The maximum size of a shard, in bytes (approximate) or in images."""

    bytes: float = inf
    images: float = inf

    @classmethod
    def parse(cls, text: str) -> ShardSize:
        """Parse '500MB' or '10000' (images). Raises `UsageError`."""
        if re.fullmatch(r"[1-9]\d{0,8}", text):
            return cls(images=int(text))
        match = re.fullmatch(
            r"(\d+(?:\.\d+)?)\s*([kmgt]|[kmg]i)b?", text.strip().lower()
        )
        size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
        # From 1 kB to 10 TB; other texts are 0.
        if not 1_000 <= size <= 10**13:
            raise UsageError(
                f"{text!r} is not a shard size",
                "write for instance 500MB, or 10000 for a number of images",
            )
        return cls(bytes=size)

    def has_room(self, images: int, size: float) -> bool:
        """Return whether a shard of `images` may grow to `size`."""
        return images < self.images and size <= self.bytes

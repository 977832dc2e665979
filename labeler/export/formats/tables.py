"""Parquet with images next to it or inside, and WebDataset in tar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gleanset.files.parquet import BATCH_ROWS, import_pyarrow, open_parquet_writer
from gleanset.files.shards import EMBEDDED_IMAGE, Put, describe_columns, open_parquet, open_tar
from labeler.export.formats.base import ExportFormat
from labeler.export.item import ExportItem
from labeler.export.rows import (
    PATH_COLUMN,
    items_by_split,
    number_classes,
    sample_facts,
    table_row,
)

METADATA = "metadata.parquet"
"""The metadata file of the ImageFolder of `datasets`."""
_READING = (
    "import os\n\nfrom datasets import load_dataset\n\n"
    '{0} = load_dataset(os.path.abspath("."))["{1}"]'
)


def write_split_tables(folder: Path, items: Sequence[ExportItem]) -> None:
    """Write a `metadata.parquet` for each split, with paths relative to the split."""
    numbers = number_classes(items)

    def row(item: ExportItem) -> dict[str, object]:
        return table_row(sample_facts(item, numbers))

    columns, schema = describe_columns(PATH_COLUMN, row(items[0]), list(numbers))
    for split, members in items_by_split(items):
        with open_parquet_writer(folder / split / METADATA, columns, schema) as write:
            for first in range(0, len(members), BATCH_ROWS):
                batch = members[first : first + BATCH_ROWS]
                write([{"file_name": i.path.removeprefix(f"{split}/")} | row(i) for i in batch])


@contextmanager
def open_labelled_parquet(
    path: Path, classes: Sequence[str], example: Mapping[str, object]
) -> Iterator[Put]:
    """Open a Parquet file for rows with image bytes, in the schema of `datasets`."""
    columns, schema = describe_columns(EMBEDDED_IMAGE, table_row(example, "sha256"), classes)
    with open_parquet(path, columns, schema) as put:
        yield lambda record: put(replace(record, facts=table_row(record.facts)))


HUGGINGFACE = ExportFormat(
    layout="class folders",
    about="a folder for load_dataset",
    reading=_READING,
    write=write_split_tables,
    data_files="{0}/**",
    check=import_pyarrow,
)
PARQUET = ExportFormat(
    layout="shards",
    about="shards for load_dataset",
    reading=_READING,
    open_shard=open_labelled_parquet,
    ending=".parquet",
    data_files="{0}-*.parquet",
)


WEBDATASET = ExportFormat(
    layout="shards",
    about="shards in tar",
    reading="from glob import glob\n\nimport webdataset\n\n"
    'shards = sorted(glob("{0}-*.tar"))\n'
    '{0} = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")',
    open_shard=lambda path, *_: open_tar(path),
    ending=".tar",
    data_files="{0}-*.tar",
)

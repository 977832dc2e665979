"""Tables and shards: Parquet, with the pictures beside it or inside, and WebDataset in tar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gleanset.files.parquet import ROWS, parquet_file, pyarrow
from gleanset.files.shards import INSIDE, Put, open_parquet, open_tar, table_columns
from labeler.export.formats.base import ExportFormat
from labeler.export.item import ExportItem
from labeler.export.rows import BESIDE, by_split, class_numbers, table_row, told_of, with_folds

METADATA = "metadata.parquet"
"""What the ImageFolder of `datasets` looks for beside pictures."""
_READING = (
    "import os\n\nfrom datasets import load_dataset\n\n"
    '{0} = load_dataset(os.path.abspath("."))["{1}"]'
)


def write_split_tables(folder: Path, items: Sequence[ExportItem]) -> None:
    """Hugging Face: one `metadata.parquet` a split, whose paths begin in its folder."""
    numbers, folds = class_numbers(items), with_folds(items)

    def row(item: ExportItem) -> dict[str, object]:
        return table_row(told_of(item, numbers, folds))

    columns, said = table_columns(BESIDE, row(items[0]), list(numbers))
    for split, chosen in by_split(items):
        with parquet_file(folder / split / METADATA, columns, said) as write:
            for first in range(0, len(chosen), ROWS):
                some = chosen[first : first + ROWS]
                write([{"file_name": i.path.removeprefix(f"{split}/")} | row(i) for i in some])


@contextmanager
def open_labelled_parquet(
    path: Path, classes: Sequence[str], like: Mapping[str, object]
) -> Iterator[Put]:
    """Rows with the picture itself; `label` is the number of the class, as `datasets` has it."""
    columns, schema = table_columns(INSIDE, table_row(like, "sha256"), classes)
    with open_parquet(path, columns, schema) as put:
        yield lambda record: put(replace(record, facts=table_row(record.facts)))


HUGGINGFACE = ExportFormat(
    pictures="class folders",
    about="a folder for load_dataset",
    reading=_READING,
    says_paths="`metadata.parquet` in each split",
    write=write_split_tables,
    data_files="{0}/**",
    check=pyarrow,
)
PARQUET = ExportFormat(
    pictures="shards",
    about="shards for load_dataset",
    reading=_READING,
    says_paths="the tables",
    open_shard=open_labelled_parquet,
    ending=".parquet",
    data_files="{0}-*.parquet",
)


WEBDATASET = ExportFormat(
    pictures="shards",
    about="shards in tar",
    reading="from glob import glob\n\nimport webdataset\n\n"
    'shards = sorted(glob("{0}-*.tar"))\n'
    '{0} = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")',
    says_paths="the JSON of each sample",
    open_shard=lambda path, *_: open_tar(path),
    ending=".tar",
    data_files="{0}-*.tar",
)

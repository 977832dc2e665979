"""WebDataset: shards that are tar files, read from one end to the other."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from labeler.export.formats.base import ExportFormat, Put, ShardRecord


@contextmanager
def open_tar(path: Path, classes: Sequence[str], like: Mapping[str, object]) -> Iterator[Put]:
    """For each record the picture, a `.json` and a `.cls`; equal records give equal bytes."""
    import tarfile

    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:

        def put(record: ShardRecord) -> None:
            stem, _, ending = record.file.partition(".")
            told = {key: value for key, value in record.facts.items() if key != "class"}
            members = {
                ending: record.data,
                "json": json.dumps(told, ensure_ascii=False).encode(),
                "cls": str(record.facts["class"]).encode(),
            }
            for extension, data in members.items():
                about = tarfile.TarInfo(f"{stem}.{extension}")
                about.size = len(data)
                tar.addfile(about, io.BytesIO(data))

        yield put


WEBDATASET = ExportFormat(
    pictures="shards",
    about="shards in tar",
    reading="from glob import glob\n\nimport webdataset\n\n"
    'shards = sorted(glob("{0}-*.tar"))\n'
    '{0} = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")',
    says_paths="the JSON of each sample",
    open_shard=open_tar,
    ending=".tar",
    data_files="{0}-*.tar",
)

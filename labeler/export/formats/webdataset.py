"""WebDataset: shards that are tar files, read from one end to the other."""

from __future__ import annotations

from gleanset.files.shards import open_tar
from labeler.export.formats.base import ExportFormat

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

"""WebDataset shards: tar files whose members belong together by the name before the dot."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from labeler.export.plan import Item

MOST_BYTES = 1_000_000_000
"""A shard is closed above this size; WebDataset's authors advise 100 MB to 10 GB."""


def write_shards(
    folder: Path,
    split: str,
    items: Sequence[Item],
    labels: Sequence[str],
    told: Callable[[Item], Mapping[str, object]],
) -> None:
    """Move the pictures of a split from its tree into shards.

    For each there is a `.cls` (the number of its class in `classes.txt`, from 0) and a `.json`.
    """
    (folder / "classes.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    number = {label: index for index, label in enumerate(labels)}
    shard = _Shards(folder, split)
    for item in items:
        path = folder / item.path
        about = json.dumps(told(item), ensure_ascii=False).encode()
        # Names end at their first dot here; the sample's key has none, and is nobody else's.
        copy = f"_{item.copy}" if item.copy else ""
        shard.add(
            f"{item.sample.key}{copy}",
            {
                path.suffix[1:]: path.read_bytes(),
                "json": about,
                "cls": str(number[str(item.sample.label)]).encode(),
            },
        )
    shard.close()
    shutil.rmtree(folder / split)


class _Shards:
    """Tar files of a split, one open at a time; equal members give equal bytes."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder = folder
        self._split = split
        self._number = 0
        self._tar: tarfile.TarFile | None = None

    def add(self, name: str, members: Mapping[str, bytes]) -> None:
        """One sample: files that share a name and differ in what follows its dot."""
        if self._tar is None:
            path = self._folder / f"{self._split}-{self._number:06}.tar"
            self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            self._number += 1
        for extension, data in members.items():
            about = tarfile.TarInfo(f"{name}.{extension}")
            about.size = len(data)
            self._tar.addfile(about, io.BytesIO(data))
        if self._tar.offset > MOST_BYTES:
            self.close()

    def close(self) -> None:
        """Finish the open shard, if any."""
        if self._tar is not None:
            self._tar.close()
            self._tar = None

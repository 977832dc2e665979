"""Definition of an export format: the files it adds, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gleanset.files.shards import Put, ShardRecord
from labeler.export.item import ExportItem

__all__ = ["ENDING", "ExportFormat", "ImageLayout", "OpenShard", "Put", "ShardRecord"]

ImageLayout = Literal["class folders", "whole", "shards", "clips"]
"""Arrangement of the images in an export: see `ExportFormat`."""
ENDING = r"\.[a-z0-9]{1,16}(\.[a-z0-9]{1,16})?"
"""Pattern of the extensions of shards."""
OpenShard = Callable[
    [Path, Sequence[str], Mapping[str, object]], AbstractContextManager[Put]
]
"""Opens a new shard for records, given its path, the classes, and the facts of one record."""


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """A format that some tool reads.

    `layout` is "class folders", "whole" (images with boxes), "shards", or "clips" (of videos, in
    class folders). `about` is for the help; `reading` are the lines of Python that read a split:
    {0} is its name, {1} that on the Hugging Face hub, {2} its folder.

    `write` adds the format's own files to a tree. `open_shard` opens a shard, whose name ends in
    `ending`. `data_files` are those of a split for `datasets`. `required_splits` are the splits
    that the tool needs, `reader_file_pattern` matches files that it leaves in the tree. With
    `has_unique_stems` no two names differ only in their extension; with `split_optional` no split
    is needed. `needs_all_faces`: images with an undecided face are left out. `check` raises an
    error if the format cannot be written here.
    """

    layout: ImageLayout
    about: str
    reading: str
    write: Callable[[Path, Sequence[ExportItem]], None] | None = None
    open_shard: OpenShard | None = None
    ending: str = ""
    data_files: str = ""
    required_splits: tuple[str, ...] = ()
    reader_file_pattern: str = ""
    has_unique_stems: bool = False
    split_optional: bool = False
    needs_all_faces: bool = True
    check: Callable[[], object] | None = None

"""What a format of exports is: what it adds to the pictures, and how that is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gleanset.files.shards import Put, ShardRecord
from labeler.export.item import ExportItem

__all__ = ["ENDING", "ExportFormat", "OpenShard", "Pictures", "Put", "ShardRecord"]

Pictures = Literal["class folders", "whole", "shards"]
"""How they lie in an export: see `ExportFormat`."""
ENDING = r"\.[a-z0-9]{1,16}(\.[a-z0-9]{1,16})?"
"""What shards may end in."""
OpenShard = Callable[[Path, Sequence[str], Mapping[str, object]], AbstractContextManager[Put]]
"""Gives what puts records into a new file: of its path, the classes, and what one record tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """A format that some tool reads.

    `pictures` states the arrangement: class folders, whole images with boxes, or `shards`. `about`
    is for the help; `reading` are the lines of Python that read a split ({0} as an export names it,
    {1} as the Hugging Face hub does), `says_paths` names the field with the original path.

    `write` adds the format's own files to a tree. `open_shard` opens a shard, whose name ends in
    `ending`. `data_files` are those of a split for `datasets`. `cannot_do_without` are the splits
    that the tool needs, `left_by_reader` is a pattern of files that it leaves in the tree. With
    `names_by_stem` no two names differ only in their extension; with `may_have_no_split` no split
    is needed. `check` raises an error if the format cannot be written here.
    """

    pictures: Pictures
    about: str
    reading: str
    says_paths: str = ""
    write: Callable[[Path, Sequence[ExportItem]], None] | None = None
    open_shard: OpenShard | None = None
    ending: str = ""
    data_files: str = ""
    cannot_do_without: tuple[str, ...] = ()
    left_by_reader: str = ""
    names_by_stem: bool = False
    may_have_no_split: bool = False
    check: Callable[[], object] | None = None

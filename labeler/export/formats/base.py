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
    """One format, as some tool reads it.

    `pictures` lie in class folders, or whole beside their boxes, or packed into `shards`. `about`
    is for the help of a command; `reading` are the lines of Python that read a split ({0} as an
    export calls it, {1} as the hub of Hugging Face does), `says_paths` names what has the original
    path of each picture.

    Of a tree `write` adds what belongs to the format. Shards are opened by `open_shard` and end in
    `ending`. `data_files` are those of a split for `datasets`. `cannot_do_without` are the splits
    that its reader needs, `left_by_reader` (a pattern) the files that it leaves in the tree. With
    `names_by_stem` no two names differ in their endings alone; with `may_have_no_split` its
    readers need no split. `check` raises what hinders it.
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

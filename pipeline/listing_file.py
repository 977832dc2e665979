"""`gleanset list --out`: the lines of a listing in a file, a page of them in memory at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import islice
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from gleanset.db.images import PlaceFound
from gleanset.db.proposals import PresortedSample, Proposal
from gleanset.db.quality import Quality
from gleanset.db.visitors import AlikeImage, Claim
from gleanset.files.atomic import whole_file
from gleanset.files.parquet import Column, parquet_file
from gleanset.records import Box, Decision, Face, Image, Origin, Rejection, Run, Sample, Snapshot
from pipeline.listing import COLOURS, PRESORTED, WISHED, Line

GROUP = 5_000
"""So many rows are a row group of Parquet, and in memory at a time."""

_JSON = "json"
_PLAIN = {str: "string", int: "int64", float: "double", bool: "bool"}


def write_lines(lines: Iterable[Line], out: Path) -> int:
    """Write one JSON object a line; return how many."""
    with whole_file(out) as partial, partial.open("w", encoding="utf-8") as file:
        texts = (json.dumps(line, ensure_ascii=False) for line in lines)
        return sum(bool(file.write(f"{text}\n")) for text in texts)


def write_table(lines: Iterable[Line], kind: str, out: Path) -> int:
    """Write a Parquet file, with the same columns whatever the lines hold; return how many.

    What has no type of its own (landmarks, settings and results of runs) is text in JSON.
    Raises `MissingComponent`.
    """
    columns = COLUMNS[kind]
    packed = [name for name, column in columns.items() if column == _JSON]
    types = {name: "string" if name in packed else column for name, column in columns.items()}
    number = 0
    with whole_file(out) as partial, parquet_file(partial, types) as write:
        rest = iter(lines)
        while rows := list(islice(rest, GROUP)):
            write([_packed(row, packed) for row in rows])
            number += len(rows)
    return number


def _packed(line: Line, names: Sequence[str]) -> Mapping[str, object]:
    return line | {name: json.dumps(line[name], ensure_ascii=False) for name in names}


def _column(hint: Any) -> Column:
    """Return what a column of values of that type holds."""
    if get_origin(hint) is UnionType:
        (hint,) = (one for one in get_args(hint) if one is not NoneType)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if hint is Box:
        return ["int64"]
    inner = get_args(hint)
    if get_origin(hint) is tuple and (inner[0] in _PLAIN or is_dataclass(inner[0])):
        return [_column(inner[0])]
    return _columns(hint) if is_dataclass(hint) else _JSON


def _columns(record: Any, **renamed: str) -> dict[str, Column]:
    hints = get_type_hints(record)
    names = [field.name for field in fields(record)] if is_dataclass(record) else list(hints)
    return {renamed.get(name, name): _column(hints[name]) for name in names}


_VISIT: dict[str, Column] = {"id": "int64", "at": "string", "status": "string"}
_HASH: dict[str, Column] = {"phash": "string"}
_IMAGE_BOX: dict[str, Column] = {"image": "string", "box": ["int64"]}
_PROPOSED: dict[str, Column] = {"sample": "string", "status": "string", "waits": "bool"}
_PROPOSED |= _columns(Proposal) | {"others": [_columns(Proposal)]}
_PROPOSED |= {name: _columns(PresortedSample)[name] for name in PRESORTED}
_YIELDS: dict[str, Column] = {"source": "string", "asked": "string", "added": "int64"}
_YIELDS |= {"duplicate": "int64", "rejected": "int64", "reasons": _JSON}
COLUMNS: dict[str, dict[str, Column]] = {
    "images": _columns(Image) | _HASH | {"origins": [_columns(Origin, key="source_id")]},
    "faces": {"image": "string"}
    | {name: column for name, column in _columns(Face).items() if name != "evidence"},
    "samples": _columns(Sample, key="id")
    | _HASH
    | _columns(PlaceFound)
    | _columns(Quality)
    | {"flags": ["string"]},
    "colours": _IMAGE_BOX
    | dict.fromkeys(COLOURS, "string")
    | {f"{name}_rgb": ["int64"] for name in COLOURS},
    "decisions": _columns(Decision),
    "groups": {"group": "string", "samples": ["string"]},
    "rejections": _columns(Rejection),
    "yields": _YIELDS,
    "runs": _columns(Run),
    "proposals": _PROPOSED,
    "stacks": {"stack": "string", "size": "int64", "decided": "int64", "samples": ["string"]},
    "snapshots": _columns(Snapshot),
    "reports": _VISIT | _columns(Claim) | {"disputed_by": ["int64"]},
    "takedowns": _VISIT
    | dict.fromkeys(WISHED, "string")
    | {"means": ["string"], "looks_like": [_columns(AlikeImage)]},
    "missed": {"image": "string", "file": "string", "width": "int64", "height": "int64"},
}

"""Snapshots and what differs between them, as JSON and as lines of 80 columns."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence

from curation.snapshots import Difference, made_from, snapshot_words
from gleanset.cli import CommandJob, Result
from gleanset.db.snapshots import Moves, Snapshots
from gleanset.html.words import count, number
from gleanset.records import Snapshot
from gleanset.terminal import WIDTH, columns, cut, padded

_HASH = 12
"""So many digits of a hash or key are shown; commands take beginnings."""
_LONGEST = 24
"""Columns of a class or setting."""


def snapshot_result(snapshot: Snapshot) -> Result:
    """Return a snapshot as a command returns it; empty notes are left out."""
    found = dataclasses.asdict(snapshot)
    return {"snapshot": found.pop("name")} | {k: v for k, v in found.items() if v != ""}


def snapshot_table(job: CommandJob) -> Result | None:
    """List the snapshots of a dataset, and say which of them it is now."""
    with job.open() as dataset:
        snapshots = list(Snapshots(dataset.db).each())
        now = made_from(dataset)
    if job.as_json:
        return {"snapshots": [snapshot_result(one) for one in snapshots], "now": now}
    if not snapshots:
        job.show("no snapshot yet; make one: gleanset snapshot NAME")
        return None
    for line in _rows(snapshots):
        job.show(line)
    job.show(f"now: {snapshot_words(now)}")
    return None


def _rows(snapshots: Sequence[Snapshot]) -> Iterator[str]:
    cells = [
        (
            snapshot.name,
            snapshot.at[:16].replace("T", " "),
            number(snapshot.images),
            number(snapshot.labelled),
        )
        for snapshot in snapshots
    ]
    head = ("name", "time (UTC)", "images", "labelled")
    wide = [min(_LONGEST, max(map(columns, column))) for column in zip(head, *cells, strict=True)]
    yield _line(head, wide) + "  note"
    for snapshot, row in zip(snapshots, cells, strict=True):
        yield cut(f"{_line(row, wide)}  {snapshot.note}", WIDTH).rstrip()


def _line(cells: Sequence[str], wide: Sequence[int]) -> str:
    left = [padded(cell, width) for cell, width in zip(cells[:2], wide, strict=False)]
    right = [cell.rjust(width) for cell, width in zip(cells[2:], wide[2:], strict=True)]
    return "  ".join([*left, *right])


def difference_result(difference: Difference) -> Result:
    """Return a difference as JSON values; lists are as long as they were asked for."""
    plain = {
        "from": difference.a,
        "to": difference.b,
        "same": difference.empty,
        "pictures": difference.pictures._asdict(),
        "classes": difference.classes,
        "settings": [one._asdict() for one in difference.settings],
        "others": difference.others,
    }
    moves = {"labels": difference.labels, "splits": difference.splits, "copies": difference.copies}
    return plain | {name: _moves_result(one) for name, one in moves.items()}


def _moves_result(moves: Moves) -> Result:
    return {
        "changed": moves.total,
        "moves": [{"from": a, "to": b, "samples": n} for a, b, n in moves.moves],
        "samples": [{"sample": key, "from": a, "to": b} for key, a, b in moves.samples],
    }


def difference_lines(difference: Difference) -> list[str]:
    """Return a difference for a person, in lines of at most 80 columns."""
    lines = [f"from {difference.a} to {difference.b}"]
    if difference.empty:
        return [f"{lines[0]}: nothing differs"]
    lines += _pictures(difference)
    for name, moves in (
        ("labels", difference.labels),
        ("splits", difference.splits),
        ("copies", difference.copies),
    ):
        lines += _moves(name, moves)
    if difference.others:
        told = (f"{name} of {count(n, 'sample')}" for name, n in difference.others.items())
        lines.append(f"also: {', '.join(told)}")
    lines += _listed("classes", difference.classes)
    settings = [f"{s.key}: {_value(s.before)} -> {_value(s.after)}" for s in difference.settings]
    return [cut(line, WIDTH).rstrip() for line in [*lines, *_listed("settings", settings)]]


def _pictures(difference: Difference) -> list[str]:
    pictures = difference.pictures
    numbers = {
        "came": pictures.added,
        "not there": pictures.removed,
        "forgotten": pictures.forgotten,
    }
    if not any(numbers.values()):
        return []
    words = ", ".join(f"{number(n)} {word}" for word, n in numbers.items() if n)
    return [
        f"pictures: {words}",
        *_some("+", pictures.some_added, pictures.added),
        *_some("-", pictures.some_removed, pictures.removed),
    ]


def _some(sign: str, hashes: Sequence[str], total: int) -> list[str]:
    lines = [f"  {sign} {one[:_HASH]}" for one in hashes]
    return [*lines, *_more(total - len(hashes))] if hashes else []


def _moves(name: str, moves: Moves) -> list[str]:
    if not moves.moves:
        return []
    wide = [
        min(_LONGEST, max(columns(words) for words in column))
        for column in zip(*((a, b) for a, b, _ in moves.moves), strict=True)
    ]
    counts = [number(n) for _, _, n in moves.moves]
    digits = max(map(len, counts))
    lines = [f"{name}: {count(moves.total, 'sample')}"]
    for (a, b, _), told in zip(moves.moves, counts, strict=True):
        lines.append(f"  {told.rjust(digits)}  {padded(a, wide[0])} -> {padded(b, wide[1])}")
    for key, a, b in moves.samples:
        lines.append(f"    {key[:_HASH]}  {cut(a, _LONGEST)} -> {cut(b, _LONGEST)}")
    return lines + (_more(moves.total - len(moves.samples)) if moves.samples else [])


def _more(number_left: int) -> list[str]:
    return [f"    and {number(number_left)} more (--limit)"] if number_left > 0 else []


def _listed(name: str, lines: Iterable[str]) -> list[str]:
    found = [f"  {line}" for line in lines]
    return [f"{name}:", *found] if found else []


def _value(value: object) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)

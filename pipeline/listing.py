"""`gleanset list`: every field the catalogue has, one JSON object a line.

The stable way to look inside. Lines come in an order that depends on content alone, so two
datasets with the same content print the same.
"""

from __future__ import annotations

import dataclasses
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from gleanset import Dataset
from gleanset.db.paging import Where
from gleanset.errors import UsageError
from gleanset.records import Face, Sample

Line = dict[str, Any]
Test = Callable[[Line], bool]
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, "!=": operator.ne, "=": operator.eq,
    ">": operator.gt, "<": operator.lt,
}  # fmt: skip


def images(dataset: Dataset) -> Iterator[Line]:
    """All images with their origins."""
    for image in dataset.images.each():
        line = _plain(image)
        line["phash"] = f"{image.phash:016x}"
        yield line


def faces(dataset: Dataset) -> Iterator[Line]:
    """All faces; `landmarks` is a list of [name, x, y]."""
    for found in dataset.faces.each():
        yield {"image": found.image, **_face(found.face)}


def _face(face: Face) -> Line:
    return {"detector": face.detector, "box": list(face.box), "score": face.score,
            "landmarks": [list(mark) for mark in face.landmarks]}  # fmt: skip


def samples(dataset: Dataset) -> Iterator[Line]:
    """All samples, those set aside included."""
    yield from (_sample(sample) for sample in dataset.samples.by_key())


def _sample(sample: Sample) -> Line:
    line = _plain(sample)
    line["id"] = line.pop("key")
    line["box"] = list(sample.box)
    line["phash"] = f"{sample.phash:016x}"
    return {"id": line.pop("id"), **line}


def decisions(dataset: Dataset) -> Iterator[Line]:
    """The journal, oldest first."""
    yield from (_plain(decision) for decision in dataset.journal.each())


def groups(dataset: Dataset) -> Iterator[Line]:
    """Duplicate groups with the samples in them."""
    found: dict[str, list[str]] = {}
    for sample in dataset.samples.by_key():
        if sample.group is not None:
            found.setdefault(sample.group, []).append(sample.key)
    yield from ({"group": group, "samples": members} for group, members in sorted(found.items()))


def rejections(dataset: Dataset) -> Iterator[Line]:
    """Everything that was not used, and why."""
    yield from (_plain(rejection) for rejection in dataset.rejections.each())


def runs(dataset: Dataset) -> Iterator[Line]:
    """Training runs, oldest first."""
    yield from (_plain(run) for run in dataset.runs.each())


KINDS: dict[str, Callable[[Dataset], Iterator[Line]]] = {
    "images": images, "faces": faces, "samples": samples, "decisions": decisions,
    "groups": groups, "rejections": rejections, "runs": runs,
}  # fmt: skip


def listing(dataset: Dataset, kind: str, conditions: tuple[str, ...]) -> Iterator[Line]:
    """The lines of one kind for which every condition holds."""
    tests = [parse_condition(text) for text in conditions]
    lines = _from_index(dataset, conditions) if kind == "samples" and tests else None
    for line in lines if lines is not None else KINDS[kind](dataset):
        if all(test(line) for test in tests):
            yield line


def _from_index(dataset: Dataset, conditions: tuple[str, ...]) -> Iterator[Line] | None:
    """Samples by an index of the catalogue, where a condition is an equality that has one."""
    equal = {field: value for field, sign, value in map(_split, conditions)
             if sign == "=" and value != "null"}  # fmt: skip
    where = Where(label=equal.get("label"), status=equal.get("status"), split=equal.get("split"))
    if where == Where():
        return None
    found = sorted(dataset.samples.each(where), key=lambda sample: sample.key)
    return (_sample(sample) for sample in found)


def parse_condition(text: str) -> Test:
    """`label=hana`, `score>=0.8`, `origins.source=bing`: a test of a line.

    A field inside a list holds when it holds for one of its members. Raises `UsageError`.
    """
    field, sign, wanted = _split(text)
    compare = _COMPARE[sign]
    path = field.split(".")

    def test(line: Line) -> bool:
        return any(_holds(compare, value, wanted) for value in _values(line, path))

    return test


def _split(text: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"([\w.]+)\s*(>=|<=|!=|=|>|<)\s*(.*)", text, re.DOTALL)
    if match is None:
        raise UsageError(
            f"--where {text!r} is not a condition", "write for instance label=hana or score>=0.8"
        )
    field, sign, value = match.groups()
    return field, sign, value


def _values(value: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _values(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _values(value[path[0]], path[1:])


def _holds(compare: Callable[[Any, Any], bool], value: Any, wanted: str) -> bool:
    if value is None:
        return compare("null", wanted) if compare in (operator.eq, operator.ne) else False
    if isinstance(value, bool):
        return compare(str(value).lower(), wanted.lower())
    if isinstance(value, (int, float)):
        try:
            return compare(value, float(wanted))
        except ValueError:
            return compare is operator.ne
    return compare(str(value), wanted)


def _plain(record: Any) -> Line:
    return dataclasses.asdict(record)

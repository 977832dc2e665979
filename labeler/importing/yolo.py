"""YOLO: a text for each image, with class numbers and boxes in fractions of the image."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from gleanset.errors import InputUnusable
from gleanset.records import Rectangle
from labeler.importing.labelled import (
    FRACTIONS,
    ImageFinder,
    ImportTree,
    LabelledFiles,
    around,
    has_coordinates,
    rectangle,
    text_of,
)

_LINE = re.compile(r"\s*\d+(?:\s+-?\d*\.?\d+(?:[eE][-+]?\d+)?){4,}\s*")
_YAML_FLOW = re.compile(r"^names[ \t]*:\s*[\[{]([^\]}]*)[\]}]", re.MULTILINE)
_YAML_BLOCK = re.compile(r"^names[ \t]*:[^\n]*\n((?:(?:[ \t]+|- )[^\n]*(?:\n|\Z))+)", re.MULTILINE)
_QUOTED = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\n]|'')*'"
_NUMBER = r"[\"']?(\d+)[\"']?\s*:\s*"
_YAML_ENTRY = re.compile(rf"(?:{_NUMBER})?({_QUOTED}|[^,\s\"'][^,\n]*)")
_YAML_LINE = re.compile(
    rf"^\s*(?:-\s+|{_NUMBER})({_QUOTED}|[^\s\"'#](?:(?!\s#)[^\n])*)", re.MULTILINE
)
_NAME_LISTS = (".names", "classes.txt", "_darknet.labels", "obj.names")


def read_yolo(tree: ImportTree) -> LabelledFiles | None:
    """Read the YOLO labels of a folder; None where there are none.

    Raises `InputUnusable` where no file names the classes.
    """
    labels = dict(_label_files(tree))
    if not any(_LINE.fullmatch(line) for _, lines in labels.values() for line in lines):
        return None
    labelled = LabelledFiles("yolo", tree, "without a YOLO label file")
    names = _class_names(tree, labelled)
    if not names:
        raise InputUnusable(
            f"YOLO labels without class names: {tree.root}",
            "add data.yaml with names, or classes.txt with a name on each line; or, where folders "
            "name the classes, import with --class-level 1",
        )
    keypoints = any("kpt_shape" in text_of(file) for file in tree.ending("data.yaml"))
    for file, (image, lines) in labels.items():
        labelled.tables.add(file)
        labelled.ignored[image] = "YOLO label file without a box"
        nearest = next((above for above in file.parents if above in names), min(names))
        for line in lines:
            if not _LINE.fullmatch(line):
                labelled.drop(image, "not a line of YOLO")
                continue
            number, *values = line.split()
            box = partial(_box, list(map(float, values)), keypoints)
            labelled.annotate(image, names[nearest].get(int(number)), box, FRACTIONS)
    return labelled


def _label_files(tree: ImportTree) -> Iterator[tuple[Path, tuple[Path, list[str]]]]:
    finder = ImageFinder(tree)
    for file in tree.ending(".txt"):
        lines = _label_lines(file)
        if lines is not None and (image := finder.beside(file)) is not None:
            yield file, (image, lines)


def _label_lines(file: Path) -> list[str] | None:
    """Return the lines of a YOLO label file; None for any other text."""
    try:
        lines = [line for line in text_of(file).splitlines() if line.strip()]
    except InputUnusable:
        return None
    # A damaged line costs itself alone.
    return lines if all(_LINE.fullmatch(line) or has_coordinates(line) for line in lines) else None


def _box(values: list[float], keypoints: bool) -> Rectangle:
    if len(values) > 5 and len(values) % 2 == 0 and not keypoints:
        return around(values)
    x, y, width, height = values[:4]
    return rectangle((x - width / 2, y - height / 2, width, height))


def _class_names(tree: ImportTree, labelled: LabelledFiles) -> dict[Path, Mapping[int, str]]:
    names: dict[Path, Mapping[int, str]] = {}
    for file in tree.ending(".yaml", ".yml", *_NAME_LISTS):
        text = text_of(file)
        if file.suffix.lower() in (".yaml", ".yml"):
            listed = _yaml_names(text)
        else:
            lines = enumerate(line.strip() for line in text.splitlines())
            listed = {number: name for number, name in lines if name}
        if listed:
            names.setdefault(file.parent, listed)
            labelled.tables.add(file)
    return names


def _yaml_names(text: str) -> dict[int, str]:
    """Return `names` of a data.yaml, which is a list or numbered, on one line or several."""
    names: dict[int, str] = {}
    if match := _YAML_FLOW.search(text):
        entries = _YAML_ENTRY.finditer(match[1])
    elif match := _YAML_BLOCK.search(text):
        entries = _YAML_LINE.finditer(match[1])
    else:
        return {}
    for number, value in (entry.groups() for entry in entries):
        if name := _yaml_text(value.strip()):
            names[int(number) if number else len(names)] = name
    return names


def _yaml_text(text: str) -> str:
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            return text.strip('"')
    return text[1:-1].replace("''", "'") if text.startswith("'") else text

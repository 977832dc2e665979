"""YOLO: a text file for each image, with class numbers and boxes as fractions of the image."""

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
    bounding_box,
    box_from_size,
    has_coordinates,
    read_text_file,
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
    """Read the YOLO labels of a folder; None if there are none.

    Raises `InputUnusable` if no file lists the classes.
    """
    labels = dict(_label_files(tree))
    if not any(_LINE.fullmatch(line) for _, lines in labels.values() for line in lines):
        return None
    labelled = LabelledFiles("yolo", tree, "without a YOLO label file")
    names = _class_names(tree, labelled)
    if not names:
        raise InputUnusable(
            f"YOLO labels without class names: {tree.root}",
            "add data.yaml with names, or classes.txt with a name on each line; if folders name "
            "the classes: --class-level 1",
        )
    keypoints = any("kpt_shape" in read_text_file(file) for file in tree.iter_files("data.yaml"))
    for file, (image, lines) in labels.items():
        labelled.tables.add(file)
        labelled.ignored[image] = "YOLO label file without a box"
        nearest = next((folder for folder in file.parents if folder in names), min(names))
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
    for file in tree.iter_files(".txt"):
        lines = _label_lines(file)
        if lines is not None and (image := finder.find_sibling(file)) is not None:
            yield file, (image, lines)


def _label_lines(file: Path) -> list[str] | None:
    """Return the lines of a YOLO label file; None for any other text file."""
    try:
        lines = [line for line in read_text_file(file).splitlines() if line.strip()]
    except InputUnusable:
        return None
    # A damaged line is dropped without refusing the file.
    return lines if all(_LINE.fullmatch(line) or has_coordinates(line) for line in lines) else None


def _box(values: list[float], keypoints: bool) -> Rectangle:
    if len(values) > 5 and len(values) % 2 == 0 and not keypoints:
        return bounding_box(values)
    x, y, width, height = values[:4]
    return box_from_size((x - width / 2, y - height / 2, width, height))


def _class_names(tree: ImportTree, labelled: LabelledFiles) -> dict[Path, Mapping[int, str]]:
    names: dict[Path, Mapping[int, str]] = {}
    for file in tree.iter_files(".yaml", ".yml", *_NAME_LISTS):
        text = read_text_file(file)
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
    """Return `names` of a data.yaml: a list or a mapping, in flow or block style."""
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

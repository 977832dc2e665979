"""An export of ours in which a person has moved files about."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.files.store import sha256_of_file
from labeler.export.tree import marked
from labeler.importing.reading import NAMES, SPLITS, Labelled


@dataclass
class Moves:
    """What a person did: sample to new label, files that are new, and what is only counted."""

    relabelled: dict[str, str] = field(default_factory=dict)
    added: list[Labelled] = field(default_factory=list)
    tally: Counter[str] = field(
        default_factory=lambda: Counter(unchanged=0, gone=0, other_split=0, unknown=0)
    )

    def result(self) -> dict[str, object]:
        """As a command returns it: deleted files and files moved to another split are counted."""
        labels = Counter(self.relabelled.values())
        return {
            "kind": "our export", "relabelled": len(self.relabelled),
            "labels": dict(sorted(labels.items())), "new_files": len(self.added), **self.tally,
        }  # fmt: skip


def find_moves(dataset: Dataset, root: Path) -> Moves:
    """Compare an exported tree with its marker: by content, so names may have changed too.

    Raises `InputUnusable` for exports that have no class folders.
    """
    told = marked(root)
    if told.get("format") not in ("imagefolder", "huggingface", "csv"):
        raise InputUnusable(
            f"{root} is a {told.get('format')} export, whose pictures have no class folders",
            "export an imagefolder, move its pictures about, and import that",
        )
    pictures: dict[str, dict[str, Any]] = dict(told["pictures"])
    by_hash: dict[str, list[str]] = defaultdict(list)
    for name, about in pictures.items():
        by_hash[str(about["sha256"])].append(name)
    labels = _folder_labels(pictures)
    moves = Moves()
    seen: set[str] = set()
    for path in _pictures(root):
        name = path.relative_to(root).as_posix()
        before = name if name in pictures else _elsewhere(path, by_hash, seen)
        label = labels.get(_class_folder(name), _class_folder(name))
        if not label:
            moves.tally["unknown"] += 1
        elif before is None:
            moves.added.append(Labelled(path, ((None, label),)))
        else:
            seen.add(before)
            _compare(dataset, moves, pictures[before], before, name, label)
    moves.tally["gone"] = len(set(pictures) - seen)
    return moves


def _compare(
    dataset: Dataset, moves: Moves, about: dict[str, Any], before: str, now: str, label: str
) -> None:
    sample = dataset.samples.get(str(about["sample"]))
    if sample is None:
        moves.tally["unknown"] += 1
    elif sample.label != label and about["label"] != label:
        moves.relabelled[sample.key] = label
    elif before.split("/")[0] != now.split("/")[0]:
        moves.tally["other_split"] += 1
    else:
        moves.tally["unchanged"] += 1


def _elsewhere(path: Path, by_hash: dict[str, list[str]], seen: set[str]) -> str | None:
    digest = sha256_of_file(path)
    return next((name for name in by_hash.get(digest, ()) if name not in seen), None)


def _folder_labels(pictures: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The class that each folder was made for: names of folders are not always those of classes."""
    return {_class_folder(name): str(about["label"]) for name, about in pictures.items()}


def _class_folder(name: str) -> str:
    folders = name.split("/")[:-1]
    inner = folders[1:] if folders and folders[0] in SPLITS else folders
    return inner[0] if inner else ""


def _pictures(root: Path) -> list[Path]:
    return [
        path for path in sorted(root.rglob("*"))
        if path.suffix.lower() in NAMES and path.is_file() and not path.is_symlink()
    ]  # fmt: skip

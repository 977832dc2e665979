"""Adding pictures to a run's gallery from files, and taking classes out of it.

Nothing is lost: the files of added pictures are kept in the run's `gallery/`, named by their
content, and `gallery/changes.jsonl` tells what was added and removed, so that what was taken out
can be put back by adding those files again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from baseline.data.pixels import read_bytes
from baseline.train.methods.gallery import add_to_gallery, get_gallery_head, remove_from_gallery
from baseline.train.trained_net import load_model
from baseline.use.crops import PicturePart, ReadParts
from baseline.use.model import Model
from gleanset.db.rows import now
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import disk_errors, write_atomic
from gleanset.files.store import sha256_of
from gleanset.platform import cores
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from gleanset.work.stage import stage

PLACE = "gallery"
CHANGES = "changes.jsonl"
KEY = 32
"""Hex digits of the SHA-256 that name an added picture."""


def listed(folder: Path) -> dict[str, int]:
    """Return how many pictures of each class the run knows. Raises `UsageError` for none."""
    return {name: len(keys) for name, keys in _known(folder).items()}


def _known(folder: Path) -> dict[str, tuple[str, ...]]:
    net, _, classes = load_model(folder)
    return dict(zip(classes, get_gallery_head(net).known, strict=True))


def add_files(
    folder: Path,
    name: str,
    paths: Iterable[str],
    read: ReadParts,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Make the pictures in files known as `name`; what was added, and what was rejected and why.

    A picture with several faces is rejected where faces are looked for: whose they are is not
    told. Raises `UsageError` where the run has no gallery, `InputUnusable` where nothing is added.
    """
    if not name.strip():
        raise UsageError("a class needs a name", "give one: --class NAME")
    from baseline.use.engines.run_engine import RunEngine

    with stage(folder / "cache", PLACE) as scratch:
        engine = RunEngine.of(folder)
        get_gallery_head(engine.net)
        keys, parts, rejected = _read(folder, paths, read, progress or Progress(), scratch)
        if not keys:
            reasons = ", ".join(sorted({one["reason"] for one in rejected}))
            raise InputUnusable(
                f"none of {len(rejected)} pictures can be used: {reasons or 'nothing was named'}",
                "name other pictures",
            )
        embedded = Model(engine).embed_pixels(np.stack([part.pixels for part in parts]))
        _note(folder, {"action": "add", "class": name, "pictures": keys}, scratch)
        known = add_to_gallery(folder, name, embedded, keys, scratch=scratch)
    return {
        "class": name,
        "added": len(keys),
        "known": known,
        "rejected": len(rejected),
        "rejections": rejected,
    }


def remove_class(folder: Path, name: str) -> dict[str, object]:
    """Forget a class; its pictures stay in their places. Raises `UsageError`."""
    with stage(folder / "cache", PLACE) as scratch:
        known = _known(folder)
        keys = known.get(name, ())
        remove_from_gallery(folder, name, scratch=scratch)
        _note(folder, {"action": "remove", "class": name, "pictures": list(keys)}, scratch)
    return {"removed": name, "pictures": len(keys), "classes": len(known) - 1}


def _read(
    folder: Path, paths: Iterable[str], read: ReadParts, progress: Progress, scratch: Path
) -> tuple[list[str], list[PicturePart], list[dict[str, str]]]:
    keys: list[str] = []
    parts: list[PicturePart] = []
    rejected: list[dict[str, str]] = []
    outcomes = run_over(read, paths, Processes(cores()))
    for outcome in progress.over(outcomes, "pictures"):
        parts_read = outcome.result or []
        if len(parts_read) != 1:
            reason = outcome.reason or "several faces"
            rejected.append({"path": outcome.item, "reason": reason, "detail": outcome.detail})
            continue
        data = read_bytes(Path(outcome.item))
        key = sha256_of(data)[:KEY]
        if key not in keys:
            ending = Path(outcome.item).suffix.lower()
            write_atomic(folder / PLACE / f"{key}{ending}", data, scratch=scratch)
            keys.append(key)
            parts.append(parts_read[0])
    return keys, parts, rejected


def _note(folder: Path, change: dict[str, object], scratch: Path) -> None:
    path = folder / PLACE / CHANGES
    with disk_errors(path):
        before = path.read_bytes() if path.is_file() else b""
    line = json.dumps({"at": now(), **change}, ensure_ascii=False) + "\n"
    write_atomic(path, before + line.encode(), scratch=scratch)

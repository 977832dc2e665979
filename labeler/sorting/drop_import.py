"""Files and folders that were dropped into the window: images and samples at once.

A picture that is dropped on a class is, as a whole, a sample of that class; elsewhere it is one
that waits. All of one drop is one step, which can be undone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.errors import Unreadable
from gleanset.files.names import printable
from gleanset.files.store import Store
from gleanset.images.cut import CutSettings, Cutter
from gleanset.images.decode import ENDINGS, decode
from gleanset.images.staging import StageBytes, StageFile
from gleanset.operations import Operation, operation
from gleanset.records import Box, Face, FaceCrop, Measured, Origin, Rejection
from gleanset.work.pool import Outcome, Threads, run_over
from labeler.sorting.dropped import DropResult, files_in, folder_hints

STAGE = "dropped"
THREADS = 2


class _Take:
    """Stores a picture, and cuts the whole of it."""

    def __init__(self, keep: StageFile, cutter: Cutter) -> None:
        self._keep, self._cutter = keep, cutter

    def __call__(self, file: _DroppedFile) -> tuple[Measured, FaceCrop]:
        measured = self._keep(file.path)
        data = self._keep.keep.store.read(measured.sha256, measured.format)
        whole = Face("whole", Box(0, 0, measured.width, measured.height), 1.0)
        pixels = np.asarray(decode(data).pixels)
        return measured, self._cutter.cut(measured.sha256, pixels, whole)


class _DroppedFile(NamedTuple):
    """A file, the class that its folder hints at, and its path below what was dropped."""

    path: Path
    hint: str | None
    below: Path


def _files(paths: Sequence[Path]) -> Iterator[_DroppedFile]:
    """Yield the files that were dropped, and what is named as a picture in dropped folders."""
    for path in paths:
        hinted = folder_hints(path)
        for one in files_in(path):
            if one == path or one.suffix.lower() in ENDINGS:
                below = one.relative_to(path) if one != path else Path(one.name)
                yield _DroppedFile(one, hinted(one), below)


def take_in(
    dataset: Dataset,
    paths: Sequence[Path],
    label: str | None = None,
    progress: Callable[[int], None] = lambda count: None,
    stop: Callable[[], bool] = lambda: False,
    *,
    hints: bool = False,
) -> DropResult:
    """Take pictures in; their step. `stop` is asked between files: what is done by then counts.

    With `hints` class folders are hinted for the pictures in them (`folder_hints`).
    What is no picture becomes a rejection. Raises what the disk raises.
    """
    choices: list[Choice] = []
    rejected = 0
    with dataset.stage(STAGE) as scratch:
        cutter = Cutter(CutSettings.of(dataset.settings.crop), dataset.crops(scratch))
        store = dataset.originals(scratch)
        take = _Take(StageFile(StageBytes(store)), cutter)
        files = (file for file in _files(paths) if not stop())
        for outcome in run_over(take, files, Threads(THREADS)):
            try:
                choice = _recorded(dataset, store, outcome, label, hints)
                choices += [choice] if choice else []
            except Unreadable as refused:
                why = Rejection(STAGE, printable(outcome.item.path), refused.reason, refused.detail)
                dataset.rejections.add(why)
                rejected += 1
            progress(len(choices) + rejected)
        step = _decided(dataset, choices, label) if choices else 0
    return DropResult(step, len(choices), rejected)


def _decided(dataset: Dataset, choices: list[Choice], label: str | None) -> int:
    """One step for the whole drop; a class that was renamed meanwhile has its new name."""
    with dataset.db.write():
        if label is not None:
            label = dataset.classes.resolved(label)
            choices = [choice._replace(label=label) for choice in choices]
        return dataset.journal.step(_dropping(len(choices), label), choices)


def _dropping(count: int, label: str | None) -> Operation:
    if label is None:
        return operation("drop", count=count)
    return operation("drop-on-class", count=count, label=label)


def _recorded(
    dataset: Dataset,
    store: Store,
    outcome: Outcome[_DroppedFile, tuple[Measured, FaceCrop]],
    label: str | None,
    hinted: bool,
) -> Choice | None:
    measured, cut = outcome.unwrap()
    file = outcome.item
    path, title = printable(file.path), printable(Path(file.path.name))
    hint = printable(Path(file.hint)) if hinted and file.hint is not None else None
    with dataset.db.write():
        below = printable(file.below).replace(os.sep, "/")
        origin = Origin("dropped", path, path=path, title=title, hint=hint, original_path=below)
        dataset.take_original(store, measured, origin)
        new = dataset.faces.add_by_hand(measured.sha256, cut)
        dataset.rejections.clear(STAGE, path)
    if label is not None:
        return Choice(cut.key, "label", label, "dropped")
    return Choice(cut.key, "add", None, "dropped") if new else None

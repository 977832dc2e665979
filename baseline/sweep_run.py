"""A sweep over a dataset: its cells trained one after the other by the method of the preset."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from baseline.data import Examples, find_examples, load_arrays
from baseline.evaluation.figures import evaluate_logits
from baseline.evaluation.network import outputs_of
from baseline.loop.checkpoint import forget_checkpoint
from baseline.loop.reports import Watch
from baseline.methods.fit import fit
from baseline.methods.material import Material
from baseline.settings import Settings, load_preset
from baseline.sweep import Cell, Learn, Val, best_command, ranked, run_cells, table
from baseline.sweep_plot import draw_sweep
from baseline.validation import with_val
from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.work.progress import Progress

STAGE = "baseline"


def sweep(
    dataset: Dataset,
    preset: str,
    cells: Sequence[dict[str, str]],
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train every cell on train and judge it on val; the table, the plot and the best command.

    Raises `InputUnusable` where val is empty, and what training raises but for rates that are
    too high: those cells are told as failed.
    """
    progress = progress or Progress()
    with dataset.stage(STAGE) as scratch:
        # The seed decides what is cut from train where val is empty: as `baseline train` has it.
        examples, told = with_val(find_examples(dataset), load_preset(preset, {}).seed)
        if told is not None:
            say(told)
        moments = {sample.key: examples.moments[sample.key] for sample in examples.splits["val"]}
        if not moments:
            raise InputUnusable(
                "val is empty: there is nothing to choose by",
                "give it a share: labeler split --ratio 8:1:1",
            )
        folder = dataset.root / "runs" / _name(preset, cells, examples)
        learn = _learner(dataset, examples, progress)
        found: list[Cell] = []
        bar = progress.over(
            run_cells(folder, preset, cells, learn, scratch), "sweep", len(cells), " trainings"
        )
        for cell in bar:
            found.append(cell)
            say(_line(cell))
        val = Val.of(moments, found)
        plot = draw_sweep(folder, found, val, scratch=scratch)
        return _told(dataset, preset, found, val) | {"plot": str(plot.absolute())}


def _name(preset: str, cells: Sequence[dict[str, str]], examples: Examples) -> str:
    """Of its folder: the same for the same cells on the same data."""
    told = json.dumps([preset, *cells, examples.fingerprint()])
    return f"sweep-{preset}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def _learner(dataset: Dataset, examples: Examples, progress: Progress) -> Learn:
    quiet = Progress(quiet=True)

    def learn(settings: Settings, place: Path) -> Cell:
        material = Material(dataset, examples, settings, quiet, place)
        fitted = fit(material, settings, Watch())
        val = load_arrays(dataset, examples, settings, splits=["val"], progress=quiet)["val"]
        logits = outputs_of(fitted.net, val).logits
        judged = evaluate_logits(logits, val.y, val.keys, examples.classes)
        forget_checkpoint(place)
        mistaken = logits.argmax(1) != val.y
        wrong = tuple(key for key, missed in zip(val.keys, mistaken, strict=True) if missed)
        unread = {sample.key for sample in examples.splits["val"]}.difference(val.keys)
        return Cell(
            {},
            judged.accuracy,
            judged.log_loss,
            len(fitted.history),
            wrong=wrong,
            unread=tuple(sorted(unread)),
        )

    return learn


def _line(cell: Cell) -> str:
    if cell.accuracy is None:
        return f"{cell.name}: {cell.failed}"
    return f"{cell.name}: val {cell.accuracy:.3f}, log loss {cell.log_loss:.3f}"


def _told(dataset: Dataset, preset: str, cells: Sequence[Cell], val: Val) -> dict[str, Any]:
    best = ranked(cells)[0]
    if best.accuracy is None:
        raise InputUnusable(
            f"every training of the sweep failed: {best.failed}",
            "try lower learning rates: -o learning_rate=0.0001,0.0003",
        )
    others = [cell for cell in cells if cell.accuracy is not None and cell is not best]
    level = sum(val.level(best, cell) for cell in others)
    interval = val.interval(best)
    return {
        "cells": table(cells),
        "val": len(val.keys),
        "moments": len(set(val.moments.tolist())),
        "best": best.options,
        "accuracy": best.accuracy,
        "interval": interval and list(interval),
        "level_with_best": level,
        "command": shlex.join(best_command(preset, best, dataset.root)),
    }

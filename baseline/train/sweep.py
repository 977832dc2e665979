"""Trying a small grid of settings: each is trained on train and judged on val, never on test.

A sweep that was stopped goes on where it was (`cross_validation.py`).
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from baseline.data.grouped_split import with_val
from baseline.data.samples import Examples, find_examples
from baseline.judge.intervals import Flags, compare_paired, several_interval
from baseline.judge.metrics import empty_split, mean_log_loss
from baseline.judge.outputs import Outputs
from baseline.settings import load_preset
from baseline.train.cross_validation import Fold, cross_validate
from gleanset import Dataset
from gleanset.binomial import Interval
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.work.progress import Progress

MAX_CELLS = 200
TRAIN, VAL, MARK = "#3b6ea5", "#c8602b", "#666666"
"""Blue and orange are told apart by nearly everyone."""
Grid = Mapping[str, Sequence[str]]

GRIDS: dict[str, Grid] = {
    "simple": {
        "blocks": ("32,64", "32,64,128"),
        "dropout": ("0.2", "0.5"),
        "learning_rate": ("0.0005", "0.002"),
    },
    "transfer": {"strength": ("0.01", "0.1", "1", "10", "100", "1000"), "views": ("0", "2")},
    "finetune": {"learning_rate": ("0.0002", "0.0005", "0.001"), "dropout": ("0.2", "0.5")},
    "triplet": {
        "margin": ("0.1", "0.3"),
        "embedding": ("64", "128"),
        "learning_rate": ("0.0005", "0.002"),
    },
}
"""What is tried for a method where nothing is said."""


def read_grid(options: Sequence[str]) -> dict[str, list[str]]:
    """Read `dropout=0.2,0.5` as {'dropout': ['0.2', '0.5']}. Raises `UsageError`.

    A value that has commas itself is separated from the next by a semicolon.
    """
    grid: dict[str, list[str]] = {}
    for text in options:
        key, equals, values = (part.strip() for part in text.partition("="))
        parted = values.split(";" if ";" in values or key == "blocks" else ",")
        found = [value.strip() for value in parted if value.strip()]
        if not (key and equals and found):
            raise UsageError(
                f"-o {text}: not KEY=VALUE,VALUE", "write for instance dropout=0.2,0.5"
            )
        grid[key] = list(dict.fromkeys(found))
    return grid


def cells_of(preset: str, asked: Grid) -> list[dict[str, str]]:
    """Return the options of every cell. Options with one value hold in all of them.

    Raises `UsageError` for an option that the preset does not know, and for a grid too large.
    """
    varied = {key for key, values in asked.items() if len(values) > 1}
    grid = dict(asked)
    if not varied:
        default = GRIDS[str(load_preset(preset, {}).to_json()["method"])]
        grid = {**{k: list(v) for k, v in default.items() if k not in asked}, **asked}
    cells = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if len(cells) > MAX_CELLS:
        raise UsageError(f"{len(cells)} trainings are too many", f"name at most {MAX_CELLS}")
    for options in cells:
        load_preset(preset, options)
    return cells


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of a sweep, by its `options`; `failed` says why it came to no predictions."""

    options: dict[str, str]
    accuracy: float | None = None
    log_loss: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    failed: str = ""

    @property
    def name(self) -> str:
        """The options in a line."""
        return ", ".join(f"{key}={value}" for key, value in self.options.items())


def ranked(cells: Sequence[Cell]) -> list[Cell]:
    """Sort cells best first: by accuracy on val, then by log loss; what failed comes last."""

    def key(cell: Cell) -> tuple[float, float]:
        loss = math.inf if cell.log_loss is None else cell.log_loss
        return (-cell.accuracy if cell.accuracy is not None else math.inf, loss)

    return sorted(cells, key=key)


@dataclass(frozen=True, slots=True)
class ValidationAnswers:
    """Which samples of val each trained cell recognised (`right`, by name), and their `moments`.

    They are those that every cell could read.
    """

    right: Mapping[str, Flags]
    moments: tuple[str, ...]

    @classmethod
    def of(cls, outputs: Mapping[str, Outputs], moments: Mapping[str, str]) -> ValidationAnswers:
        """Return the predictions of cells, by name; `moments` has those of val by key."""
        shared = set.intersection(*(set(part.keys) for part in outputs.values()))
        keys = [key for key in next(iter(outputs.values())).keys if key in shared]
        right = {}
        for name, part in outputs.items():
            rows = [row for row, key in enumerate(part.keys) if key in shared]
            right[name] = part.right[rows]
        return cls(right, tuple(moments[key] for key in keys))

    def interval(self, cell: Cell) -> Interval | None:
        """Return the 95 % interval of its accuracy, by moments; None for a single one."""
        return several_interval(self.right[cell.name], self.moments)

    def level(self, best: Cell, other: Cell) -> bool:
        """Return whether it may be luck that `best` is ahead of `other` on the same pictures."""
        against = compare_paired(self.right[best.name], self.right[other.name], self.moments)
        return not against.clear


def best_command(preset: str, best: Cell, root: Path) -> list[str]:
    """Return the words of the command that trains with the best cell."""
    options = [word for key, value in best.options.items() for word in ("-o", f"{key}={value}")]
    return ["baseline", "train", "--preset", preset, *options, "-d", str(root)]


def table(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Return the ranked cells as JSON values."""
    shown = ("options", "accuracy", "log_loss", "epochs", "seconds", "failed")
    return [{name: getattr(cell, name) for name in shown} for cell in ranked(cells)]


PLOT = "sweep.png"


def draw_sweep(
    folder: Path, cells: Sequence[Cell], val: ValidationAnswers, *, scratch: Path
) -> Path:
    """Write `sweep.png`, with intervals by the moments of val. Gives its path."""
    from matplotlib.figure import Figure

    drawn = [cell for cell in ranked(cells) if cell.accuracy is not None][::-1]
    figure = Figure(figsize=(9, 1.4 + 0.32 * max(len(drawn), 3)), dpi=110, layout="constrained")
    axes = figure.subplots()
    values = [cell.accuracy or 0.0 for cell in drawn]
    rows = range(len(drawn))
    ends = [val.interval(cell) or Interval(at, at) for cell, at in zip(drawn, values, strict=True)]
    spread = np.maximum([values - np.array(ends)[:, 0], np.array(ends)[:, 1] - values], 0)
    axes.errorbar(values, rows, xerr=spread, fmt="o", color=TRAIN, ecolor=MARK, elinewidth=0.8)
    axes.plot(values[-1], rows[-1], "o", color=VAL, label="best")
    axes.axvline(values[-1], color=VAL, linewidth=0.8, linestyle="--")
    axes.set_yticks(list(rows), [cell.name for cell in drawn], fontsize=8)
    axes.set(
        xlabel=f"accuracy on val ({len(val.moments)} samples; bars: 95 % interval)", title="sweep"
    )
    axes.grid(alpha=0.25, axis="x")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomic(folder / PLOT, buffer.getvalue(), scratch=scratch)
    return folder / PLOT


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

    A cell whose training diverges is listed as failed. Raises `InputUnusable` where val is empty or
    every cell fails, and what the disk raises.
    """
    progress = progress or Progress()
    with dataset.stage(STAGE) as scratch:
        # The command that is recommended cuts the same val from train, where there is none.
        seeds = {load_preset(preset, cell).seed for cell in cells}
        examples, notice = with_val(find_examples(dataset), min(seeds))
        if notice is not None and len(seeds) > 1:
            raise UsageError(
                "the seed also decides what is cut from train for val, which is empty",
                f"give val a share: labeler split --ratio 8:1:1 {dataset.option}",
            )
        if notice is not None:
            say(notice)
        moments = {sample.key: examples.moments[sample.key] for sample in examples.splits["val"]}
        if not moments:
            raise empty_split("val is empty: there is nothing to choose by")
        results: list[Cell] = []
        outputs: dict[str, Outputs] = {}
        for options in progress.over(cells, "sweep", len(cells), " trainings"):
            cell, predicted = _train_cell(dataset, preset, options, examples)
            results.append(cell)
            if predicted is not None:
                outputs[cell.name] = predicted
            say(_line(cell))
        best = ranked(results)[0]
        if best.accuracy is None:
            raise InputUnusable(
                f"every training of the sweep failed: {best.failed}",
                "try lower learning rates: -o learning_rate=0.0001,0.0003",
            )
        val = ValidationAnswers.of(outputs, moments)
        folder = dataset.runs_folder / _name(preset, cells, examples)
        plot = draw_sweep(folder, results, val, scratch=scratch)
        return _told(dataset, preset, results, val) | {"plot": str(plot.absolute())}


def _train_cell(
    dataset: Dataset, preset: str, options: dict[str, str], examples: Examples
) -> tuple[Cell, Outputs | None]:
    """Train one cell and predict val."""
    settings = load_preset(preset, options, dataset.pin_of)
    try:
        [result] = cross_validate(dataset, settings, [Fold(examples, "val")])
    except (UsageError, InputUnusable) as error:
        # A rate that makes the loss infinite is a finding, and no reason to stop.
        return Cell(options, failed=error.what), None
    outputs = result.outputs
    log_loss = mean_log_loss(outputs.logits, outputs.y)
    cell = Cell(options, result.accuracy, log_loss, result.epochs, result.seconds)
    return cell, outputs


def _name(preset: str, cells: Sequence[dict[str, str]], examples: Examples) -> str:
    """Return the name of its folder: the same for the same cells on the same data."""
    text = json.dumps([preset, *cells, examples.fingerprint()])
    return f"sweep-{preset}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _line(cell: Cell) -> str:
    if cell.accuracy is None:
        return f"{cell.name}: {cell.failed}"
    return f"{cell.name}: val {cell.accuracy:.3f}, log loss {cell.log_loss:.3f}"


def _told(
    dataset: Dataset, preset: str, cells: Sequence[Cell], val: ValidationAnswers
) -> dict[str, Any]:
    best = ranked(cells)[0]
    others = [cell for cell in cells if cell.accuracy is not None and cell is not best]
    level = sum(val.level(best, cell) for cell in others)
    interval = val.interval(best)
    return {
        "cells": table(cells),
        "val": len(val.moments),
        "moments": len(set(val.moments)),
        "best": best.options,
        "accuracy": best.accuracy,
        "interval": interval and list(interval),
        "level_with_best": level,
        "command": shlex.join(best_command(preset, best, dataset.root)),
    }

"""Trying a small grid of settings: each is trained on train and judged on val, never on test.

A sweep that was stopped goes on where it was (`trials.py`).
"""

from __future__ import annotations

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
from baseline.judge.metrics import empty_split
from baseline.judge.outputs import Outputs
from baseline.settings import load_preset
from baseline.train.trials import (
    FORMAT,
    Trial,
    answered_by_all,
    judged_trial,
    run_trials,
    short_digest,
    trial_outputs,
)
from gleanset import Dataset
from gleanset.binomial import Interval
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.work.progress import Progress

MOST = 200
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
    if len(cells) > MOST:
        raise UsageError(f"{len(cells)} trainings are too many", f"name at most {MOST}")
    for options in cells:
        load_preset(preset, options)
    return cells


def ranked(cells: Sequence[Trial]) -> list[Trial]:
    """Sort cells best first: by accuracy on val, then by log loss; what failed comes last."""

    def key(cell: Trial) -> tuple[float, float]:
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
    def of(cls, answers: Mapping[str, Outputs], moments: Mapping[str, str]) -> ValidationAnswers:
        """Return what cells said, by name; `moments` has those of val by key."""
        shared = answered_by_all(answers.values())
        hits = dict(zip(answers, (one.right for one in shared), strict=True))
        return cls(hits, tuple(moments[key] for key in shared[0].keys))

    def interval(self, cell: Trial) -> Interval | None:
        """Return the 95 % interval of its accuracy, by moments; None for a single one."""
        return several_interval(self.right[cell.name], self.moments)

    def level(self, best: Trial, other: Trial) -> bool:
        """Return whether it may be luck that `best` is ahead of `other` on the same pictures."""
        against = compare_paired(self.right[best.name], self.right[other.name], self.moments)
        return not against.clear


def best_command(preset: str, best: Trial, root: Path) -> list[str]:
    """Return the words of the command that trains with the best cell."""
    options = [word for key, value in best.options.items() for word in ("-o", f"{key}={value}")]
    return ["baseline", "train", "--preset", preset, *options, "-d", str(root)]


def table(cells: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return the ranked cells as JSON values."""
    shown = ("options", "accuracy", "log_loss", "epochs", "seconds", "failed")
    return [{name: getattr(cell, name) for name in shown} for cell in ranked(cells)]


PLOT = "sweep.png"


def draw_sweep(
    folder: Path, cells: Sequence[Trial], val: ValidationAnswers, *, scratch: Path
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

    Raises `InputUnusable` where val is empty, and what training raises but for rates that are
    too high: those cells are told as failed.
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
        folder = dataset.runs_folder / _name(preset, cells, examples)

        def learn(options: dict[str, str], place: Path) -> tuple[Trial, Outputs]:
            settings = load_preset(preset, options, dataset.pin_of)
            return judged_trial(dataset, examples, settings, "val", place)

        trials: list[Trial] = []
        trained = run_trials(folder, cells, learn, scratch)
        for cell in progress.over(trained, "sweep", len(cells), " trainings"):
            trials.append(cell)
            say(_line(cell))
        best = ranked(trials)[0]
        if best.accuracy is None:
            raise InputUnusable(
                f"every training of the sweep failed: {best.failed}",
                "try lower learning rates: -o learning_rate=0.0001,0.0003",
            )
        said = {t.name: trial_outputs(folder, t.options) for t in trials if not t.failed}
        val = ValidationAnswers.of(said, moments)
        plot = draw_sweep(folder, trials, val, scratch=scratch)
        return _told(dataset, preset, trials, val) | {"plot": str(plot.absolute())}


def _name(preset: str, cells: Sequence[dict[str, str]], examples: Examples) -> str:
    """Of its folder: the same for the same cells on the same data."""
    told = json.dumps([FORMAT, preset, *cells, examples.fingerprint()])
    return f"sweep-{preset}-{short_digest(told)}"


def _line(cell: Trial) -> str:
    if cell.accuracy is None:
        return f"{cell.name}: {cell.failed}"
    return f"{cell.name}: val {cell.accuracy:.3f}, log loss {cell.log_loss:.3f}"


def _told(
    dataset: Dataset, preset: str, cells: Sequence[Trial], val: ValidationAnswers
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

"""Trying a small grid of settings: each is trained on train and judged on val, never on test.

What a setting came to is written down as soon as it is known, so a sweep that was stopped goes on
where it was.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from baseline.compare.paired import Right, paired
from baseline.evaluation.intervals import group_numbers, share_interval
from baseline.evaluation.probabilities import Indices
from baseline.settings import Settings, load_preset
from gleanset.binomial import Interval
from gleanset.errors import UsageError
from gleanset.files.atomic import write_atomic

FILE = "sweep.json"
MOST = 200
Grid = Mapping[str, Sequence[str]]

GRIDS: dict[str, Grid] = {
    "simple": {
        "blocks": ("32,64", "32,64,128"),
        "dropout": ("0.2", "0.5"),
        "learning_rate": ("0.0005", "0.002"),
    },
    "transfer": {"strength": ("0.003", "0.01", "0.03", "0.1", "0.3", "1"), "views": ("0", "2")},
    "finetune": {"learning_rate": ("0.0002", "0.0005", "0.001"), "dropout": ("0.2", "0.5")},
    "triplet": {
        "margin": ("0.1", "0.3"),
        "embedding": ("64", "128"),
        "learning_rate": ("0.0005", "0.002"),
    },
}
"""What is tried for a method where nothing is said."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting of the grid and what it came to on val; `failed` says why it came to nothing.

    `wrong` are the keys of the samples of val that it did not recognise, `unread` of those that
    could not be read.
    """

    options: dict[str, str]
    accuracy: float | None = None
    log_loss: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    failed: str = ""
    wrong: tuple[str, ...] | None = None
    unread: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The options in a line."""
        return ", ".join(f"{key}={value}" for key, value in self.options.items())


Learn = Callable[[Settings, Path], Cell]
"""Trains with settings, with checkpoints in a folder; the options of the cell are filled in."""


def read_grid(options: Sequence[str]) -> dict[str, list[str]]:
    """`dropout=0.2,0.5` as {'dropout': ['0.2', '0.5']}. Raises `UsageError`.

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


def cells_of(preset: str, given: Grid) -> list[dict[str, str]]:
    """The options of every cell. Options with one value hold in all of them.

    Raises `UsageError` for an option that the preset does not know, and for a grid too large.
    """
    varied = {key for key, values in given.items() if len(values) > 1}
    grid = dict(given)
    if not varied:
        default = GRIDS[str(load_preset(preset, {}).to_json()["method"])]
        grid = {**{k: list(v) for k, v in default.items() if k not in given}, **given}
    cells = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    if len(cells) > MOST:
        raise UsageError(f"{len(cells)} trainings are too many", f"name at most {MOST}")
    for options in cells:
        load_preset(preset, options)
    return cells


def run_cells(
    folder: Path, preset: str, cells: Sequence[dict[str, str]], learn: Learn, scratch: Path
) -> Iterator[Cell]:
    """What every cell came to, in order; those that `folder` knows are not trained again."""
    known = {json.dumps(cell.options): cell for cell in read_cells(folder)}
    for number, options in enumerate(cells):
        told = json.dumps(options)
        if told not in known:
            known[told] = _learnt(options, preset, learn, folder / f"cell-{number}")
            text = json.dumps([asdict(cell) for cell in known.values()], indent=1)
            write_atomic(folder / FILE, text.encode(), scratch=scratch)
        yield known[told]


def read_cells(folder: Path) -> list[Cell]:
    """The cells that are known so far; not those of old, which do not say what they mistook."""
    try:
        found = msgspec.json.decode((folder / FILE).read_bytes(), type=list[Cell])
    except (OSError, msgspec.MsgspecError):
        return []
    return [cell for cell in found if cell.failed or cell.wrong is not None]


def _learnt(options: dict[str, str], preset: str, learn: Learn, place: Path) -> Cell:
    start = time.monotonic()
    try:
        cell = learn(load_preset(preset, options), place)
    except UsageError as error:
        # A rate that makes the loss infinite is a finding, and no reason to stop.
        return Cell(options, failed=error.what)
    seconds = round(time.monotonic() - start, 2)
    return replace(cell, options=options, seconds=seconds)


def ranked(cells: Sequence[Cell]) -> list[Cell]:
    """Best first: by accuracy on val, then by log loss; what failed comes last."""

    def key(cell: Cell) -> tuple[float, float]:
        loss = math.inf if cell.log_loss is None else cell.log_loss
        return (-cell.accuracy if cell.accuracy is not None else math.inf, loss)

    return sorted(cells, key=key)


@dataclass(frozen=True, slots=True)
class Val:
    """The `keys` of val that every cell could read, and the number of each one's moment."""

    keys: tuple[str, ...]
    moments: Indices

    @classmethod
    def of(cls, moments: Mapping[str, str], cells: Sequence[Cell]) -> Val:
        """What `cells` were judged on, where `moments` has all samples of val by key."""
        unread = {key for cell in cells for key in cell.unread}
        keys = tuple(sorted(key for key in moments if key not in unread))
        return cls(keys, group_numbers([moments[key] for key in keys]))

    def right(self, cell: Cell) -> Right:
        """Which of the keys a cell recognised."""
        wrong = frozenset(cell.wrong or ())
        return np.array([key not in wrong for key in self.keys], dtype=np.bool_)

    def interval(self, cell: Cell) -> Interval | None:
        """The 95 % interval of its accuracy, by moments; None for a single one."""
        several = len(np.unique(self.moments)) > 1
        return share_interval(self.right(cell), self.moments) if several else None

    def level(self, best: Cell, other: Cell) -> bool:
        """Whether it may be luck that `best` is ahead of `other` on the same pictures."""
        names = [str(number) for number in self.moments]
        return not paired(self.right(best), self.right(other), names).clear


def best_command(preset: str, best: Cell, root: Path) -> list[str]:
    """The words of the command that trains with the best cell."""
    options = [word for key, value in best.options.items() for word in ("-o", f"{key}={value}")]
    return ["baseline", "train", "--preset", preset, *options, "-d", str(root)]


def table(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """The ranked cells as JSON values."""
    shown = ("options", "accuracy", "log_loss", "epochs", "seconds", "failed")
    return [{name: getattr(cell, name) for name in shown} for cell in ranked(cells)]

"""The plot of a sweep: every cell's accuracy on val, best on top."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from baseline.curves import MARK, TRAIN, VAL, as_png
from baseline.sweep import Cell, Val, ranked
from gleanset.files.atomic import write_atomic

PLOT = "sweep.png"


def draw_sweep(folder: Path, cells: Sequence[Cell], val: Val, *, scratch: Path) -> Path:
    """Write `sweep.png`, with intervals by the moments of val. Gives its path."""
    from matplotlib.figure import Figure

    told = [cell for cell in ranked(cells) if cell.accuracy is not None][::-1]
    figure = Figure(figsize=(9, 1.4 + 0.32 * max(len(told), 3)), dpi=110, layout="constrained")
    axes = figure.subplots()
    values = [cell.accuracy or 0.0 for cell in told]
    rows = range(len(told))
    bars = np.array([val.interval(cell) or (cell.accuracy, cell.accuracy) for cell in told])
    low, high = bars.reshape(-1, 2).T
    spread = np.maximum([values - low, high - values], 0)
    axes.errorbar(values, rows, xerr=spread, fmt="o", color=TRAIN, ecolor=MARK, elinewidth=0.8)
    if values:
        axes.plot(values[-1], rows[-1], "o", color=VAL, label="best")
        axes.axvline(values[-1], color=VAL, linewidth=0.8, linestyle="--")
    axes.set_yticks(list(rows), [cell.name for cell in told], fontsize=8)
    axes.set(
        xlabel=f"accuracy on val ({len(val.keys)} samples; bars: 95 % interval)", title="sweep"
    )
    axes.grid(alpha=0.25, axis="x")
    write_atomic(folder / PLOT, as_png(figure), scratch=scratch)
    return folder / PLOT

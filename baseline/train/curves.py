"""A picture of a training: its curves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gleanset.files.atomic import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from baseline.judge.run_figures import EpochReport

CURVES = "curves.png"
TRAIN, VAL, MARK = "#3b6ea5", "#c8602b", "#666666"
"""Blue and orange are told apart by nearly everyone; val is dashed for print."""


def draw_curves(
    folder: Path,
    history: Sequence[EpochReport],
    best_epoch: int,
    *,
    scratch: Path | None = None,
) -> None:
    """Write `curves.png`: loss and accuracy by epoch."""
    figure, axes = new_figure(2)
    _curve(axes[0], history, "loss", best_epoch)
    _curve(axes[1], history, "accuracy", best_epoch)
    write_atomic(folder / CURVES, as_png(figure), scratch=scratch)


def new_figure(columns: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with `columns` axes side by side. No window is opened."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4 * columns, 3.4), dpi=110, layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def as_png(figure: Figure) -> bytes:
    """Return the figure as a PNG that is the same for the same figures."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _curve(axes: Axes, history: Sequence[EpochReport], what: str, best_epoch: int) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = [report.epoch for report in history]
    axes.plot(epochs, [getattr(e, f"train_{what}") for e in history], color=TRAIN, label="train")
    val = [getattr(report, f"val_{what}") for report in history]
    if None not in val:
        axes.plot(epochs, val, color=VAL, linestyle="--", label="val")
    axes.axvline(best_epoch, color=MARK, linewidth=0.8, linestyle=":", label="kept")
    axes.set(title=what, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.legend()

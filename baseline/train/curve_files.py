"""A learning curve in the folder of a run: figures as JSON, and a picture."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from baseline.train.curve_figures import LearningCurve
from baseline.train.curves import MARK, TRAIN, VAL, as_png
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic

FIGURES = "learning_curve.json"
PICTURE = "learning_curve.png"


def save_curve(folder: Path, curve: LearningCurve, *, scratch: Path | None = None) -> Path:
    """Write both into the folder of a run; the path of the picture. Raises what the disk raises."""
    text = json.dumps(curve.to_json(), ensure_ascii=False, indent=1)
    write_atomic(folder / PICTURE, drawn_curve(curve), scratch=scratch)
    write_atomic(folder / FIGURES, text.encode(), scratch=scratch)
    return folder / PICTURE


def load_curve(folder: Path) -> LearningCurve | None:
    """Return the curve of a run; None where none was measured. Raises `InputUnusable`."""
    try:
        return msgspec.json.decode((folder / FIGURES).read_bytes(), type=LearningCurve)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise InputUnusable(
            f"{folder / FIGURES} cannot be read: {error}", "measure it again: baseline curve"
        ) from error


def drawn_curve(curve: LearningCurve) -> bytes:
    """Return the curve as a PNG: what was measured, and what more pictures may bring."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), dpi=110, layout="constrained")
    axes = figure.subplots()
    for points, colour, style, name in (
        (curve.points, TRAIN, "o-", "measured within train"),
        (curve.expected, VAL, "s--", "expected now, at 2 and 4 times"),
    ):
        at = [point.pictures for point in points]
        values = [point.accuracy for point in points]
        ends = [point.interval for point in points]
        spread = [
            [max(0.0, v - end.low) for v, end in zip(values, ends, strict=True)],
            [max(0.0, end.high - v) for v, end in zip(values, ends, strict=True)],
        ]
        axes.errorbar(at, values, spread, fmt=style, color=colour, elinewidth=0.9, label=name)
    axes.axvline(curve.expected[0].pictures, color=MARK, linewidth=0.8, linestyle=":")
    axes.set(xscale="log", xlabel="pictures a class", ylabel="share right", ylim=(0, 1.02))
    ticks = [point.pictures for point in (*curve.points, *curve.expected)]
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks], fontsize=8)
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right")
    axes.set_title(f"{curve.preset}: learning curve (bars: 95 % interval)", fontsize=10)
    return as_png(figure)

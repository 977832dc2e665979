"""What a learning curve tells: figures and a picture in the folder of a run."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from baseline.data.runs import read_part, write_part
from gleanset.binomial import Interval
from gleanset.files.atomic import write_atomic
from gleanset.html.words import count, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAIN, VAL, MARK = "#3b6ea5", "#c8602b", "#666666"
"""Blue and orange are told apart by nearly everyone; val is dashed for print."""
FIGURES = "learning_curve.json"
PICTURE = "learning_curve.png"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The share right at so many pictures a class: measured, or to be expected where `times` as
    many pictures as there are now are told; 95 % intervals.
    """

    pictures: float
    accuracy: float
    interval: Interval
    times: float | None = None


@dataclass(frozen=True, slots=True)
class ClassGain:
    """What a class owes to the second half of the pictures: `gain` of recall, by paired moments.

    `clear` ones gained beyond luck, all classes being looked at.
    """

    name: str
    pictures: int
    recall: float
    gain: float
    interval: Interval | None
    clear: bool


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """What was measured, what is expected at `TIMES` as many pictures, and the classes by gain."""

    preset: str
    points: tuple[CurvePoint, ...]
    expected: tuple[CurvePoint, ...]
    classes: tuple[ClassGain, ...]
    folds: int
    repeats: int
    judged: int
    moments: int

    @property
    def words(self) -> str:
        """What more pictures would bring, in a line."""
        now, twice = self.expected[0], self.expected[1]
        low, high = twice.interval
        told = (
            f"with twice the pictures about {percent(low)} to {percent(high)} right "
            f"(now about {percent(now.accuracy)})"
        )
        return f"{told}; {self.advice}"

    @property
    def advice(self) -> str:
        """Of which classes more pictures would help most, where that is no luck."""
        names = [one.name for one in self.classes if one.clear][:3]
        if not names:
            return "of which class is not clear yet: take more of all"
        listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        return f"more of {listed} would help most"

    def lines(self) -> dict[str, object]:
        """Return the points and the classes as lines for a person."""
        points = [
            f"{point.pictures:.3g}{f' ({point.times:g} times)' if point.times else ''}: "
            f"{point.accuracy:.3f} ({point.interval.low:.3f} to {point.interval.high:.3f})"
            for point in (*self.points, *self.expected)
        ]
        classes = [
            f"{gain.name}: recall {percent(gain.recall)} of {count(gain.pictures, 'picture')}, "
            f"{100 * gain.gain:+.0f} points by the second half of them"
            f"{', beyond luck' if gain.clear else ''}"
            for gain in self.classes
        ]
        return {"pictures a class": points, "classes": classes}

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        return asdict(self) | {"told": self.words}


def save_curve(folder: Path, curve: LearningCurve, *, scratch: Path | None = None) -> Path:
    """Write both into the folder of a run; the path of the picture. Raises what the disk raises."""
    write_atomic(folder / PICTURE, drawn_curve(curve), scratch=scratch)
    write_part(folder, FIGURES, curve.to_json(), scratch=scratch)
    return folder / PICTURE


def load_curve(folder: Path) -> LearningCurve | None:
    """Return the curve of a run; None where none was measured. Raises `InputUnusable`."""
    return read_part(folder, FIGURES, LearningCurve, "measure it again: baseline curve")


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


def as_png(figure: Figure) -> bytes:
    """Return the figure as a PNG that is the same for the same figures."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()

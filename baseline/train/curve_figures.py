"""What a learning curve tells, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from gleanset.binomial import Interval
from gleanset.html.words import count, percent


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

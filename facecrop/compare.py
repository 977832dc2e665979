"""Detectors side by side on annotated pictures: how good, how quick, how large.

Each detector works alone in a process of its own, on one picture at a time, so that time and
memory are its own. The memory includes Python and the picture; what a container takes is
not in it.

A box finds a face by one of three criteria: their intersection over union is at least 0.5, or
at least 0.3, or the box's centre lies in the face. Detectors disagree on where a face ends
(the cascade takes the hair in), so no single criterion is fair to all. A contact sheet shows what
was missed and what was taken for a face.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from facecrop.annotations import AnnotatedImage
from facecrop.detectors import DetectorSpec
from gleanset.errors import GleansetError, Unreadable
from gleanset.images.contact_sheet import SheetTile, lay_out, save_sheet
from gleanset.images.cut import with_margin
from gleanset.images.decode import decode
from gleanset.platform import peak_memory
from gleanset.records import Box, Face, overlap
from gleanset.terminal import columns, padded, room
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress


@dataclass(frozen=True, slots=True)
class Criterion:
    """When a box (first) counts as found for a true face (second)."""

    name: str
    fits: Callable[[Box, Box], bool]


def _centred(box: Box, truth: Box) -> bool:
    x, y = box.x + box.width / 2, box.y + box.height / 2
    across = truth.x <= x <= truth.x + truth.width
    return across and truth.y <= y <= truth.y + truth.height


CRITERIA = (
    Criterion("0.5", lambda box, truth: overlap(box, truth) >= 0.5),
    Criterion("0.3", lambda box, truth: overlap(box, truth) >= 0.3),
    Criterion("centre", _centred),
)


@dataclass(slots=True)
class MatchTally:
    """What was found, by one criterion; the boxes that are wrong, and those that lack."""

    hits: int = 0
    false_alarms: list[Face] = field(default_factory=list)
    missed: list[Box] = field(default_factory=list)

    @property
    def false(self) -> int:
        """How many boxes are on no face."""
        return len(self.false_alarms)

    @property
    def faces(self) -> int:
        """How many faces there are."""
        return self.hits + len(self.missed)

    @property
    def recall(self) -> float:
        """The part of the faces that was found; 1 where there is none."""
        return self.hits / self.faces if self.faces else 1.0

    @property
    def precision(self) -> float:
        """The part of the boxes that is right; 1 where there is none."""
        return self.hits / (self.hits + self.false) if self.hits + self.false else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both; 1 where there was nothing to find and nothing found."""
        total = self.faces + self.hits + self.false
        return 2 * self.hits / total if total else 1.0


def match_faces(faces: Iterable[Face], truth: Sequence[Box], criterion: Criterion) -> MatchTally:
    """Match boxes to faces, the surest first, each face once and to its best box."""
    tally, free = MatchTally(), list(truth)
    for face in sorted(faces, key=lambda face: (-face.score, face.box)):
        fitting = [box for box in free if criterion.fits(face.box, box)]
        if not fitting:
            tally.false_alarms.append(face)
            continue
        free.remove(max(fitting, key=lambda box: overlap(face.box, box)))
        tally.hits += 1
    tally.missed = free
    return tally


def sum_tallies(tallies: Iterable[MatchTally]) -> MatchTally:
    """Return the tallies of several pictures as one."""
    result = MatchTally()
    for one in tallies:
        result.hits += one.hits
        result.false_alarms += one.false_alarms
        result.missed += one.missed
    return result


ALL = "all"


@dataclass(frozen=True, slots=True)
class DetectorAnswer:
    """What a detector said of one picture, in seconds and bytes of its process."""

    faces: list[Face]
    seconds: float
    cpu: float
    memory: int
    settings: str


@dataclass(frozen=True, slots=True)
class TimedDetection:
    """The worker's function: small and picklable."""

    spec: DetectorSpec

    def __call__(self, path: str) -> DetectorAnswer:
        """Decode a picture and search it; only the search is timed. Raises `Unreadable`."""
        try:
            pixels = np.asarray(decode(Path(path).read_bytes()).pixels)
        except OSError as error:
            raise Unreadable("cannot be read", str(error.strerror)) from error
        detector = self.spec.build()
        began, used = time.perf_counter(), time.process_time()
        faces = detector.detect(pixels)
        seconds, cpu = time.perf_counter() - began, time.process_time() - used
        return DetectorAnswer(faces, seconds, cpu, peak_memory(), self.spec.recorded)


@dataclass(slots=True)
class DetectorResult:
    """One detector's answers to the pictures it could read, and why it could not read others."""

    label: str
    answers: list[tuple[AnnotatedImage, DetectorAnswer]] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)

    def tally(self, criterion: Criterion, kind: str = ALL) -> MatchTally:
        """Return how good it is on the pictures of a kind, or on all."""
        return sum_tallies(
            match_faces(answer.faces, picture.boxes, criterion)
            for picture, answer in self.answers
            if kind in (ALL, picture.kind)
        )

    def kinds(self) -> dict[str, int]:
        """Return how many pictures there are of each kind, and of all if there are several
        kinds.
        """
        counts: dict[str, int] = {}
        for picture, _ in self.answers:
            counts[picture.kind] = counts.get(picture.kind, 0) + 1
        return {**counts, ALL: len(self.answers)} if len(counts) > 1 else counts

    def as_json(self) -> dict[str, object]:
        """Everything as JSON values."""
        answers = [answer for _, answer in self.answers]
        seconds = sum(answer.seconds for answer in answers)
        return {
            "settings": answers[0].settings if answers else "",
            "pictures_per_second": round(len(answers) / seconds, 3) if seconds else None,
            "cpu_ms": round(1000 * sum(a.cpu for a in answers) / max(len(answers), 1), 1),
            "memory_mb": round(max((a.memory for a in answers), default=0) / 1e6),
            "rejected": self.rejected,
            "kinds": {kind: self._kind(kind, number) for kind, number in self.kinds().items()},
        }

    def _kind(self, kind: str, number: int) -> dict[str, object]:
        tallies = {criterion.name: self.tally(criterion, kind) for criterion in CRITERIA}
        faces = next(iter(tallies.values())).faces
        return {
            "pictures": number,
            "faces": faces,
            **{name: _figures(tally) for name, tally in tallies.items()},
        }


def compare_all(
    specs: Mapping[str, DetectorSpec],
    truth: Sequence[AnnotatedImage],
    progress: Progress,
    *,
    skip: bool,
) -> tuple[list[DetectorResult], dict[str, str]]:
    """Compare detectors by label; with `skip` those that cannot run here are told, not raised."""
    results: list[DetectorResult] = []
    missing: dict[str, str] = {}
    for label, spec in specs.items():
        try:
            results.append(compare(label, spec, truth, progress))
        except GleansetError as error:
            if not skip:
                raise
            missing[label] = str(error)
    return results, missing


def compare(
    label: str, spec: DetectorSpec, truth: Sequence[AnnotatedImage], progress: Progress
) -> DetectorResult:
    """Let one detector search all pictures. Raises what building it raises."""
    # What is missing is told before a process is started.
    spec.build()
    result = DetectorResult(label)
    by_path = {str(picture.path): picture for picture in truth}
    outcomes = run_over(TimedDetection(spec), list(by_path), Processes(1))
    answers: dict[str, DetectorAnswer] = {}
    for outcome in progress.over(outcomes, label, total=len(by_path)):
        if outcome.result is None:
            result.rejected[outcome.item] = f"{outcome.reason}: {outcome.detail}".rstrip(": ")
        else:
            answers[outcome.item] = outcome.result
    # In the order of the truth, whatever came first.
    result.answers = [(by_path[path], answers[path]) for path in by_path if path in answers]
    return result


FIGURES = 2 + 1 + 12 + len(CRITERIA) * (2 + 17)
"""Columns of a line but for the kind of pictures."""


def table(results: Sequence[DetectorResult]) -> Iterator[str]:
    """Yield the results as lines of text, a block for each detector, the figures side by side."""
    width = max((columns(kind) for result in results for kind in result.kinds()), default=4)
    width = min(width, room() - FIGURES)
    heads = "  ".join(f"{_title(criterion):^17}" for criterion in CRITERIA)
    below = "  ".join("recall prec.   F1" for _ in CRITERIA)
    for result in results:
        summary = result.as_json()
        yield (f"{result.label}  ({summary['settings']})" if summary["settings"] else result.label)
        yield f"  {'':{width}} {'':>12}  {heads}"
        yield f"  {'':{width}} {'images faces':>12}  {below}"
        for kind, number in result.kinds().items():
            tallies = [result.tally(criterion, kind) for criterion in CRITERIA]
            figures = "  ".join(f"{t.recall:6.3f} {t.precision:5.3f} {t.f1:4.3f}" for t in tallies)
            yield f"  {padded(kind, width)} {number:>6} {tallies[0].faces:>5}  {figures}"
        yield (
            f"  {summary['pictures_per_second']} images a second in one process, "
            f"{summary['cpu_ms']} CPU ms an image, {summary['memory_mb']} MB"
        )
        if result.rejected:
            yield f"  {len(result.rejected)} images could not be searched"


def _title(criterion: Criterion) -> str:
    return criterion.name if criterion.name == "centre" else f"IoU {criterion.name}"


def _figures(tally: MatchTally) -> dict[str, float | int]:
    return {
        "found": tally.hits,
        "false": tally.false,
        "recall": round(tally.recall, 4),
        "precision": round(tally.precision, 4),
        "f1": round(tally.f1, 4),
    }


TRUE, MISSED, WRONG = (0, 170, 60), (255, 140, 0), (220, 0, 0)
CENTRE_CRITERION = next(criterion for criterion in CRITERIA if criterion.name == "centre")
"""Of the three criteria the one whose mistakes are worth looking at: not just another size."""

SIZE, COLUMNS = 128, 16
MOST = 300
"""Tiles for each detector; the heading says how many there would be."""

AROUND = 1.0
"""How much of the surroundings is shown, in sizes of the box."""


def mistakes_sheet(results: Sequence[DetectorResult], file: Path) -> int:
    """Write the sheet; how many mistakes there are. Raises `UsageError`, `NotWritable`."""
    tiles: list[SheetTile] = []
    count = 0
    for result in results:
        tally = result.tally(CENTRE_CRITERION)
        mistakes = len(tally.missed) + tally.false
        count += mistakes
        shown = f", the first {MOST} shown" if mistakes > MOST else ""
        tiles.append(
            SheetTile(
                f"{result.label}: {len(tally.missed)} missed (orange), "
                f"{tally.false} false alarms (red){shown}"
            )
        )
        mine = _of_detector(result)
        tiles += [tile for _, tile in zip(range(MOST), mine, strict=False)]
    save_sheet(lay_out(tiles, SIZE, COLUMNS), file)
    return count


def _of_detector(result: DetectorResult) -> Iterator[SheetTile]:
    for picture, answer in result.answers:
        yield from _of_picture(picture, answer)


def _of_picture(picture: AnnotatedImage, answer: DetectorAnswer) -> Iterator[SheetTile]:
    tally = match_faces(answer.faces, picture.boxes, CENTRE_CRITERION)
    if not tally.missed and not tally.false_alarms:
        return
    try:
        pixels = decode(picture.path.read_bytes()).pixels
    except (OSError, Unreadable):
        # It was there a moment ago; the table does not need it any more.
        return
    name = picture.path.stem
    for box in tally.missed:
        yield SheetTile(name, _framed(pixels, picture.boxes, box, MISSED))
    for face in tally.false_alarms:
        frame = _framed(pixels, picture.boxes, face.box, WRONG)
        yield SheetTile(f"{face.score:.2f} {name}", frame)


def _framed(
    pixels: Image.Image, truth: Sequence[Box], box: Box, colour: tuple[int, int, int]
) -> Image.Image:
    view = with_margin(box, AROUND, *pixels.size)
    part = pixels.crop((view.x, view.y, view.x + view.width, view.y + view.height))
    draw = ImageDraw.Draw(part)
    line = max(max(part.size) // 60, 1)
    for other in [*(other for other in truth if other != box), box]:
        edges = (
            other.x - view.x,
            other.y - view.y,
            other.x - view.x + other.width,
            other.y - view.y + other.height,
        )
        draw.rectangle(edges, outline=colour if other is box else TRUE, width=line)
    return part

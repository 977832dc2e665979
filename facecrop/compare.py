"""Detectors side by side on annotated pictures: how good, how quick, how large.

Each detector works alone in a process of its own, on one picture at a time, so that time and
memory are its own. The memory includes Python and the picture; what a container takes is
not in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facecrop.compare_score import CRITERIA, Criterion, Tally, score, total
from facecrop.compare_truth import Annotated
from facecrop.detectors import DetectorSpec
from gleanset.errors import GleansetError, Unreadable
from gleanset.images.decode import decode
from gleanset.platform import peak_memory
from gleanset.records import Face
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress

ALL = "all"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a detector said of one picture, in seconds and bytes of its process."""

    faces: list[Face]
    seconds: float
    cpu: float
    memory: int
    settings: str


@dataclass(frozen=True, slots=True)
class Ask:
    """The worker's function: small and picklable."""

    spec: DetectorSpec

    def __call__(self, path: str) -> Answer:
        """Decode a picture and search it; only the search is timed. Raises `Unreadable`."""
        try:
            pixels = np.asarray(decode(Path(path).read_bytes()).pixels)
        except OSError as error:
            raise Unreadable("cannot be read", str(error.strerror)) from error
        detector = self.spec.build()
        began, used = time.perf_counter(), time.process_time()
        faces = detector.detect(pixels)
        seconds, cpu = time.perf_counter() - began, time.process_time() - used
        return Answer(faces, seconds, cpu, peak_memory(), detector.settings)


@dataclass(slots=True)
class Compared:
    """One detector's answers to the pictures it could read, and why it could not read others."""

    label: str
    answers: list[tuple[Annotated, Answer]] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)

    def tally(self, criterion: Criterion, kind: str = ALL) -> Tally:
        """How good it is on the pictures of a kind, or on all."""
        return total(
            score(answer.faces, picture.boxes, criterion)
            for picture, answer in self.answers
            if kind in (ALL, picture.kind)
        )

    def kinds(self) -> dict[str, int]:
        """How many pictures there are of each kind, and of all if there are several kinds."""
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
    truth: Sequence[Annotated],
    progress: Progress,
    *,
    skip: bool,
) -> tuple[list[Compared], dict[str, str]]:
    """Compare detectors by label; with `skip` those that cannot run here are told, not raised."""
    results: list[Compared] = []
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
    label: str, spec: DetectorSpec, truth: Sequence[Annotated], progress: Progress
) -> Compared:
    """Let one detector search all pictures. Raises what building it raises."""
    # What is missing is told before a process is started.
    spec.build()
    result = Compared(label)
    by_path = {str(picture.path): picture for picture in truth}
    outcomes = run_over(Ask(spec), list(by_path), Processes(1))
    answers: dict[str, Answer] = {}
    for outcome in progress.over(outcomes, label, total=len(by_path)):
        if outcome.result is None:
            result.rejected[outcome.item] = f"{outcome.reason}: {outcome.detail}".rstrip(": ")
        else:
            answers[outcome.item] = outcome.result
    # In the order of the truth, whatever came first.
    result.answers = [(by_path[path], answers[path]) for path in by_path if path in answers]
    return result


def table(results: Sequence[Compared]) -> Iterator[str]:
    """The results as lines of text, a block for each detector, the figures side by side."""
    width = max((len(kind) for result in results for kind in result.kinds()), default=4)
    heads = "  ".join(f"{_title(criterion):^17}" for criterion in CRITERIA)
    columns = "  ".join("recall prec.   F1" for _ in CRITERIA)
    for result in results:
        said = result.as_json()
        yield f"{result.label}  ({said['settings']})" if said["settings"] else result.label
        yield f"  {'':{width}} {'':>12}  {heads}"
        yield f"  {'':{width}} {'images faces':>12}  {columns}"
        for kind, number in result.kinds().items():
            tallies = [result.tally(criterion, kind) for criterion in CRITERIA]
            figures = "  ".join(f"{t.recall:6.3f} {t.precision:5.3f} {t.f1:4.3f}" for t in tallies)
            yield f"  {kind:{width}} {number:>6} {tallies[0].faces:>5}  {figures}"
        yield (
            f"  {said['pictures_per_second']} images a second in one process, "
            f"{said['cpu_ms']} CPU ms an image, {said['memory_mb']} MB"
        )
        if result.rejected:
            yield f"  {len(result.rejected)} images could not be searched"


def _title(criterion: Criterion) -> str:
    return criterion.name if criterion.name == "centre" else f"IoU {criterion.name}"


def _figures(tally: Tally) -> dict[str, float | int]:
    return {
        "found": tally.found,
        "false": tally.false,
        "recall": round(tally.recall, 4),
        "precision": round(tally.precision, 4),
        "f1": round(tally.f1, 4),
    }

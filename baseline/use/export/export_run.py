"""Exporting a run: written, asked about real pictures beside the run itself, and only then kept."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from baseline.data.pixels import PixelReader, Pixels, choose_readers
from baseline.data.runs import find_run_dataset, find_run_folder
from baseline.data.samples import pixel_sources
from baseline.features.onnx_backbone import OnnxBackbone
from baseline.use.engines.base import Card, InferenceEngine, card_of
from baseline.use.engines.run_engine import RunEngine
from baseline.use.model import Model
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.html.words import count
from gleanset.records import Sample
from gleanset.work.pool import run_over
from gleanset.work.progress import Progress

BATCH = 16
TIMED = 20
LARGEST_DIFFERENCE = {"fp32": 1e-4, "fp16": 2e-2, "int8": 1.0}
"""The largest difference of a probability that is let through."""
LEAST_AGREEMENT = {"fp32": 0.999, "fp16": 0.99, "int8": 0.9}
"""The least share of pictures with the same likeliest class."""

ENOUGH, ALIKE = 100, 0.99
"""Two engines are alike where they answer this share of this many pictures the same."""
QUICKER = 0.9
"""The most of another's time that an engine may take to be called quicker."""


@dataclass(frozen=True, slots=True)
class AgreementCheck:
    """How two engines compare on `pictures` pictures.

    `farthest` is the largest difference of a probability, `agreement` the share of pictures with
    the same likeliest class. `accuracy` is of the exported model, `accuracy_before` of the run, on
    the labels given; None where there were none.
    """

    pictures: int
    farthest: float
    agreement: float
    accuracy_before: float | None
    accuracy: float | None

    @property
    def no_worse(self) -> bool:
        """Whether the exported model is right as often as the run, as far as that is known."""
        return (self.accuracy or 0) >= (self.accuracy_before or 0)

    def to_json(self) -> dict[str, float | int | str]:
        """Return the figures that are known."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}


def compare(
    run: InferenceEngine,
    exported: InferenceEngine,
    pictures: Pixels,
    y: npt.NDArray[np.int64] | None,
) -> AgreementCheck:
    """Compare both on pictures N x size x size x 3 of the classes `y` (-1: not known)."""
    first, second = probabilities(run, pictures), probabilities(exported, pictures)
    before, after = first.argmax(1), second.argmax(1)
    known = np.zeros(len(pictures), bool) if y is None else y >= 0
    scores = [
        float((found[known] == y[known]).mean()) if y is not None and known.any() else None
        for found in (before, after)
    ]
    # Between classes that are equally likely, either is the same answer.
    rows = np.arange(len(first))
    same = (before == after) | (
        first[rows, before] - first[rows, after] < LARGEST_DIFFERENCE["fp32"]
    )
    return AgreementCheck(
        len(pictures), float(np.abs(first - second).max()), float(same.mean()), *scores
    )


def probabilities(engine: InferenceEngine, pictures: Pixels) -> npt.NDArray[np.float32]:
    """Return N x classes, a batch at a time."""
    parts = [
        engine(pictures[at : at + BATCH]).probabilities for at in range(0, len(pictures), BATCH)
    ]
    return np.concatenate(parts)


def refuse_unequal(check: AgreementCheck, precision: str) -> None:
    """Raise `InputUnusable` where the answers are too far apart to be the same model's."""
    far = check.farthest > LARGEST_DIFFERENCE[precision]
    if far or check.agreement < LEAST_AGREEMENT[precision]:
        raise InputUnusable(
            f"nothing was written: as {precision} the model would give other answers "
            f"(the same class for {check.agreement:.1%} of {check.pictures} pictures, "
            f"probabilities off by up to {check.farthest:.2g})",
            "export with --precision fp32" if precision != "fp32" else "please report this",
        )


def alike(run: InferenceEngine, exported: InferenceEngine, pictures: Pixels) -> bool:
    """Return whether both give `ALIKE` of at least `ENOUGH` pictures the same class or none."""
    if len(pictures) < ENOUGH:
        return False
    told = [Model(one).answers_to(pictures, 1) for one in (run, exported)]
    same = [first.label == second.label for first, second in zip(*told, strict=True)]
    return bool(sum(same) >= ALIKE * len(same))


def quicker(engine: InferenceEngine, other: InferenceEngine, picture: Pixels) -> bool:
    """Return whether an engine takes less than `QUICKER` of the other's time on this machine."""
    return _shortest_seconds(engine, picture) < QUICKER * _shortest_seconds(other, picture)


def _shortest_seconds(engine: InferenceEngine, picture: Pixels) -> float:
    """Return the shortest time of several calls: others on the machine only make it longer."""
    taken = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        engine(picture)
        taken.append(time.perf_counter() - begun)
    return min(taken)


MOST_CHECKED = 200
MOST_CALIBRATED = 100
ENDINGS = (".onnx", ".tflite")
AUTO = "auto"
"""int8 where it answers alike about every class and is quicker here, else fp32."""


class CheckedPictures(NamedTuple):
    """Pictures uint8 N x size x size x 3 and their classes' numbers, -1 where not asked for."""

    pictures: Pixels
    y: npt.NDArray[np.int64]


def export_run(
    root: Path, run: str | None, out: Path, precision: str, progress: Progress | None = None
) -> dict[str, object]:
    """Write a run as `out` with its description beside it; what was written and how it compares.

    The ending of `out` is that of an ONNX or a LiteRT file, `precision` fp32, fp16, int8 or `AUTO`.
    Raises `InputUnusable` where the answers would differ or there is no picture to compare them on.
    """
    if out.suffix not in ENDINGS:
        raise UsageError(f"{out} is no name of a model", f"end it in {' or '.join(ENDINGS)}")
    progress = progress or Progress()
    engine = RunEngine.of(folder := find_run_folder(root, run))
    if out.suffix == ".tflite" and embedded_in(engine):
        raise UsageError(
            "a LiteRT file cannot hold the ONNX graph of this run's embedding",
            "export it as ONNX: OUT.onnx; or train on a network of timm: -o backbone=…",
        )
    writer = writer_of(out.suffix)
    with Dataset.open(find_run_dataset(folder, root) or root) as dataset:
        labelled = list(dataset.samples.iter_in_splits())
        checked = _seen(dataset, engine, _to_check(labelled), progress)
        calibration = (
            _seen(dataset, engine, _spread(labelled, "train", MOST_CALIBRATED), progress).pictures
            if precision in ("int8", AUTO)
            else checked.pictures[:0]
        )
    export = _Export(engine, writer, calibration, checked, progress)
    if precision == AUTO and not set(engine.facts.classes) <= {one.label for one in labelled}:
        precision = "fp32"  # nobody can ask about a class that was added to a gallery from files
    file = export.lightest() if precision == AUTO else export.file(precision)
    return _kept(out, file, writer)


def embedded_in(engine: RunEngine) -> list[OnnxBackbone]:
    """Return the embeddings that a run is built on."""
    return [one for one in engine.net.backbone.members if isinstance(one, OnnxBackbone)]


class ExportedFile(NamedTuple):
    """A model's file without its card, the card, what computes it, and what was found when it was
    asked.
    """

    data: bytes
    card: Card
    engine: InferenceEngine
    check: AgreementCheck


@dataclass(frozen=True, slots=True)
class _Export:
    """A run on its way into a file; `calibration` N x size x size x 3 is for int8 alone."""

    engine: RunEngine
    writer: FormatWriter
    calibration: Pixels
    checked: CheckedPictures
    progress: Progress

    def file(self, precision: str) -> ExportedFile:
        """Return the file, once it has answered as the run does. Raises `InputUnusable`."""
        weights = tuple(graph.spec.pinned() for graph in embedded_in(self.engine))
        card = msgspec.structs.replace(card_of(self.engine.facts, precision), weights=weights)
        self.progress.say(f"writing the network as {precision} ...")
        data = self.writer.model(self.engine, card, self.calibration)
        engine = self.writer.engine(self.writer.with_card(data, card))
        pictures = count(len(self.checked.pictures), "picture")
        self.progress.say(f"comparing its answers to {pictures} with those of the run ...")
        check = compare(self.engine, engine, *self.checked)
        refuse_unequal(check, precision)
        told = msgspec.structs.replace(card, checked=check.to_json())
        return ExportedFile(data, told, engine, check)

    def lightest(self) -> ExportedFile:
        """Return the file in int8 where it is as good and quicker on this machine, else fp32."""
        exact = self.file("fp32")
        if not len(self.calibration):
            return exact
        try:
            small = self.file("int8")
        except InputUnusable:
            return exact
        pictures = self.checked.pictures
        as_good = small.check.no_worse and alike(exact.engine, small.engine, pictures)
        return small if as_good and quicker(small.engine, exact.engine, pictures[:1]) else exact


def _kept(out: Path, file: ExportedFile, writer: FormatWriter) -> dict[str, object]:
    whole, card = writer.with_card(file.data, file.card), file.card
    beside = out.with_name(out.name + ".json")
    write_atomic(beside, card.to_json().encode())
    write_atomic(out, whole)
    return {
        "run": card.run,
        "file": str(out),
        "description": str(beside),
        "bytes": len(whole),
        "precision": card.precision,
        "classes": len(card.classes),
        **card.checked,
    }


def _to_check(labelled: Sequence[Sample]) -> list[Sample]:
    chosen: list[Sample] = []
    for split in ("val", "train", "test"):
        chosen += _spread(labelled, split, MOST_CHECKED - len(chosen))
    if not chosen:
        raise InputUnusable(
            "there is no labelled picture to compare the answers on",
            "name the dataset the run is of: -d DIR",
        )
    return chosen


def _spread(labelled: Sequence[Sample], split: str, most: int) -> list[Sample]:
    return [sample for sample in labelled if sample.split == split][: max(most, 0)]


def _seen(
    dataset: Dataset, engine: InferenceEngine, samples: Sequence[Sample], progress: Progress
) -> CheckedPictures:
    read = PixelReader(engine.facts.size, "RGB", engine.facts.fit)
    wanted = list(pixel_sources(dataset, samples))
    outcomes = run_over(read, wanted, choose_readers(len(wanted)))
    bar = progress.over(outcomes, "pictures", total=len(wanted))
    pixels = {one.item.key: one.result for one in bar if one.result is not None}
    kept = [sample for sample in samples if sample.key in pixels]
    if samples and not kept:
        raise InputUnusable("no picture of the dataset can be read", "put its images folder back")
    numbers = {name: number for number, name in enumerate(engine.facts.classes)}
    y = [numbers.get(str(s.label), -1) if s.split == "val" else -1 for s in kept]
    size = engine.facts.size
    pictures = np.zeros((len(kept), size, size, 3), np.uint8)
    for row, sample in enumerate(kept):
        pictures[row] = pixels[sample.key].transpose(1, 2, 0)
    return CheckedPictures(pictures, np.array(y, dtype=np.int64))


class FormatWriter(NamedTuple):
    """How a kind of file is made: the model, the model with its card, and what computes it."""

    model: Callable[[RunEngine, Card, Pixels], bytes]
    with_card: Callable[[bytes, Card], bytes]
    engine: Callable[[bytes], InferenceEngine]


def writer_of(ending: str) -> FormatWriter:
    """Return the writer of files with this ending. Raises `MissingComponent`."""
    if ending == ".onnx":
        from baseline.use.engines.exported_engines import OnnxEngine
        from baseline.use.export import onnx_file

        # One thread, as in a server: with more, how quick it is depends on who else computes.
        one_thread = functools.partial(OnnxEngine, threads=1)
        return FormatWriter(onnx_file.OnnxFiles(), onnx_file.with_card, one_thread)
    from baseline.use.engines.exported_engines import LiteRtEngine
    from baseline.use.export import litert_file

    litert_file.need_litert()
    return FormatWriter(litert_file.litert_bytes, litert_file.with_card, LiteRtEngine)

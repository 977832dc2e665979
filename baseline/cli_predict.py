"""`baseline predict`: what a model says of pictures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facecrop.cli_compare import checked_detector
from gleanset.cli import Command, Job, Result, job_options
from gleanset.errors import InputUnusable, UsageError
from gleanset.settings import FILE

if TYPE_CHECKING:
    from baseline.predict import Predicted
    from baseline.predict_files import ReadParts


@click.command(
    cls=Command, epilog="Example: baseline predict --faces episode.jpg holiday/ -d my-dataset"
)
@job_options()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--run", help="The run: its id or its folder. Default: the newest.")
@click.option("--model", "file", type=click.Path(path_type=Path), metavar="FILE",
              help="An exported .onnx or .tflite file instead of a run.")  # fmt: skip
@click.option("--faces", is_flag=True, help="Find the faces in each picture and predict those.")
@click.option("--detector", metavar="NAME", callback=checked_detector,
              help="The detector, when not that of the dataset.")  # fmt: skip
@click.option("--top", type=click.IntRange(1, 1000), default=5, show_default=True,
              help="How many classes to name.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Worker processes.")
def predict(
    job: Job, paths: tuple[str, ...], run: str | None, file: Path | None, faces: bool,
    detector: str | None, top: int, workers: int | None,
) -> Result:  # fmt: skip
    """Say what is on pictures: files, folders, or patterns such as 'holiday/*.jpg'.

    Confidences are calibrated where the run has a val split; "unknown" is answered as the run's
    answers.json has it. What cannot be read is told with the reason, and the rest goes on.
    """
    if run is not None and file is not None:
        raise UsageError("--run and --model both name a model", "give one of them")
    from baseline.api import load
    from baseline.predict import predict_files
    from baseline.predict_files import files_of

    place = file or _run_folder(job, run)
    model = load(place)
    read = reader(dataset_of(job.root, place), model.facts.size, faces, detector)
    found = predict_files(model, files_of(paths), read, top, workers or 0)
    told = [_shown(job, one) for one in job.progress.over(found, "predict")]
    return _result(job, model.facts.run, told)


def _run_folder(job: Job, run: str | None) -> Path:
    from baseline.chosen_run import run_folder_of
    from baseline.cli import need_torch

    need_torch()
    return run_folder_of(job.root, run)


def dataset_of(root: Path, place: Path) -> Path:
    """The dataset whose run it is, or else the one that was named."""
    own = place.resolve().parent.parent
    return own if (own / FILE).is_file() else root


def reader(root: Path, size: int, faces: bool, detector: str | None) -> ReadParts:
    """How pictures are read. Faces are found and cut as the dataset does it, where there is one."""
    from baseline.predict_files import ReadParts
    from facecrop.detectors.options import spec_of
    from gleanset.images.cut import CutSettings
    from gleanset.settings import CropSettings, read_settings

    if detector is not None and not faces:
        raise UsageError("--detector says how to find faces", "add --faces")
    if not faces:
        return ReadParts(size)
    crop = read_settings(root).crop if (root / FILE).is_file() else CropSettings()
    # The dataset's threshold is that of its own detector: scores of two do not compare.
    least = crop.threshold if detector in (None, crop.detector) else None
    known: dict[str, Any] = {} if least is None else {"threshold": least}
    spec = spec_of(detector or crop.detector, **known)
    spec.build()  # what it lacks is said now, not of each picture
    return ReadParts(size, spec, CutSettings.of(crop))


def _shown(job: Job, one: Predicted) -> Predicted:
    """Print a file's line as soon as it is there, unless everything comes as JSON at the end."""
    if not job.as_json:
        for line in lines(one):
            job.show(line)
    # The pixels are not needed any more.
    return one._replace(parts=tuple((p._replace(pixels=p.pixels[:0]), a) for p, a in one.parts))


def lines(one: Predicted) -> list[str]:
    """What a person reads of one file."""
    path = one.path.encode("unicode_escape").decode() if not one.path.isprintable() else one.path
    if one.rejection is not None:
        return [f"{path}: rejected, {one.rejection.reason} ({one.rejection.detail})"]
    found = []
    for part, answer in one.parts:
        place = f" [{','.join(map(str, part.box))}]" if part.box else ""
        named = ", ".join(f"{p.label} {p.confidence:.3f}" for p in answer.predictions)
        unknown = "unknown: " if answer.label is None else ""
        known = ", ".join(f"{k.label} {k.sample[:8]} {k.likeness:.2f}" for k in answer.nearest)
        found.append(f"{path}{place}: {unknown}{named}" + (f"; nearest {known}" if known else ""))
    return found


def _result(job: Job, run: str, told: list[Predicted]) -> Result:
    good = [one for one in told if one.rejection is None]
    bad = [one for one in told if one.rejection is not None]
    if not good and bad and all(one.rejection and one.rejection.reason == "file is gone"
                                for one in bad):  # fmt: skip
        raise InputUnusable("none of these files is there", "check the names")
    answers = Counter(answer.label or "unknown" for one in good for _, answer in one.parts)
    counts = {"run": run, "pictures": len(good), "parts": answers.total(), "rejected": len(bad)}
    if not job.as_json:
        return {**counts, "answers": dict(answers.most_common())}
    return {**counts, "predicted": [one.to_json() for one in good],
            "rejections": [one.to_json() for one in bad]}  # fmt: skip

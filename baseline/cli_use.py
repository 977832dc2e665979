"""`baseline predict`, `export` and `gallery`: using a trained model."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from baseline.cli_options import announced_crop_plan, crop_options, crop_request, need_torch
from gleanset.cli import Command, CommandGroup, CommandJob, Result, job_options
from gleanset.errors import InputUnusable, UsageError

if TYPE_CHECKING:
    from baseline.crops import CropPlan
    from baseline.predict import Predicted


@click.command(cls=Command, epilog="Example: baseline predict episode.jpg holiday/ -d my-dataset")
@job_options()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--run", help="The run: its id or its folder. Default: the newest.")
@click.option(
    "--model",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="An exported .onnx or .tflite file instead of a run.",
)
@crop_options
@click.option(
    "--top",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="How many classes to name.",
)
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Worker processes.")
def predict(
    job: CommandJob,
    paths: tuple[str, ...],
    run: str | None,
    file: Path | None,
    top: int,
    workers: int | None,
    **crop: Any,
) -> Result:
    """Say what is on pictures: files, folders, or patterns such as 'holiday/*.jpg'.

    Pictures are cut as those were that the model learnt from: of faces it finds each and answers
    for it. What is done is told, and --faces and --whole say otherwise. Confidences are calibrated
    where the run has a val split; "unknown" is answered as the run's answers.json has it. What
    cannot be read is told with the reason, and the rest goes on.
    """
    if run is not None and file is not None:
        raise UsageError("--run and --model both name a model", "give one of them")
    from baseline.model import load
    from baseline.picture_parts import files_of
    from baseline.predict import predict_files

    request = crop_request(**crop)
    place = file or _run_folder(job, run)
    model = load(place)
    cropping = announced_crop_plan(job, model.facts, place, request)
    found = predict_files(model, files_of(paths), cropping.read, top, workers or 0)
    told = [_shown(job, one) for one in job.progress.over(found, "predict")]
    return _result(job, model.facts.run, cropping, told)


def _run_folder(job: CommandJob, run: str | None) -> Path:
    from baseline.runs import find_run_folder

    need_torch()
    return find_run_folder(job.root, run)


def _shown(job: CommandJob, one: Predicted) -> Predicted:
    """Print a file's line as soon as it is there, unless everything comes as JSON at the end."""
    if not job.as_json:
        for line in lines(one):
            job.show(line)
    # The pixels are not needed any more.
    return one._replace(parts=tuple((p._replace(pixels=p.pixels[:0]), a) for p, a in one.parts))


def lines(one: Predicted) -> list[str]:
    """Return what a person reads of one file."""
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


def _result(job: CommandJob, run: str, cropping: CropPlan, told: list[Predicted]) -> Result:
    good = [one for one in told if one.rejection is None]
    bad = [one for one in told if one.rejection is not None]
    if (
        not good
        and bad
        and all(one.rejection and one.rejection.reason == "file is gone" for one in bad)
    ):
        raise InputUnusable("none of these files is there", "check the names")
    answers = Counter(answer.label or "unknown" for one in good for _, answer in one.parts)
    counts = {"run": run, "pictures": len(good), "parts": answers.total(), "rejected": len(bad)}
    if not job.as_json:
        return {**counts, "answers": dict(answers.most_common())}
    return {
        **counts,
        "cropping": cropping.to_json(),
        "predicted": [one.to_json() for one in good],
        "rejections": [one.to_json() for one in bad],
    }


@click.command(
    cls=Command, epilog="Example: baseline export --format onnx model.onnx -d my-dataset"
)
@job_options()
@click.argument("names", nargs=-1, required=True, metavar="[RUN] OUT")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["onnx", "litert"]),
    default="onnx",
    show_default=True,
    help="For servers and pages, or for phones.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8", "auto"]),
    default="fp32",
    show_default=True,
    help="Smaller and less exact: the cost is shown. auto: int8 where it answers alike and is "
    "quicker on this machine.",
)
def export(job: CommandJob, names: tuple[str, ...], kind: str, precision: str) -> Result:
    """Write a RUN (its id or folder; the newest by default) as OUT, a .onnx or .tflite file.

    What happens to pictures before and after, the labels and the thresholds are inside, and
    described in OUT.json. The file is asked about up to 200 pictures of the dataset and only
    kept when it answers as the run does. int8 is calibrated on pictures of train.
    """
    if len(names) > 2:
        raise UsageError(f"{len(names)} names are too many", "write: baseline export [RUN] OUT")
    need_torch()
    from baseline.export.export_run import export_run

    run = names[0] if len(names) == 2 else None
    return export_run(job.root, run, Path(names[-1]), kind, precision, job.progress)


@click.group(
    cls=CommandGroup, epilog="Example: baseline gallery add --class mei new/*.png -d my-dataset"
)
def gallery() -> None:
    """See and change the known pictures of a triplet run: a new class needs no training."""


@gallery.command("list", epilog="Example: baseline gallery list -d my-dataset")
@job_options()
@click.option("--run", help="The run: its id or its folder. Default: the newest.")
def list_classes(job: CommandJob, run: str | None) -> Result:
    """Tell how many pictures of each class a run knows."""
    folder = _run_folder(job, run)
    from baseline.gallery import listed

    return {"run": folder.resolve().name, "classes": listed(folder)}


@gallery.command(epilog="Example: baseline gallery add --class mei new/*.png -d my-dataset")
@job_options()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--class", "name", required=True, help="The class they are of, known or new.")
@click.option("--run", help="The run: its id or its folder. Default: the newest.")
@crop_options
def add(job: CommandJob, paths: tuple[str, ...], name: str, run: str | None, **crop: Any) -> Result:
    """Make pictures known to a run: files, folders, or patterns such as 'new/*.jpg'.

    They are cut as those were that the run learnt from, or as --faces and --whole say. Nothing is
    trained. The files are kept in the run's folder, and gallery/changes.jsonl there tells of every
    change.
    """
    request = crop_request(**crop)
    folder = _run_folder(job, run)
    from baseline.engines.torch_engine import TorchEngine
    from baseline.gallery import add_files
    from baseline.picture_parts import files_of

    cropping = announced_crop_plan(job, TorchEngine.of(folder).facts, folder, request)
    found = add_files(folder, name, files_of(paths), cropping.read, job.progress)
    return {**found, "cropping": cropping.to_json()} if job.as_json else found


@gallery.command(epilog="Example: baseline gallery remove --class mei -d my-dataset")
@job_options()
@click.option("--class", "name", required=True, help="The class to forget.")
@click.option("--run", help="The run: its id or its folder. Default: the newest.")
def remove(job: CommandJob, name: str, run: str | None) -> Result:
    """Forget a class of a run. Its pictures stay: adding them again brings it back."""
    folder = _run_folder(job, run)
    from baseline.gallery import remove_class

    return remove_class(folder, name)

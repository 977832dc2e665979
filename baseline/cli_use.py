"""`baseline predict`, `export` and `gallery`: using a trained model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from baseline.cli_options import announced_crop_plan, crop_options, crop_request, need_torch
from gleanset.cli import Command, CommandGroup, CommandJob, Result, job_options
from gleanset.completion import classes_here, runs_here, runs_here_or_files
from gleanset.errors import DoneInPart, InputUnusable, UsageError

if TYPE_CHECKING:
    from baseline.use.crops import CropPlan
    from baseline.use.predict import Predicted


@click.command(cls=Command, epilog="Example: baseline predict episode.jpg holiday/ -d my-dataset")
@job_options()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--run",
    shell_complete=runs_here,
    help="The run: its id or its folder. Default: the newest.",
)
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
@click.option(
    "--csv",
    "table",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a table, too: a row for each picture, or for each face.",
)
@click.option(
    "--copy-to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Copy each picture to DIR/<class>, those of no known class to DIR/unknown.",
)
@click.option("--move", is_flag=True, help="With --copy-to: move them there.")
@click.option("--watch", is_flag=True, help="Go on with files that come, until Ctrl-C.")
@click.option("--fail", is_flag=True, help="End with exit code 3 where a file is rejected.")
def predict(
    job: CommandJob,
    paths: tuple[str, ...],
    run: str | None,
    file: Path | None,
    top: int,
    workers: int | None,
    table: Path | None,
    folder: Path | None,
    move: bool,
    watch: bool,
    fail: bool,
    **crop: Any,
) -> Result:
    """Say what is on pictures: files, folders, or patterns such as 'holiday/*.jpg'.

    Pictures are cut as those were that the model learnt from: of faces it finds each and answers
    for it. What is done is told, and --faces and --whole say otherwise. Confidences are calibrated
    where the run has a val split; "unknown" is answered as the run's answers.json has it. What
    cannot be read is told with the reason, and the rest goes on.
    """
    _refuse_contradictions(run, file, folder, move=move)
    from baseline.use.answer_table import answer_table
    from baseline.use.class_folders import ClassFolders
    from baseline.use.model import load
    from baseline.use.picture_parts import files_of
    from baseline.use.predict import predict_files
    from baseline.use.watched_files import watched_files

    request = crop_request(**crop)
    place = file or _run_folder(job, run)
    model = load(place)
    cropping = announced_crop_plan(job, model.facts, place, request)
    folders = ClassFolders(folder, model.facts.classes, move=move) if folder else None

    def files() -> Iterable[str]:
        return folders.outside(files_of(paths)) if folders else files_of(paths)

    tally = _Tally(job, watch)
    with ExitStack() as open_, suppress(KeyboardInterrupt) if watch else nullcontext():
        rows = open_.enter_context(answer_table(table, top)) if table else None
        for some in watched_files(files) if watch else (files(),):
            found = predict_files(model, some, cropping.read, top, workers or 0)
            for one in found if watch else job.progress.over(found, "predict"):
                tally.add(one)
                if rows:
                    rows.add(one)
                if folders:
                    folders.put(one)
    result = tally.result(model.facts.run, cropping)
    result |= {"table": str(table)} if table else {}
    result |= {"moved" if move else "copied": dict(folders.counts)} if folders else {}
    if fail and tally.rejected:
        what = f"{tally.rejected} files could not be used"
        raise DoneInPart(what, "the reasons are told with them", result)
    return result


def _refuse_contradictions(
    run: str | None, file: Path | None, folder: Path | None, *, move: bool
) -> None:
    if run is not None and file is not None:
        raise UsageError("--run and --model both name a model", "give one of them")
    if move and folder is None:
        raise UsageError("--move is for --copy-to", "say where: --copy-to DIR --move")


def _run_folder(job: CommandJob, run: str | None) -> Path:
    from baseline.data.runs import find_run_folder

    need_torch()
    return find_run_folder(job.root, run)


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


class _Tally:
    """What was said of files: shown as it comes, counted, and kept where it ends as one object."""

    def __init__(self, job: CommandJob, watch: bool) -> None:
        self._job, self._stream = job, watch
        self._answers: Counter[str] = Counter()
        self._kept: list[Predicted] = []
        self._pictures = self.rejected = self._gone = 0

    def add(self, one: Predicted) -> None:
        """Count a file, and print its lines as soon as it is there."""
        if one.rejection is not None:
            self.rejected += 1
            self._gone += one.rejection.reason == "file is gone"
        else:
            self._pictures += 1
            self._answers.update(answer.label or "unknown" for _, answer in one.parts)
        if not self._job.as_json:
            for line in lines(one):
                self._job.show(line)
        elif self._stream:
            self._job.show(json.dumps(one.to_json(), ensure_ascii=False))
        else:
            # The pixels are not needed any more.
            parts = tuple((part._replace(pixels=part.pixels[:0]), a) for part, a in one.parts)
            self._kept.append(one._replace(parts=parts))

    def result(self, run: str, cropping: CropPlan) -> Result:
        """Return what the command returns. Raises `InputUnusable` where no file was there."""
        if self._gone and self._gone == self.rejected and not self._pictures:
            raise InputUnusable("none of these files is there", "check the names")
        counts = {"run": run, "pictures": self._pictures, "parts": self._answers.total()}
        counts["rejected"] = self.rejected
        if not self._job.as_json or self._stream:
            return {**counts, "answers": dict(self._answers.most_common())}
        return {
            **counts,
            "cropping": cropping.to_json(),
            "predicted": [one.to_json() for one in self._kept if one.rejection is None],
            "rejections": [one.to_json() for one in self._kept if one.rejection is not None],
        }


@click.command(
    cls=Command, epilog="Example: baseline export --format onnx model.onnx -d my-dataset"
)
@job_options()
@click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="[RUN] OUT",
    shell_complete=runs_here_or_files,
)
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
    from baseline.use.export.export_run import export_run

    run = names[0] if len(names) == 2 else None
    return export_run(job.root, run, Path(names[-1]), kind, precision, job.progress)


@click.group(
    cls=CommandGroup, epilog="Example: baseline gallery add --class mei new/*.png -d my-dataset"
)
def gallery() -> None:
    """See and change the known pictures of a triplet run: a new class needs no training."""


@gallery.command("list", epilog="Example: baseline gallery list -d my-dataset")
@job_options()
@click.option(
    "--run",
    shell_complete=runs_here,
    help="The run: its id or its folder. Default: the newest.",
)
def list_classes(job: CommandJob, run: str | None) -> Result:
    """Tell how many pictures of each class a run knows."""
    folder = _run_folder(job, run)
    from baseline.use.gallery_files import listed

    return {"run": folder.resolve().name, "classes": listed(folder)}


@gallery.command(epilog="Example: baseline gallery add --class mei new/*.png -d my-dataset")
@job_options()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "--class",
    "name",
    required=True,
    shell_complete=classes_here,
    help="The class they are of, known or new.",
)
@click.option(
    "--run",
    shell_complete=runs_here,
    help="The run: its id or its folder. Default: the newest.",
)
@crop_options
def add(job: CommandJob, paths: tuple[str, ...], name: str, run: str | None, **crop: Any) -> Result:
    """Make pictures known to a run: files, folders, or patterns such as 'new/*.jpg'.

    They are cut as those were that the run learnt from, or as --faces and --whole say. Nothing is
    trained. The files are kept in the run's folder, and gallery/changes.jsonl there tells of every
    change.
    """
    request = crop_request(**crop)
    folder = _run_folder(job, run)
    from baseline.use.engines.torch_engine import TorchEngine
    from baseline.use.gallery_files import add_files
    from baseline.use.picture_parts import files_of

    cropping = announced_crop_plan(job, TorchEngine.of(folder).facts, folder, request)
    found = add_files(folder, name, files_of(paths), cropping.read, job.progress)
    return {**found, "cropping": cropping.to_json()} if job.as_json else found


@gallery.command(epilog="Example: baseline gallery remove --class mei -d my-dataset")
@job_options()
@click.option(
    "--class", "name", required=True, shell_complete=classes_here, help="The class to forget."
)
@click.option(
    "--run",
    shell_complete=runs_here,
    help="The run: its id or its folder. Default: the newest.",
)
def remove(job: CommandJob, name: str, run: str | None) -> Result:
    """Forget a class of a run. Its pictures stay: adding them again brings it back."""
    folder = _run_folder(job, run)
    from baseline.use.gallery_files import remove_class

    return remove_class(folder, name)

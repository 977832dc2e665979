"""`baseline predict`, `export` and `gallery`: using a trained model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from baseline.extras import need_transfer
from baseline.request import ExportRequest, KnownPicturesRequest, PredictRequest
from gleanset.cli import Command, CommandJob, Result, gone_option, job_options
from gleanset.errors import DoneInPart, InputUnusable, UsageError
from gleanset.files.store import GONE
from gleanset.request import options_of
from gleanset.terminal import shown_name
from gleanset.tree import ignored_summary

if TYPE_CHECKING:
    from baseline.use.crops import CropPlan
    from baseline.use.engines.base import ModelFacts
    from baseline.use.predict import Predicted

FILES = (".onnx", ".tflite")


def _run_folder(job: CommandJob, run: str | None) -> Path:
    from baseline.data.runs import find_run_folder

    need_transfer()
    return find_run_folder(job.root, run)


def _crop_plan(job: CommandJob, facts: ModelFacts, place: Path, detector: str | None) -> CropPlan:
    """Return how pictures are cut for the model in `place`, and say it on stderr."""
    from baseline.data.runs import dataset_of_run
    from baseline.use.crops import crop_plan_for

    cropping = crop_plan_for(facts, dataset_of_run(place, job.root), detector)
    job.say(cropping.words)
    return cropping


@click.command(cls=Command, epilog="Example: baseline predict episode.jpg holiday/ -d my-dataset")
@job_options()
@gone_option("--move", what="your own files stay where they are", hint="copy them: --copy-to DIR")
@options_of(PredictRequest)
def predict(job: CommandJob, request: PredictRequest) -> Result:
    """Say what is on pictures: files, folders, or patterns such as 'holiday/*.jpg'.

    Pictures are cut as those were that the model learnt from: of faces it finds each and answers
    for it. What is done is told, and --detector says otherwise. Confidences are calibrated
    where the run has a val split; "unknown" is answered as the run's answers.json has it. What
    cannot be read is told with the reason, and the rest goes on.
    """
    from baseline.use.answers_on_disk import ClassFolders, answer_table
    from baseline.use.model import load
    from baseline.use.picture_parts import files_of
    from baseline.use.predict import predict_files
    from baseline.use.watched_files import watched_files

    named = Path(request.run or "")
    place = named if named.suffix in FILES else _run_folder(job, request.run)
    model = load(place)
    cropping = _crop_plan(job, model.facts, place, request.detector)
    folders = None
    if request.copy_to is not None:
        folders = ClassFolders(Path(request.copy_to), model.facts.classes)

    ignored: Counter[str] = Counter()

    def files() -> Iterable[str]:
        ignored.clear()
        named = files_of(request.paths, ignored)
        return folders.outside(named) if folders else named

    watch, tally = request.watch, _Tally(job, request.watch)
    tally.also += [folders.put] if folders else []
    with ExitStack() as held, suppress(KeyboardInterrupt) if watch else nullcontext():
        if request.csv:
            table = held.enter_context(answer_table(Path(request.csv), request.top))
            tally.also.append(table.add)
        for some in watched_files(files) if watch else (files(),):
            answers = predict_files(model, some, cropping.read, request.top)
            for answer in answers if watch else job.progress.over(answers, "predict"):
                tally.add(answer)
    result = tally.result(model.facts.run, cropping)
    result |= ignored_summary(ignored)
    result |= {"table": request.csv} if request.csv else {}
    result |= {"copied": dict(folders.counts)} if folders else {}
    if request.fail and tally.rejected:
        what = f"{tally.rejected} files could not be used"
        raise DoneInPart(what, "the reasons are told with them", result)
    return result


def lines(predicted: Predicted) -> list[str]:
    """Return what a person reads of one file."""
    path = shown_name(predicted.path)
    if predicted.rejection is not None:
        return [f"{path}: rejected, {predicted.rejection.reason} ({predicted.rejection.detail})"]
    shown_lines = []
    for part, answer in predicted.parts:
        place = f" [{','.join(map(str, part.box))}]" if part.box else ""
        named = ", ".join(f"{p.label} {p.confidence:.3f}" for p in answer.predictions)
        unknown = "unknown: " if answer.label is None else ""
        known = ", ".join(f"{k.label} {k.sample[:8]} {k.likeness:.2f}" for k in answer.nearest)
        shown_lines.append(
            f"{path}{place}: {unknown}{named}" + (f"; nearest {known}" if known else "")
        )
    return shown_lines


class _Tally:
    """What was said of files: shown as it comes, counted, and kept where it ends as one object.

    What is in `also` gets each, too.
    """

    def __init__(self, job: CommandJob, watch: bool) -> None:
        self._job, self._stream = job, watch
        self._answers: Counter[str] = Counter()
        self._kept: list[Predicted] = []
        self._pictures = self.rejected = self._gone = 0
        self.also: list[Callable[[Predicted], None]] = []

    def add(self, predicted: Predicted) -> None:
        """Count a file, and print its lines as soon as it is there."""
        if predicted.rejection is not None:
            self.rejected += 1
            self._gone += predicted.rejection.reason == GONE
        else:
            self._pictures += 1
            self._answers.update(answer.label or "unknown" for _, answer in predicted.parts)
        if not self._job.as_json:
            for line in lines(predicted):
                self._job.show(line)
        elif self._stream:
            self._job.show_json(predicted.to_json())
        else:
            # The pixels are not needed any more.
            parts = tuple((part._replace(pixels=part.pixels[:0]), a) for part, a in predicted.parts)
            self._kept.append(predicted._replace(parts=parts))
        for also in self.also:
            also(predicted)

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


@click.command(cls=Command, epilog="Example: baseline export model.onnx -d my-dataset")
@job_options()
@options_of(ExportRequest)
def export(job: CommandJob, request: ExportRequest) -> Result:
    """Write a RUN (its id or folder; the newest by default) as OUT: a .onnx file for servers and
    pages, or a .tflite file for phones.

    What happens to pictures before and after, the labels and the thresholds are inside, and
    described in OUT.json. The file is asked about up to 200 pictures of the dataset and only
    kept when it answers as the run does. int8 is calibrated on pictures of train.
    """
    names = request.names
    if len(names) > 2:
        raise UsageError(f"{len(names)} names are too many", "write: baseline export [RUN] OUT")
    need_transfer()
    from baseline.use.export.export_run import export_run

    run = names[0] if len(names) == 2 else None
    return export_run(job.root, run, Path(names[-1]), request.precision, job.progress)


@click.command(cls=Command, epilog="Example: baseline gallery --class mei new/*.png -d my-dataset")
@job_options()
@options_of(KnownPicturesRequest)
def gallery(job: CommandJob, request: KnownPicturesRequest) -> Result:
    """Tell which pictures a triplet run knows, and change them: a new class needs no training.

    With --class pictures are made known: files, folders, or patterns such as 'new/*.jpg'. They are
    cut as those were that the run learnt from, or as --detector says. The files are kept in the
    run's folder, and gallery/changes.jsonl there tells of every change.
    """
    if bool(request.paths) != (request.label is not None):
        raise UsageError(
            "pictures are made known as a class", "say which: baseline gallery --class NAME PATH..."
        )
    if request.label is not None and request.remove is not None:
        raise UsageError("--class and --remove are two changes", "make one, then the other")
    folder = _run_folder(job, request.run)
    from baseline.use.engines.run_engine import RunEngine
    from baseline.use.gallery_files import add_files, listed, remove_class
    from baseline.use.picture_parts import files_of

    if request.remove is not None:
        return remove_class(folder, request.remove)
    if request.label is None:
        return {"run": folder.resolve().name, "classes": listed(folder)}
    cropping = _crop_plan(job, RunEngine.of(folder).facts, folder, request.detector)
    ignored: Counter[str] = Counter()
    files = files_of(request.paths, ignored)
    done = add_files(folder, request.label, files, cropping.read, job.progress)
    done |= ignored_summary(ignored)
    return {**done, "cropping": cropping.to_json()} if job.as_json else done

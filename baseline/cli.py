"""The `baseline` command: training, evaluating, comparing and using a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from baseline.extras import require_transfer
from baseline.request import (
    CompareRunsRequest,
    EvaluateRequest,
    ExportRequest,
    GalleryImagesRequest,
    LabelIssuesRequest,
    PredictRequest,
    PresortCommandRequest,
    SweepRequest,
    TrainRequest,
    parse_protected_class,
    parse_share,
)
from baseline.settings import load_preset
from gleanset.cli import CommandJob, Result, gone_option, group, job_options
from gleanset.cli import main as run_main
from gleanset.errors import DoneInPart, InputUnusable, UsageError
from gleanset.files.hub import on_hub
from gleanset.files.store import GONE
from gleanset.html.words import percent
from gleanset.named_files import found_at
from gleanset.request import options_of
from gleanset.terminal import shown_name, table
from gleanset.tree import ignored_summary

if TYPE_CHECKING:
    from baseline.evaluation.thresholds import RuleRequest
    from baseline.use.crops import CropPlan
    from baseline.use.engines.base import ModelFacts
    from baseline.use.predict import Predicted


commands = group("baseline", "Train a baseline model on a dataset and judge it.")


@commands.command(epilog="Example: baseline train --preset simple -o epochs=10 -d my-dataset")
@job_options(simulate=True, on=True)
@options_of(TrainRequest)
def train(job: CommandJob, request: TrainRequest) -> Result:
    """Train on train, watch val, and judge once on test.

    A run that was stopped goes on where it was last saved.

    With --folds it is measured how good a training like this is, on every picture of train and
    val, and no network is kept; without it one is trained.
    """
    if request.folds is not None:
        return _cross_validate(job, request, request.folds)
    request.check()
    if job.simulate:
        return {"settings": load_preset(request.preset, request.texts()).to_json()}
    require_transfer()
    from baseline.data.runs import run_folder
    from baseline.evaluation.report.page import REPORT
    from baseline.evaluation.summary import summarize_training
    from baseline.train.train_run import train_preset

    with job.open() as dataset:
        done = train_preset(
            dataset, request.preset, request.texts(), progress=job.progress, say=job.say
        )
        folder = run_folder(dataset, str(done["run"]))
        report = folder.absolute() / REPORT
    done |= {"report": str(report)} if report.is_file() else {}
    return done if job.as_json else summarize_training(done, folder, job.root)


def _cross_validate(job: CommandJob, request: TrainRequest, folds: int) -> Result:
    request.check()
    require_transfer()
    from baseline.train.trials import plan_folds, run_cross_validation

    with job.open() as dataset:
        settings = load_preset(request.preset, request.texts(), dataset.pin_of)
        if job.simulate:
            return plan_folds(dataset, settings, folds)
        done = run_cross_validation(dataset, settings, folds, progress=job.progress, say=job.say)
        return done.to_json() if job.as_json else done.words()


@commands.command(epilog="Example: baseline backbones --json")
@job_options(dataset=False)
def backbones(job: CommandJob) -> Result:
    """Name backbones that come along, and models on a hub that fit: docs/training.md."""
    names = on_hub("baseline.features")["names"]
    return {"backbones": [f"{name}: {what}" for name, what in names.items()]}


@commands.command(epilog="Example: baseline sweep -o dropout=0.2,0.5 -o optimiser=adam,adamax")
@job_options(simulate=True)
@options_of(SweepRequest)
def sweep(job: CommandJob, request: SweepRequest) -> Result:
    """Try combinations of settings, judged on val, and name the best command.

    Test is never looked at. A sweep that is stopped goes on where it was.
    """
    from baseline.train.trials import expand_grid, parse_grid

    cells = expand_grid(request.preset, parse_grid(request.options))
    if job.simulate:
        return {"trainings": len(cells), "cells": [_setting_words(cell) for cell in cells]}
    require_transfer()
    from baseline.train.trials import sweep as carry_out

    with job.open() as dataset:
        done = carry_out(dataset, request.preset, cells, progress=job.progress, say=job.say)
    return done if job.as_json else _sweep_words(done)


def _setting_words(options: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in options.items())


def _sweep_words(done: dict[str, Any]) -> Result:
    lines = [
        f"{_setting_words(cell['options'])}: "
        + (
            cell["failed"]
            or f"{cell['accuracy']:.3f}, log loss {cell['log_loss']:.3f}, {cell['seconds']:.0f} s"
        )
        for cell in done["cells"]
    ]
    level = f"{done['level_with_best']} others may be as good: what they are behind can be luck"
    if done["interval"]:
        low, high = done["interval"]
        moments = done["moments"]
        level += f" (95 % interval of the best, of {moments} moments: {low:.3f} to {high:.3f})"
    words = {"accuracy on val": lines, "level": level}
    return {**words, "next": done["command"]}


@commands.command(epilog="Example: baseline presort -d my-dataset")
@job_options(on=True)
@gone_option(
    "--follow",
    what="the labeler's window learns by itself while you sort",
    hint="open it: labeler",
)
@options_of(PresortCommandRequest)
def presort(job: CommandJob, request: PresortCommandRequest) -> Result:
    """Propose a class for each sample without one, and say which to label next.

    Learns from what is labelled, in seconds once the features are cached, on those of the preset
    transfer.
    With nothing labelled it puts look-alikes together. Proposals are no labels: the labeler shows
    them, surest first or the most telling first, and a person decides. Label some 30, presort
    again, and so on.

    The labeler's window runs it for new samples, and learns from labels by itself.
    """
    require_transfer()
    options = {key: str(value) for key, value in request.options.items()}
    load_preset("transfer", options)
    from baseline.presort.presorter import presort as run
    from baseline.presort.presorter import summarize_presort

    with job.open() as dataset:
        figures = run(dataset, load_preset("transfer", options, dataset.pin_of), job.progress)
        return figures if job.as_json else summarize_presort(dataset, figures)


SHOWN = 20
_BY_TEST = "choosing the best run by test makes its figure too good: choose by --split val"


@commands.command(epilog="Example: baseline evaluate --protect photo=99.9% --unknown-rate 5%")
@job_options()
@gone_option(
    "--open-set",
    what="classes are not left out one after another",
    hint="reject images of anything else, and read the model's card (docs/use.md)",
)
@gone_option(
    "--spare",
    what="it has another name",
    hint="baseline evaluate --protect CLASS=99.9%",
)
@gone_option(
    "--unknown-error",
    what="no threshold is chosen by the share of wrong answers",
    hint="for pictures of no class: --unknown-rate 5%; a least confidence: [web] unknown_below",
)
@options_of(EvaluateRequest)
def evaluate(job: CommandJob, request: EvaluateRequest) -> Result:
    """Judge a run (the newest by default) on the present samples, and write its report again.

    Thresholds are chosen on val and stored with the run, so that predict and the exported model
    answer by them. Each evaluation on test is counted, also those of other runs.
    """
    require_transfer()
    from baseline.evaluation.evaluate import reevaluate_run
    from baseline.evaluation.report.page import write_report
    from baseline.evaluation.summary import (
        evaluation_to_json,
        list_evaluation_warnings,
        summarize_evaluation,
    )

    wishes = _wishes(request)
    split = request.split or ("val" if wishes.any else "test")
    with job.open() as dataset, dataset.stage("baseline-evaluate"):
        judged = reevaluate_run(dataset, request.run, split, wishes, job.progress)
        report = write_report(dataset, judged.run)
    for line in list_evaluation_warnings(judged):
        job.say(f"baseline: {line}")
    result = evaluation_to_json(judged) if job.as_json else summarize_evaluation(judged)
    return result | {"report": str(report)}


def _wishes(request: EvaluateRequest) -> RuleRequest:
    from baseline.evaluation.thresholds import RuleRequest

    rate = request.unknown_rate
    wishes = RuleRequest(
        dict(map(parse_protected_class, request.protect)),
        None if rate is None else parse_share(rate),
    )
    if request.forget and wishes.any:
        raise UsageError("--forget drops what the other options choose", "give them apart")
    return RuleRequest({}, forget=True) if request.forget else wishes


@commands.command(epilog="Example: baseline compare --split val -d my-dataset")
@job_options()
@gone_option(
    "--output",
    "-o",
    what="the table is printed",
    hint="for other programs: baseline compare --json",
)
@options_of(CompareRunsRequest)
def compare(job: CommandJob, request: CompareRunsRequest) -> Result:
    """Compare runs (all finished ones by default) on the pictures they were all judged on.

    Nothing is computed again: 'baseline evaluate' judges a run on the present samples. Each
    run is held against the first one, with an interval and an exact test of
    its moments. All figures are of what predict answers, by the calibrated scores of the run.
    """
    from baseline.data.runs import list_finished_runs
    from baseline.evaluation.compare import compare as compare_runs
    from baseline.evaluation.summary import COMPARISON_COLUMNS, format_comparison_row

    with job.open() as dataset:
        comparison = compare_runs(
            dataset, request.runs or list_finished_runs(dataset), request.split
        )
    if comparison.split == "test" and len(comparison.runs) > 1:
        job.say(f"baseline: {_BY_TEST}")
    if comparison.few:
        job.say(f"baseline: {comparison.split} has {comparison.few}")
    values: Result = msgspec.to_builtins(comparison)
    if not job.as_json:
        del values["runs"]
        if not job.progress.quiet:
            for line in table([COMPARISON_COLUMNS, *map(format_comparison_row, comparison.runs)]):
                job.show(line)
    return values


@commands.command(epilog="Example: baseline doubts --folds 5 -d my-dataset")
@job_options()
@options_of(LabelIssuesRequest)
def doubts(job: CommandJob, request: LabelIssuesRequest) -> Result:
    """Find labels that are likely wrong, by networks that had not learnt the picture.

    Trains again with the settings of a run (the newest by default), on whole moments, over all
    labelled samples. The labels in doubt are stored for review and shown in the run's report.
    """
    require_transfer()
    from baseline.data.runs import find_finished_run
    from baseline.evaluation.report.page import write_report
    from baseline.train.trials import find_label_issues

    with job.open() as dataset, dataset.stage("baseline"):
        name, folder = find_finished_run(dataset, request.run)
        search = find_label_issues(dataset, name, folder, request.folds, job.progress)
        report = write_report(dataset, name)
        samples = [
            doubt._asdict() | {"path": found_at(dataset, doubt.sample)} for doubt in search.doubts
        ]
        shown = [
            f"{doubt.sample}: {doubt.label}, perhaps {doubt.suggested} "
            f"({percent(doubt.confidence)}), {found_at(dataset, doubt.sample)}"
            for doubt in search.doubts[:SHOWN]
        ]
    values: Result = {
        "run": name,
        "folds": request.folds,
        "labelled": search.labelled,
        "judged": search.judged,
        "agree": search.accuracy,
        "doubts": len(search.doubts),
        "report": str(report),
    }
    if job.as_json:
        return values | {"samples": samples}
    fix = "labeler --view review, or labeler label CLASS SAMPLE"
    return values | ({"clearest": shown, "to_fix": fix} if shown else {})


FILES = (".onnx", ".tflite")


def _run_folder(job: CommandJob, run: str | None) -> Path:
    from baseline.data.runs import find_run_folder

    require_transfer()
    return find_run_folder(job.root, run)


def _crop_plan(job: CommandJob, facts: ModelFacts, place: Path, detector: str | None) -> CropPlan:
    from baseline.data.runs import find_run_dataset
    from baseline.use.crops import crop_plan_for

    cropping = crop_plan_for(facts, find_run_dataset(place, job.root), detector)
    job.say(cropping.words)
    return cropping


@commands.command(epilog="Example: baseline predict episode.jpg holiday/ -d my-dataset")
@job_options()
@gone_option("--move", what="your own files stay where they are", hint="copy them: --copy-to DIR")
@gone_option(
    "--watch",
    what="other programs watch folders",
    hint="watchexec -w inbox baseline predict inbox --copy-to sorted: what is there is not copied "
    "again",
)
@options_of(PredictRequest)
def predict(job: CommandJob, request: PredictRequest) -> Result:
    """Say what is on pictures: files, folders, or patterns such as 'holiday/*.jpg'.

    Pictures are cut as those were that the model learnt from: of faces it finds each and answers
    for it. A message says which detector runs; --detector names another. Confidences are calibrated
    where the run has a val split; "unknown" is answered as the run's answers.json has it. What
    cannot be read is reported with the reason, and the others go on.
    """
    from baseline.use.crops import files_of
    from baseline.use.model import load
    from baseline.use.predict import ClassFolders, answer_table, predict_files

    named = Path(request.run or "")
    place = named if named.suffix in FILES else _run_folder(job, request.run)
    model = load(place)
    cropping = _crop_plan(job, model.facts, place, request.detector)
    ignored: Counter[str] = Counter()
    files, folders, tally = files_of(request.paths, ignored), None, _Tally(job)
    if request.copy_to is not None:
        folders = ClassFolders(Path(request.copy_to), model.facts.classes)
        files = folders.outside(files)
        tally.also.append(folders.put)
    with ExitStack() as held:
        if request.csv:
            table = held.enter_context(answer_table(Path(request.csv), request.top))
            tally.also.append(table.add)
        answers = predict_files(model, files, cropping.read, request.top)
        for answer in job.progress.over(answers, "predict"):
            tally.add(answer)
    result = tally.result(model.facts.run, cropping)
    result |= ignored_summary(ignored)
    result |= {"table": request.csv} if request.csv else {}
    result |= {"copied": dict(folders.counts)} if folders else {}
    if request.fail and tally.rejected:
        what = f"{tally.rejected} files could not be used"
        raise DoneInPart(what, "their reasons are in the result", result)
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
    """What was said of files: shown as it comes, counted, and kept for JSON; `also` gets each."""

    def __init__(self, job: CommandJob) -> None:
        self._job = job
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
        if not self._job.as_json:
            return {**counts, "answers": dict(self._answers.most_common())}
        return {
            **counts,
            "cropping": cropping.to_json(),
            "predicted": [one.to_json() for one in self._kept if one.rejection is None],
            "rejections": [one.to_json() for one in self._kept if one.rejection is not None],
        }


@commands.command(epilog="Example: baseline export model.onnx -d my-dataset")
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
    require_transfer()
    from baseline.use.export.export_run import export_run

    run = names[0] if len(names) == 2 else None
    return export_run(job.root, run, Path(names[-1]), request.precision, job.progress)


@commands.command(epilog="Example: baseline gallery --class mei new/*.png -d my-dataset")
@job_options()
@options_of(GalleryImagesRequest)
def gallery(job: CommandJob, request: GalleryImagesRequest) -> Result:
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
    from baseline.use.crops import files_of
    from baseline.use.engines.run_engine import RunEngine
    from baseline.use.gallery_files import add_files, listed, remove_class

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


def main() -> NoReturn:
    """The console script."""
    run_main(commands)

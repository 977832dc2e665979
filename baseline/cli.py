"""The `baseline` command: training, evaluating, comparing and using a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from baseline.data.runs import (
    find_finished_run,
    find_run_dataset,
    find_run_folder,
    list_finished_runs,
    read_current_names,
)
from baseline.extras import require_packages, require_transfer
from baseline.request import (
    CompareRunsRequest,
    EvaluateRequest,
    ExportRequest,
    GalleryImagesRequest,
    LabelIssuesRequest,
    PredictRequest,
    PrelabelRequest,
    TrainRequest,
    parse_protected_class,
    parse_share,
)
from baseline.settings import load_preset
from gleanset.cli import CommandJob, create_program
from gleanset.command_result import CommandResult
from gleanset.errors import DoneInPart, InputUnusable, UsageError
from gleanset.files.hub import load_hub_models
from gleanset.files.store import FILE_GONE
from gleanset.html.words import count
from gleanset.request import request_options
from gleanset.terminal import escape_name
from gleanset.tree import summarize_ignored

if TYPE_CHECKING:
    from baseline.evaluation.decision_rule import RuleRequest
    from baseline.use.crops import CropPlan
    from baseline.use.engines import ModelFacts
    from baseline.use.model import Prediction
    from baseline.use.predict import FilePrediction


SIMPLE_NOTE = (
    "; with few images a class, --preset transfer is usually more accurate and quicker"
)
SECTIONS = {
    "Train": "prelabel train label-issues backbones",
    "Evaluate and use": "evaluate compare predict export gallery",
}
commands = create_program(
    "baseline", "Train, evaluate and use baseline models.", sections=SECTIONS
)


class TrainingPreview(CommandResult, kw_only=True):
    """The settings that a training would have, and whether it mirrors images."""

    settings: dict[str, Any]
    mirroring: str


@commands.job(simulate=True)
@request_options(TrainRequest)
def train(job: CommandJob, request: TrainRequest) -> CommandResult:
    """Train a model and evaluate it on test.

    An interrupted run resumes from its last checkpoint.

    With --folds, cross-validate on train and val instead, without saving a model.

    Example: baseline train --preset simple -o epochs=10 -d my-dataset
    """
    request.check()
    settings = load_preset(request.preset, request.texts())
    if job.simulate and request.folds is None:
        return TrainingPreview(
            settings=settings.to_json(), mirroring=settings.mirroring
        )

    require_packages(settings)
    from baseline.train.train_run import train_run
    from baseline.train.trials import plan_folds, run_cross_validation

    with job.open() as dataset:
        # Again, because the dataset says which revision of a model from a hub it uses.
        settings = load_preset(
            request.preset,
            request.texts(),
            dataset.pin_of,
        )
        note = SIMPLE_NOTE if settings.preset == "simple" else ""
        job.say(f"preset: {settings.preset}{note}")
        if request.folds is None:
            return train_run(
                dataset,
                settings,
                progress=job.progress,
                say=job.say,
            )
        if job.simulate:
            return plan_folds(dataset, settings, request.folds)
        return run_cross_validation(
            dataset,
            settings,
            request.folds,
            progress=job.progress,
            say=job.say,
        )


class BackboneList(CommandResult, kw_only=True):
    """Names of backbones, each with its description."""

    backbones: list[str]


@commands.job(dataset=False)
def backbones(job: CommandJob) -> BackboneList:
    """List the bundled backbones and known models on a hub.

    Example: baseline backbones --json
    """
    names = load_hub_models("baseline.features")["names"]
    return BackboneList(backbones=[f"{name}: {text}" for name, text in names.items()])


@commands.job()
@request_options(PrelabelRequest)
def prelabel(job: CommandJob, request: PrelabelRequest) -> CommandResult:
    """Suggest classes for samples, and which to label next.

    Trains on the labelled samples, with the features of the preset transfer; this takes seconds
    once features are cached. Without labels, similar samples are clustered. Suggestions are not
    labels: the labeler shows them for review. Label about 30 samples, prelabel again, and so on.

    The labeler's window runs this for new samples and updates suggestions after labelling.

    Example: baseline prelabel -d my-dataset
    """
    require_transfer()
    options = {key: str(value) for key, value in request.options.items()}
    load_preset("transfer", options)
    from baseline.prelabel.prelabeling import prelabel as run_prelabel

    with job.open() as dataset:
        return run_prelabel(
            dataset, load_preset("transfer", options, dataset.pin_of), job.progress
        )


_TEST_WARNING = (
    "choosing between runs by test makes its accuracy too optimistic: "
    "choose by --split val"
)


@commands.job()
@request_options(EvaluateRequest)
def evaluate(job: CommandJob, request: EvaluateRequest) -> CommandResult:
    """Evaluate a run on the current samples.

    The default is the latest run. Its report is rewritten. Thresholds are chosen on val and
    stored with the run, for predict and exported models. Evaluations on test are counted over
    all runs.

    Example: baseline evaluate --protect photo=99.9% --max-rejection-rate 5%
    """
    require_transfer()
    from baseline.evaluation.evaluate import reevaluate_run
    from baseline.evaluation.report.page import write_report

    rule_request = _parse_rule_request(request)
    split = request.split or ("val" if rule_request.any else "test")
    with job.open() as dataset, dataset.stage("baseline-evaluate"):
        evaluation = reevaluate_run(
            dataset,
            request.run,
            split,
            rule_request,
            job.progress,
        )
        evaluation.report = str(write_report(dataset, evaluation.run))

    for line in evaluation.warnings():
        job.say(line)
    return evaluation


def _parse_rule_request(request: EvaluateRequest) -> RuleRequest:
    from baseline.evaluation.decision_rule import RuleRequest

    rate = request.max_rejection_rate
    if request.forget and (request.protect or rate is not None):
        raise UsageError(
            "--forget excludes --protect and --max-rejection-rate", "run two commands"
        )
    return RuleRequest(
        protected=dict(map(parse_protected_class, request.protect)),
        max_rejection_rate=None if rate is None else parse_share(rate),
        forget=request.forget,
    )


@commands.job()
@request_options(CompareRunsRequest)
def compare(job: CommandJob, request: CompareRunsRequest) -> CommandResult:
    """Compare runs on the images they were all evaluated on.

    Default: all finished runs. Stored outputs are used: run 'baseline evaluate' first to use
    the current samples. Each run is compared with the first by an interval and an exact test
    over groups (* is significant). Accuracy is that of the predictions users get; log loss, ECE
    and macro F1 are of the scores, before any image is predicted as "unknown".

    Example: baseline compare --split val -d my-dataset
    """
    from baseline.evaluation.compare import compare as compare_runs

    with job.open() as dataset:
        comparison = compare_runs(
            dataset, request.runs or list_finished_runs(dataset), request.split
        )

    if comparison.split == "test" and len(comparison.runs) > 1:
        job.say(_TEST_WARNING)

    if comparison.size_warning:
        job.say(f"{comparison.split} has {comparison.size_warning}")
    return comparison


@commands.job()
@request_options(LabelIssuesRequest)
def label_issues(job: CommandJob, request: LabelIssuesRequest) -> CommandResult:
    """Find labels that out-of-fold predictions contradict.

    Cross-validates the settings of a run (default: latest) on all labelled samples. Label issues
    are stored for review and shown in the report of the run.

    Example: baseline label-issues --folds 5 -d my-dataset
    """
    require_transfer()
    from baseline.evaluation.report.page import write_report
    from baseline.train.trials import find_label_issues
    from curation.labelling_command import suggest_review

    with job.open() as dataset, dataset.stage("baseline"):
        name, folder = find_finished_run(dataset, request.run)
        result = find_label_issues(
            dataset,
            name,
            folder,
            request.folds,
            job.progress,
        )
        result.report = str(write_report(dataset, name))
        result.next = suggest_review(dataset, "label-issues") if result.samples else []

    return result


def _run_folder(job: CommandJob, run: str | None) -> Path:
    require_transfer()
    return find_run_folder(job.root, run)


def _crop_plan(
    job: CommandJob, facts: ModelFacts, model: Path, detector: str | None
) -> CropPlan:
    from baseline.use.crops import make_crop_plan

    cropping = make_crop_plan(
        facts,
        find_run_dataset(model, job.root),
        detector,
    )
    job.say(cropping.description)
    return cropping


@commands.job()
@request_options(PredictRequest)
def predict(job: CommandJob, request: PredictRequest) -> CommandResult:
    """Predict classes of images. Give files, folders, or patterns such as 'holiday/*.jpg'.

    Images are cropped like the training images: a model of faces detects faces and predicts a
    class for each, with the detector of training or --detector. Confidences are calibrated if the
    run has a val split. Unreadable files are reported and skipped.

    Example: baseline predict episode.jpg holiday/ -d my-dataset
    """
    from baseline.use.crops import expand_paths
    from baseline.use.model import load
    from baseline.use.predict import ClassFolders, open_prediction_table, predict_files

    path = Path(request.run or "")
    if path.suffix != ".onnx":
        path = _run_folder(job, request.run)
    model = load(path)
    model.rename_classes(read_current_names(path, model.classes))
    cropping = _crop_plan(job, model.facts, path, request.detector)
    ignored_counts = Counter[str]()
    files = expand_paths(request.paths, ignored_counts)
    result = PredictionResult(
        run=model.facts.run,
        images=0,
        parts=0,
        rejected=0,
        cropping=cropping.to_json(),
        predicted=[],
        rejections=[],
    )

    folders = None
    if request.copy_to is not None:
        folders = ClassFolders(
            Path(request.copy_to),
            model.facts.classes,
        )
        files = folders.outside(files)

    table = None
    # At the end of the block the table is moved to its place.
    with ExitStack() as stack:
        if request.csv:
            table = stack.enter_context(
                open_prediction_table(Path(request.csv), request.top)
            )

        predictions = predict_files(model, files, cropping.reader, request.top)
        for prediction in job.progress.over(predictions, "predict"):
            result.add(prediction, job)
            if folders is not None:
                folders.put(prediction)
            if table is not None:
                table.add(prediction)

    result.raise_if_nothing_exists()
    result = result.with_facts(summarize_ignored(ignored_counts))
    result.table = request.csv or ""
    result.copied = dict(folders.counts) if folders else None

    if request.fail and result.rejected:
        raise DoneInPart(
            f"{count(result.rejected, 'file')} rejected",
            "see the reasons in the result",
            result,
        )

    return result


MIN_SHOWN_CONFIDENCE = 0.0005
MIN_SHOWN_REMAINDER = 0.005


def format_prediction(prediction: FilePrediction) -> list[str]:
    """Return the lines that are printed for a file."""
    path = escape_name(prediction.path)
    if prediction.rejection is not None:
        return [
            f"{path}: not predicted: {prediction.rejection.reason} "
            f"({escape_name(prediction.rejection.detail)})"
        ]

    lines = []
    for part, answer in prediction.parts:
        box = f" [{','.join(map(str, part.box))}]" if part.box else ""
        outcome = "" if answer.label else f"{answer.outcome}: "
        line = f"{path}{box}: {outcome}{_format_scores(answer.predictions)}"
        if answer.nearest:
            nearest = [
                f"{image.label} {image.sample[:8]} {image.similarity:.2f}"
                for image in answer.nearest
            ]
            line += f"; nearest {', '.join(nearest)}"
        lines.append(line)
    return lines


def _format_scores(predictions: Sequence[Prediction]) -> str:
    """Return the classes that print more than 0.000, and the confidence that is left for others."""
    texts = []
    remaining = 1.0
    for rank, prediction in enumerate(predictions):
        # The likeliest class is printed in any case.
        if rank == 0 or prediction.confidence >= MIN_SHOWN_CONFIDENCE:
            texts.append(f"{prediction.label} {prediction.confidence:.3f}")
            remaining -= prediction.confidence
    if remaining >= MIN_SHOWN_REMAINDER:
        texts.append(f"other {remaining:.3f}")
    return ", ".join(texts)


class PredictionResult(CommandResult, kw_only=True):
    """Predictions of files, and the files that were rejected.

    `answers` counts the predicted classes; the prediction of each file is printed as it comes.
    """

    ONLY_PRINTED = ("answers",)

    run: str
    images: int
    parts: int
    rejected: int
    cropping: dict[str, Any]
    predicted: list[dict[str, Any]]
    rejections: list[dict[str, Any]]
    ignored: int | None = None
    ignored_reasons: dict[str, int] = {}
    table: str = ""
    copied: dict[str, int] | None = None
    answers: Counter[str] = msgspec.field(default_factory=Counter)

    def add(self, prediction: FilePrediction, job: CommandJob) -> None:
        """Count and print a file; its predictions are kept for `--json`."""
        if prediction.rejection is not None:
            self.rejected += 1
            self.rejections.append(prediction.to_json())
        else:
            self.images += 1
            self.parts += len(prediction.parts)
            self.answers.update(answer.outcome for _, answer in prediction.parts)

        if job.as_json and prediction.rejection is None:
            self.predicted.append(prediction.to_json())
        elif not job.as_json:
            for line in format_prediction(prediction):
                job.show(line)

    def raise_if_nothing_exists(self) -> None:
        """Raise `InputUnusable` if no file exists."""
        reasons = {rejection["reason"] for rejection in self.rejections}
        if reasons == {FILE_GONE} and not self.images:
            raise InputUnusable("none of these files exists", "check the names")

    def summary(self) -> dict[str, Any]:
        """Return the number of images and of each answer."""
        summary: dict[str, Any] = {"images": self.images}
        if self.parts != self.images:
            summary["faces"] = self.parts
        return summary | {
            "rejected": self.rejected,
            "predictions": dict(self.answers.most_common()),
            "run": self.run,
            "ignored": self.ignored or 0,
            "ignored reasons": self.ignored_reasons,
            "table": self.table,
            "copied": self.copied or {},
        }


@commands.job()
@request_options(ExportRequest)
def export(job: CommandJob, request: ExportRequest) -> CommandResult:
    """Export RUN as OUT.onnx, for servers, pages and phones.

    RUN is an id or a folder; default: the latest. Preprocessing, labels and thresholds are
    inside the file and described in OUT.json. The file is kept only if its predictions on up to
    200 images equal those of the run. int8 is calibrated on images of train.

    Example: baseline export model.onnx -d my-dataset
    """
    names = request.names
    if len(names) > 2:
        raise UsageError(
            f"too many names: {len(names)}", "run: baseline export [RUN] OUT"
        )

    require_transfer()
    from baseline.use.export.export_run import export_run

    run = names[0] if len(names) == 2 else None
    return export_run(
        job.root,
        run,
        Path(names[-1]),
        request.precision,
        job.progress,
    )


@commands.job()
@request_options(GalleryImagesRequest)
def gallery(job: CommandJob, request: GalleryImagesRequest) -> CommandResult:
    """List or change the known images of a triplet run. A new class needs no training.

    With --class, images are added: files, folders, or patterns such as 'new/*.jpg'. They are
    cropped like the training images, or by --detector. A class has at most 64 images: of more,
    the most representative ones. The files are kept in the folder of the run, with a log of all
    changes in gallery/changes.jsonl.

    Example: baseline gallery --class mei new/*.png -d my-dataset
    """
    if bool(request.paths) != (request.label is not None):
        raise UsageError(
            "images and --class go together",
            "run: baseline gallery --class NAME PATH...",
        )
    if request.label is not None and request.remove is not None:
        raise UsageError("--class excludes --remove", "run two commands")
    folder = _run_folder(job, request.run)
    from baseline.use.crops import expand_paths
    from baseline.use.gallery_files import (
        GalleryList,
        add_files,
        count_images,
        remove_class,
    )
    from baseline.use.run_engine import RunEngine

    if request.remove is not None:
        return remove_class(folder, request.remove)
    if request.label is None:
        return GalleryList(run=folder.resolve().name, classes=count_images(folder))

    cropping = _crop_plan(
        job, RunEngine.from_folder(folder).facts, folder, request.detector
    )
    ignored_counts = Counter[str]()
    files = expand_paths(request.paths, ignored_counts)
    result = add_files(
        folder,
        request.label,
        files,
        cropping.reader,
        job.progress,
    )
    result.cropping = cropping.to_json()

    return result.with_facts(summarize_ignored(ignored_counts))

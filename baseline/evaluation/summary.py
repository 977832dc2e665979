"""Results of `baseline train`, `evaluate` and `label-issues`, and the lines that they print.

All figures are in the result (`--json`), in the run's `metrics.json` and in its report.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

import msgspec

from baseline.data.runs import run_folder
from baseline.data.samples import can_be_folded
from baseline.evaluation.decision_rule import ThresholdEffects
from baseline.evaluation.metrics import (
    ClassScore,
    SplitMetrics,
    describe_copy_search,
    describe_coverage,
    read_metrics,
)
from baseline.evaluation.report.page import REPORT
from curation.labelling_command import suggest_larger_test
from gleanset import Dataset
from gleanset.command_result import CommandResult
from gleanset.db.runs import EvaluationCounts
from gleanset.errors import InputUnusable
from gleanset.html.words import count
from gleanset.named_files import Location, shorten_list

Summary = dict[str, Any]
MAX_CONFUSED_PAIRS = 3
SPLIT_NOTES = {
    "train": "training images: not a test",
    "val": "used to tune the model: not a true test",
}
"""What the accuracy on a split is worth; that of test depends on its copies."""

# Folds that are advised where too few groups are left for val and test.
_ADVISED_FOLDS = 3


class TrainedRun(CommandResult, kw_only=True):
    """A finished run; the catalogue stores its fields.

    `data` has the number of images by split; `val` and `test` are `SplitMetrics.summary`, None
    without images. `metrics` are those of the printed split, None if the files of the run are gone.
    `lacks_images`: another split would not fill val and test either.
    """

    ONLY_PRINTED = ("metrics", "option", "commands", "lacks_images")

    run: str
    classes: int
    data: dict[str, int]
    epochs: int | None = None
    best_epoch: int | None = None
    val: dict[str, Any] | None
    test: dict[str, Any] | None
    calibration: Any = None
    unknown: str = ""
    copies: dict[str, int] | None
    unreadable: int = 0
    unseen_labels: int = 0
    report: str = ""
    metrics: SplitMetrics | None = None
    option: str = ""
    commands: list[str] = []
    lacks_images: bool = False

    @classmethod
    def from_run(cls, dataset: Dataset, run: str, fields: Mapping[str, Any]) -> Self:
        """Return the result of a run with these fields, and what is printed of its files."""
        missing_splits = {"val": None, "test": None, "copies": None}
        result = msgspec.convert(
            missing_splits | dict(fields) | {"run": run},
            cls,
        )
        result.option = dataset.option

        folder = run_folder(dataset, run)
        report = (folder / REPORT).absolute()
        if report.is_file():
            result.report = str(report)
        with suppress(InputUnusable):  # the files of the run are gone
            metrics = read_metrics(folder, dataset)
            result.metrics = metrics.splits.get(result.printed_split)

        # Where images for val or test are missing, the next command gives them some; if no split
        # can, folds are advised.
        if not (result.val and result.test):
            has_unseen = bool(result.unseen_labels)
            result.commands = suggest_larger_test(dataset, unseen=has_unseen)
            result.lacks_images = not result.commands
        if result.lacks_images and can_be_folded(dataset, _ADVISED_FOLDS):
            command = f"baseline train --folds {_ADVISED_FOLDS} {dataset.option}"
            result.commands = [command]
        return result

    @property
    def printed_split(self) -> str:
        """The split whose accuracy is printed, or empty."""
        if self.test:
            return "test"
        return "val" if self.val else ""

    def summary(self) -> Summary:
        """Return the accuracy first, then how the model was trained."""
        split = self.printed_split
        lines: Summary = {}
        if not split:
            lines["accuracy"] = "unknown: no images in test or val"
            if self.lacks_images:
                lines["accuracy"] += "; label images of other scenes, then split again"
        elif self.metrics is not None:
            lines |= summarize_accuracy(split, self.metrics, self.copies)
            lines["most confused"] = _describe_confusions(self.metrics)

        lines["unknown"] = self.unknown
        lines["training images"] = self._training_images()
        lines["run"] = self.run
        lines["report"] = self.report

        lines["next"] = [
            *self.commands,
            f"baseline predict IMAGE {self.option}",
            f"webapp serve {self.option}",
        ]
        return {name: text for name, text in lines.items() if text}

    def brief(self) -> Summary:
        """Return the same without commands: a recipe prints its own."""
        return self.summary() | {"next": []}

    def _training_images(self) -> str:
        words = f"{self.data['train']:,} ({count(self.classes, 'class', 'classes')})"
        if self.epochs is not None:
            words += f", {count(self.epochs, 'epoch')} (best: {self.best_epoch})"
        if self.unseen_labels:
            words += f"; {count(self.unseen_labels, 'label')} not reviewed"
        if self.unreadable:
            words += f"; {count(self.unreadable, 'image')} unreadable"
        return words


def summarize_accuracy(
    split: str, metrics: SplitMetrics, copies: Mapping[str, Any] | None
) -> Summary:
    """Return the accuracy with its 95 % CI, and the majority-class baseline.

    `copies` is from `summarize_copy_search` of the split.
    """
    notes = [
        metrics.emptiness_note,
        SPLIT_NOTES.get(split) or describe_copy_search(copies),
    ]
    texts = [metrics.accuracy_text, *filter(None, notes)]
    lines = {f"{split} accuracy": "; ".join(texts)}

    if metrics.empty_classes:
        lines["not tested"] = ", ".join(shorten_list(metrics.empty_classes))

    if metrics.unknown_note:
        lines["predicted unknown"] = metrics.unknown_note
    return lines | {"majority-class baseline": f"{metrics.commonest_class:.1%}"}


def _describe_confusions(metrics: SplitMetrics) -> str:
    if metrics.answer_metrics.right == metrics.count:
        return ""
    pairs = metrics.list_confused_pairs()[:MAX_CONFUSED_PAIRS]
    if not pairs:
        return f"no pair more than once ({metrics.error_text})"
    return "; ".join(
        f"{pair.true} as {pair.answer} ({pair.count}/{pair.total})" for pair in pairs
    )


def reuse_warning(earlier: EvaluationCounts | None) -> str:
    """Return a warning if other runs were evaluated on test before, or empty."""
    if earlier is None or not earlier.times:
        return ""
    runs = ", ".join(shorten_list(earlier.runs))
    return (
        f"test was evaluated {count(earlier.times, 'time')} before ({runs}): "
        "choosing between runs by test makes its accuracy too optimistic"
    )


class EvaluationResult(CommandResult, kw_only=True):
    """Metrics of a finished run on the current samples of `split`, and its report.

    Attributes
    ----------
    effects : thresholds chosen now
    copies : `summarize_copy_search` of the split
    earlier : earlier evaluations, if the split is test
    warning : groups in both train and the split and renamed classes, or empty
    """

    run: str
    split: str
    figures: SplitMetrics
    effects: ThresholdEffects
    copies: Mapping[str, int]
    earlier: EvaluationCounts | None
    warning: str
    report: str = ""

    def to_json(self) -> Summary:
        """Return all figures; as in `baseline train --json`, of the predictions users get."""
        figures: Summary = msgspec.to_builtins(self.figures)
        del figures["answers"]
        del figures["intervals"]
        answers = self.figures.answer_metrics
        figures |= self.figures.summary()
        figures |= {
            "classes": answers.classes,
            "confusion": answers.confusion,
            "mistakes": answers.mistakes,
        }

        values: Summary = {
            "run": self.run,
            self.split: figures,
            "copies": self.copies,
        }
        if self.earlier is not None:
            values["looked_before"] = self.earlier._asdict()
        if self.effects.protected:
            values["protected"] = self.effects.protected
        if self.effects.unfamiliar is not None:
            values["unfamiliar"] = self.effects.unfamiliar
        values["report"] = self.report
        return dict(msgspec.to_builtins(values))

    def warnings(self) -> list[str]:
        """Return warnings about the figures, and a line for each threshold chosen."""
        warnings = [reuse_warning(self.earlier), self.warning]
        if small_sample := self.figures.size_warning:
            warnings.append(f"{self.split} has {small_sample}")
        warnings += self.effects.describe()
        return [warning for warning in warnings if warning]

    def summary(self) -> Summary:
        """Return the accuracy first, then other metrics and those of each class."""
        metrics = self.figures
        lines = summarize_accuracy(self.split, metrics, self.copies)
        lines["macro F1"] = f"{metrics.answer_macro_f1:.3f}"
        lines["log loss"] = f"{metrics.log_loss:.3f}"
        lines["calibration error (ECE)"] = f"{metrics.ece:.3f}"

        if (before := metrics.uncalibrated) is not None:
            lines["log loss"] += f" ({before.log_loss:.3f} before calibration)"
            lines["calibration error (ECE)"] += (
                f" ({before.ece:.3f} before calibration)"
            )

        if self.earlier is not None and self.earlier.times:
            lines["earlier test evaluations"] = str(self.earlier.times)

        lines["classes"] = {
            score.name: _describe_class(score)
            for score in metrics.answer_metrics.classes
        }
        return lines | {"run": self.run, "report": self.report}


def _describe_class(score: ClassScore) -> str:
    if not score.support:
        return "no images"
    return (
        f"precision {score.precision:.3f}, recall {score.recall:.3f}, F1 {score.f1:.3f}, "
        f"{count(score.support, 'image')}"
    )


class SuspectLabel(msgspec.Struct, kw_only=True):
    """A label issue with the path of its image; `time` is that of a frame."""

    sample: str
    label: str
    suggested: str
    confidence: float
    margin: float
    run: str
    confident: bool
    path: str
    time: float | None

    def line(self) -> str:
        """Return the line that people read."""
        suggestion = f"probably {self.suggested} ({self.confidence:.0%})"
        place = Location(self.path, self.time).describe()
        return f"{self.sample}: {self.label}, {suggestion}, {place}"


class LabelIssuesResult(CommandResult, kw_only=True):
    """Labels that out-of-fold predictions contradict; `agree` is the share that they do not."""

    run: str
    folds: int
    labelled: int
    evaluated: int
    agree: float
    tested: int
    classes: int
    label_issues: int
    confident: int
    report: str = ""
    samples: list[SuspectLabel]
    next: list[str] = []

    def summary(self) -> Summary:
        """Return the number of issues first, then the clearest ones."""
        issues = f"{self.label_issues:,} of {count(self.evaluated, 'label')}"
        if self.label_issues:
            issues += f", {self.confident:,} of them confident"
        agreement = f"{self.agree:.1%} of labels, {count(self.folds, 'fold')}"

        if self.tested < self.classes:
            agreement += f", {describe_coverage(self.tested, self.classes)}"
        lines: Summary = {"label issues": issues, "out-of-fold agreement": agreement}
        if left_out := self.labelled - self.evaluated:
            lines["not held out"] = count(left_out, "image")

        # The first command shows the samples, another one corrects a label.
        if self.samples:
            lines["clearest"] = shorten_list([sample.line() for sample in self.samples])
            first, *others = self.next
            lines["correct one"] = " ".join(others)
            lines["next"] = first

        return lines | {"run": self.run, "report": self.report}

"""Metrics of splits, and of a run: `metrics.json` in its folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from baseline.data.runs import METRICS, find_renamed_classes
from baseline.evaluation.intervals import UNKNOWN_INTERVAL, small_sample_warning
from baseline.evaluation.outputs import (
    CalibrationError,
    ConfidenceBin,
    ScoreCalibration,
    log_softmax,
)
from gleanset import Dataset
from gleanset.arrays import Float32Array, Float64Array, IntArray
from gleanset.db.duplicates import Pairs
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.words import confidence_interval, count
from gleanset.records import SPLITS, Interval

if TYPE_CHECKING:
    from baseline.data.samples import Examples


T = TypeVar("T")
TOP_K = 5
MIN_TELLING_GROUPS = 3
"""With fewer groups the 95 % interval reaches from about 0 to about 1, whatever the accuracy."""
MAX_CONFUSED_PAIRS = 10


@dataclass(frozen=True)
class ClassScore:
    """Precision, recall and F1 of one class, 0 where the denominator is 0.

    `support` is the number of images whose true class this is.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Misclassification:
    """A wrong prediction; `confidence` is that of `predicted`."""

    key: str
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class ConfusedPair:
    """`count` of `total` images of class `true` were predicted as `answer`."""

    true: str
    answer: str
    count: int
    total: int


@dataclass(frozen=True)
class AnswerMetrics:
    """Metrics of the predictions that users get, under the whole decision rule.

    `right` images are predicted correctly and `unknown` as "unknown", which is never correct here.
    `interval` is the 95 % interval of the accuracy, None for a single group. `confusion` has a
    last column for "unknown"; `mistakes` are other classes, most confident first. `unsure` images
    get a class with a confidence below 50 %, `unsure_right` of them the correct one; None if that
    was not counted.
    """

    right: int
    unknown: int
    classes: tuple[ClassScore, ...]
    interval: Interval | None
    confusion: list[list[int]]
    mistakes: tuple[Misclassification, ...]
    unsure: int | None = None
    unsure_right: int | None = None


@dataclass(frozen=True)
class SplitMetrics:
    """Metrics of one split; fields from `groups` on need the groups and the calibration of a run.

    Fields are of the classifier, before any prediction is "unknown"; `answers` and the properties
    named after them are of what users get.

    Attributes
    ----------
    log_loss : mean cross entropy in nats, unweighted
    macro_f1 : mean over the classes that have images
    confusion : row i, column j counts images of class i predicted as class j
    mistakes : wrong predictions, most confident first
    top5_accuracy : None with five classes or fewer
    commonest_class : accuracy of the majority-class baseline
    intervals : 95 % interval of `accuracy`, if there are several groups
    uncalibrated : calibration error and log loss before temperature scaling
    """

    count: int
    accuracy: float
    log_loss: float
    macro_f1: float
    classes: tuple[ClassScore, ...]
    confusion: list[list[int]]
    mistakes: tuple[Misclassification, ...]
    top5_accuracy: float | None = None
    commonest_class: float = 0.0
    groups: int | None = None
    effective_groups: float | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    ece: float | None = None
    bins: tuple[ConfidenceBin, ...] = ()
    uncalibrated: CalibrationError | None = None
    answers: AnswerMetrics | None = None

    @property
    def right(self) -> int:
        """Number of correct predictions, before any is "unknown"."""
        return int(np.trace(self.confusion))

    @property
    def answer_metrics(self) -> AnswerMetrics:
        """`answers`; without a decision rule those of the classifier."""
        return self.answers or AnswerMetrics(
            right=self.right,
            unknown=0,
            classes=self.classes,
            interval=self.intervals.get("accuracy"),
            confusion=self.confusion,
            mistakes=self.mistakes,
        )

    @property
    def answer_accuracy(self) -> float:
        """Accuracy of the predictions that users get; "unknown" is not correct."""
        return self.answer_metrics.right / self.count

    @property
    def answer_interval(self) -> Interval:
        """The 95 % interval of `answer_accuracy`, 0 to 1 for a single group."""
        return self.answer_metrics.interval or UNKNOWN_INTERVAL

    @property
    def wrong_answers(self) -> int:
        """Number of images that users get another class for."""
        return self.count - self.answer_metrics.right - self.answer_metrics.unknown

    @property
    def empty_classes(self) -> list[str]:
        """The classes without images, of which nothing was measured."""
        return [score.name for score in self.classes if not score.support]

    @property
    def coverage(self) -> str:
        """How many classes have images, or empty if all have."""
        if not self.empty_classes:
            return ""
        classes_with_images = len(self.classes) - len(self.empty_classes)
        return describe_coverage(classes_with_images, len(self.classes))

    @property
    def accuracy_text(self) -> str:
        """The accuracy that users get, what it was measured on, and its interval."""
        parts = [
            f"{self.answer_accuracy:.1%} ({self.answer_metrics.right}/{self.count})"
        ]
        if self.coverage:
            parts.append(self.coverage)
        if self.groups:
            parts += [
                confidence_interval(*self.answer_interval),
                count(self.groups, "group"),
            ]
        return ", ".join(parts)

    @property
    def error_text(self) -> str:
        """The number of images that are not correct, and how many of them are "unknown"."""
        unknown = self.answer_metrics.unknown
        text = count(self.wrong_answers + unknown, "error")
        if not unknown:
            return text
        wrong = count(self.wrong_answers, "wrong class", "wrong classes")
        return f"{text}: {wrong}, {unknown} unknown"

    @property
    def answer_macro_f1(self) -> float:
        """Mean F1 over the classes that have images, of the predictions that users get."""
        return mean_f1(self.answer_metrics.classes)

    @property
    def unknown_note(self) -> str:
        """Share predicted as "unknown" and the accuracy without that rule, or empty."""
        unknown = self.answer_metrics.unknown
        if not unknown:
            return ""
        return (
            f"{unknown / self.count:.1%} ({unknown}/{self.count}); "
            f"accuracy without this rule {self.accuracy:.1%}"
        )

    @property
    def size_warning(self) -> str:
        """A warning if the split has few groups, or empty."""
        return small_sample_warning(self.groups, self.effective_groups)

    @property
    def emptiness_note(self) -> str:
        """Says that the accuracy of so few groups means nothing, or empty."""
        if self.groups is None or self.groups >= MIN_TELLING_GROUPS:
            return ""
        return "too few images to say how accurate the model is"

    def summary(self) -> dict[str, object]:
        """Return the main metrics of what users get, as JSON values."""
        low, high = self.answer_metrics.interval or (None, None)
        return {
            "count": self.count,
            "accuracy": self.answer_accuracy,
            "lower_bound": low,
            "upper_bound": high,
            "unknown": self.answer_metrics.unknown / self.count,
            "accuracy_before_unknown": self.accuracy,
            "log_loss": self.log_loss,
            "macro_f1": self.answer_macro_f1,
            "commonest_class": self.commonest_class,
            "tested_classes": len(self.classes) - len(self.empty_classes),
        }

    def list_confused_pairs(self) -> list[ConfusedPair]:
        """Return class pairs confused more than once, most frequent first."""
        # Only the last column is "unknown": there is no such row.
        names = [*(score.name for score in self.classes), "unknown"]
        pairs = []
        for true, row in enumerate(self.answer_metrics.confusion):
            total = sum(row)
            for answer, number in enumerate(row):
                if answer != true and number > 1:
                    pairs.append(
                        ConfusedPair(names[true], names[answer], number, total)
                    )
        pairs.sort(key=lambda pair: (-pair.count, pair.true, pair.answer))
        return pairs[:MAX_CONFUSED_PAIRS]


def describe_coverage(classes_with_images: int, classes: int) -> str:
    """Say how many classes have images."""
    return f"images of {classes_with_images} of {count(classes, 'class', 'classes')}"


MAX_MISTAKES = 20


def compute_classification_metrics(
    logits: Float32Array, y: IntArray, keys: Sequence[str], classes: Sequence[str]
) -> SplitMetrics:
    """Return the metrics of `logits` (N x C) against the true classes `y` (N).

    Raises InputUnusable if there are no images.
    """
    if not len(y):
        raise empty_split_error("no images to evaluate on")
    from sklearn.metrics import confusion_matrix, top_k_accuracy_score

    numbers = range(len(classes))
    log_probabilities = log_softmax(logits)
    predictions = log_probabilities.argmax(1)
    confusion = confusion_matrix(y, predictions, labels=numbers)
    scores = compute_class_scores(y, predictions, classes)
    top5_accuracy = None
    if len(classes) > TOP_K:
        top5_accuracy = float(
            top_k_accuracy_score(
                y,
                log_probabilities,
                k=TOP_K,
                labels=numbers,
            )
        )

    return SplitMetrics(
        count=len(y),
        accuracy=float(confusion.trace() / len(y)),
        log_loss=mean_log_loss(logits, y),
        macro_f1=mean_f1(scores),
        top5_accuracy=top5_accuracy,
        classes=scores,
        confusion=confusion.tolist(),
        mistakes=list_mistakes(
            np.exp(log_probabilities),
            predictions,
            y,
            keys,
            classes,
        )[:MAX_MISTAKES],
        commonest_class=float(confusion.sum(1).max() / len(y)),
    )


def compute_class_scores(
    y: IntArray, predictions: IntArray, classes: Sequence[str]
) -> tuple[ClassScore, ...]:
    """Return the scores of each class; `predictions` (N) may have `UNKNOWN`."""
    from sklearn.metrics import precision_recall_fscore_support

    numbers = range(len(classes))
    columns = precision_recall_fscore_support(
        y,
        predictions,
        labels=numbers,
        zero_division=0.0,
    )
    precision, recall, f1, support = (column.tolist() for column in columns)
    rows = zip(
        classes,
        precision,
        recall,
        f1,
        support,
        strict=True,
    )
    return tuple(ClassScore(*row) for row in rows)


def mean_f1(scores: Sequence[ClassScore]) -> float:
    """Return macro F1: the mean over the classes that have images."""
    f1_scores = [score.f1 for score in scores if score.support]
    return float(np.mean(f1_scores)) if f1_scores else 0.0


def mean_log_loss(logits: Float32Array, y: IntArray) -> float:
    """Return the mean cross entropy of scores (N x C) in nats."""
    log_probabilities = log_softmax(logits)
    of_true_class = log_probabilities[np.arange(len(y)), y]
    return float(-of_true_class.mean())


def empty_split_error(message: str, commands: Sequence[str] = ()) -> InputUnusable:
    """Return the error of a split without images; `commands` are those that would give it some."""
    if not commands:
        return InputUnusable(
            message,
            "label images of other scenes, then split and train again: labeler split",
        )
    return InputUnusable(message, f"give it a share, then train again: {commands[0]}")


def list_mistakes(
    confidences: Float64Array,
    predictions: IntArray,
    y: IntArray,
    keys: Sequence[str],
    classes: Sequence[str],
) -> tuple[Misclassification, ...]:
    """Return images predicted as another class, most confident first.

    `confidences` are N x C, the others N each. A negative prediction is "unknown", which is not a
    mistake here.
    """
    is_wrong = (predictions != y) & (predictions >= 0)
    mistakes = []
    for row in np.flatnonzero(is_wrong).tolist():
        number = predictions[row]
        mistakes.append(
            Misclassification(
                key=keys[row],
                true=classes[y[row]],
                predicted=classes[number],
                confidence=float(confidences[row, number]),
            )
        )
    mistakes.sort(key=lambda mistake: (-mistake.confidence, mistake.key))
    return tuple(mistakes)


@dataclass(frozen=True)
class EpochReport:
    """Metrics of one epoch; those of validation are None without validation samples.

    Losses are those of the method (cross entropy in nats, class-weighted if set). `seconds` and
    `images_per_second` count training, not validation; `learning_rate` is that of the last step.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    seconds: float = 0.0
    images_per_second: float = 0.0
    learning_rate: float = 0.0


@dataclass(frozen=True)
class RunMetrics:
    """The content of `metrics.json`.

    `data` has the number of images, `training` facts from the method, `gap` the accuracy on train
    minus that on other splits, `copies` the `summarize_copy_search` of test.
    """

    classes: list[str]
    settings: dict[str, Any]
    data: dict[str, Any]
    epochs: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    device: str | None = None
    precision: str | None = None
    parameters: int | None = None
    training: dict[str, Any] = field(default_factory=dict)
    calibration: ScoreCalibration | None = None
    train: SplitMetrics | None = None
    val: SplitMetrics | None = None
    test: SplitMetrics | None = None
    gap: dict[str, float] = field(default_factory=dict)
    copies: dict[str, int] | None = None

    def with_names(self, names: Mapping[str, str]) -> "RunMetrics":
        """Return the metrics with other names of classes."""
        parts = ("classes", *SPLITS)
        changes = {part: rename_classes(getattr(self, part), names) for part in parts}
        return replace(self, **changes)

    @property
    def has_no_copies(self) -> bool:
        """Whether test was searched for near-duplicates of training images and has none."""
        return is_free_of_copies(self.copies)

    @property
    def copies_note(self) -> str:
        """How independent test is of train, as a sentence."""
        words = describe_copy_search(self.copies)
        return f"{words[0].upper()}{words[1:]}."

    @property
    def course(self) -> str:
        """How the model was trained, as the rest of a sentence."""
        if self.epochs:
            epochs = count(len(self.epochs), "epoch")
            return f"{epochs}, best epoch {self.best_epoch}{self._block_weights}"

        if "strength" not in self.training:
            return "no epochs are recorded"
        warning = "" if self.training.get("converged", True) else ", not converged"
        return (
            f"logistic regression on features (C = {self.training['strength']:g}){warning}, "
            f"fitted without epochs{self._block_weights}"
        )

    @property
    def _block_weights(self) -> str:
        weights = self.training.get("parts", {})
        if len(weights) < 2:
            return ""
        texts = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
        return f"; block weights: {texts} (by {self.training['parts_by']})"

    @property
    def splits(self) -> dict[str, SplitMetrics]:
        """The splits that were evaluated."""
        metrics = {name: getattr(self, name) for name in SPLITS}
        return {name: figures for name, figures in metrics.items() if figures}


def rename_classes(figures: T, names: Mapping[str, str]) -> T:
    """Return figures, whose only texts are keys of samples and classes, with other names."""
    content = _rename_texts(msgspec.to_builtins(figures), names)
    return msgspec.convert(content, type(figures), strict=False)


def _rename_texts(value: Any, names: Mapping[str, str]) -> Any:
    match value:
        case str():
            return names.get(value, value)
        case list() | tuple():
            return [_rename_texts(member, names) for member in value]
        case dict():
            return {key: _rename_texts(part, names) for key, part in value.items()}
    return value


def write_metrics(folder: Path, figures: object) -> None:
    """Write the metrics of a run or a cross-validation. Raises NotWritable or DiskFull."""
    text = json.dumps(
        msgspec.to_builtins(figures),
        ensure_ascii=False,
        indent=1,
    )
    write_atomic(folder / METRICS, text.encode())


def read_metrics(folder: Path, dataset: Dataset | None = None) -> RunMetrics:
    """Return the metrics of a run, with the names that its classes have now in a dataset.

    Raises `InputUnusable`.
    """
    path = folder / METRICS

    try:
        # `json` instead of msgspec: it reads NaN.
        content = json.loads(path.read_bytes())
        metrics = msgspec.convert(content, RunMetrics, strict=False)
    except FileNotFoundError:
        raise InputUnusable(
            f"run {folder.name} has no metrics: {path} is missing",
            "name another run, as listed by: gleanset list runs",
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise InputUnusable(
            f"{path} cannot be read: {error}", "baseline train"
        ) from error

    if dataset is None:
        return metrics
    return metrics.with_names(find_renamed_classes(dataset, metrics.classes))


def summarize_copy_search(
    dataset: Dataset, examples: "Examples", split: str
) -> dict[str, int]:
    """Count the images of train and `split` (`images`), and those `searched` for duplicates.

    `torn` counts the images of the split that share a group with train.
    """
    samples = examples.splits["train"] + examples.splits[split]
    keys = {sample.key for sample in samples}
    return {
        "images": len(keys),
        "searched": Pairs(dataset.db).count_searched(keys),
        "torn": examples.count_leaked_samples(split),
    }


def is_free_of_copies(search: Mapping[str, Any] | None) -> bool:
    """Return whether all images were searched for duplicates and no group is in both splits.

    Runs of earlier versions recorded None.
    """
    return (
        search is not None
        and search["searched"] == search["images"]
        and not search["torn"]
    )


def describe_copy_search(search: Mapping[str, Any] | None) -> str:
    """Say how independent the images of a split are of the training images."""
    if search and search["torn"]:
        images = count(search["torn"], "image")
        return f"not a true test: {images} in groups of training images"

    if is_free_of_copies(search):
        return "no near-duplicates of training images"
    extent = "not searched"
    if search and search["searched"]:
        extent = f"only {search['searched']:,} of {search['images']:,} images searched"

    return f"{extent} for near-duplicates of training images (labeler split does)"

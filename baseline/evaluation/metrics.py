"""Metrics of one split and of its subgroups, and retrieval metrics of embeddings.

Subgroups are by kind of source, and by whether a person reviewed the label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from baseline.evaluation.calibration import CalibrationError, ClasswiseError, ConfidenceBin
from baseline.evaluation.intervals import share_interval_or_none
from baseline.evaluation.outputs import Floats, Indices, Outputs, Scores, log_softmax
from gleanset import Dataset
from gleanset.binomial import UNKNOWN_INTERVAL, Interval, small_sample_warning
from gleanset.db.journal import get_label_provenances
from gleanset.errors import InputUnusable
from gleanset.records import Origin, Sample

TOP_K = 5
MAX_CONFUSED_PAIRS = 10


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Precision, recall and F1 of one class, 0 where the denominator is 0.

    `support` is the number of images whose true class this is.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Misclassification:
    """A wrong prediction; `confidence` is the probability of `predicted`."""

    key: str
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """`count` of `total` images of class `true` were predicted as `answered`."""

    true: str
    answered: str
    count: int
    total: int


@dataclass(frozen=True, slots=True)
class SubgroupMetrics:
    """Accuracy of a part of a split, with its 95 % interval."""

    name: str
    count: int
    accuracy: float
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class AnswerMetrics:
    """Metrics of the predictions that users get, under the whole decision rule.

    `right` images are predicted correctly and `unknown` as "unknown", which is never correct here.
    `interval` is the 95 % interval of the accuracy, None for a single group. `confusion` has a
    last column for "unknown"; `mistakes` are other classes, most confident first. Runs of older
    versions have neither.
    """

    right: int
    unknown: int
    classes: tuple[ClassScore, ...]
    interval: Interval | None = None
    confusion: list[list[int]] = field(default_factory=list)
    mistakes: tuple[Misclassification, ...] | None = None


@dataclass(frozen=True, slots=True)
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
    kinds, labels : subgroups by kind of source and by who labelled
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
    classwise: ClasswiseError | None = None
    kinds: tuple[SubgroupMetrics, ...] = ()
    labels: tuple[SubgroupMetrics, ...] = ()
    answers: AnswerMetrics | None = None

    @property
    def right(self) -> int:
        """Number of correct predictions, before any is "unknown"."""
        return sum(row[i] for i, row in enumerate(self.confusion))

    @property
    def interval(self) -> Interval:
        """The 95 % interval of `accuracy`, 0 to 1 for a single group."""
        return self.intervals.get("accuracy", UNKNOWN_INTERVAL)

    @property
    def right_answers(self) -> int:
        """Number of images that users get the right class for."""
        return self.right if self.answers is None else self.answers.right

    @property
    def answer_accuracy(self) -> float:
        """Accuracy of the predictions that users get; "unknown" is not correct."""
        return self.accuracy if self.answers is None else self.answers.right / self.count

    @property
    def answer_interval(self) -> Interval:
        """The 95 % interval of `answer_accuracy`, 0 to 1 for a single group."""
        return self.interval if self.answers is None else self.answers.interval or UNKNOWN_INTERVAL

    @property
    def unknown_answers(self) -> int:
        """Number of images predicted as "unknown"."""
        return 0 if self.answers is None else self.answers.unknown

    @property
    def answer_mistakes(self) -> tuple[Misclassification, ...]:
        """Wrong predictions that users get, most confident first."""
        if self.answers is None or self.answers.mistakes is None:
            return self.mistakes
        return self.answers.mistakes

    @property
    def wrong_answers(self) -> int:
        """Number of images that users get another class for."""
        return self.count - self.right_answers - self.unknown_answers

    @property
    def answer_classes(self) -> tuple[ClassScore, ...]:
        """Precision and recall of the predictions that users get."""
        return self.classes if self.answers is None else self.answers.classes

    @property
    def answer_macro_f1(self) -> float:
        """Mean F1 over the classes that have images, of the predictions that users get."""
        return mean_f1(self.answer_classes)

    @property
    def answer_confusion(self) -> list[list[int]]:
        """Confusion matrix of the predictions that users get; a last column is "unknown"."""
        return (self.answers and self.answers.confusion) or self.confusion

    @property
    def unknown_note(self) -> str:
        """Share predicted as "unknown" and the accuracy without that rule, or empty."""
        if not self.unknown_answers:
            return ""
        return (
            f"{self.unknown_answers / self.count:.1%} ({self.unknown_answers}/{self.count}); "
            f"accuracy without this rule {self.accuracy:.1%}"
        )

    @property
    def size_warning(self) -> str:
        """A warning if the split has few groups, or empty."""
        return small_sample_warning(self.groups, self.effective_groups)

    def summary(self) -> dict[str, object]:
        """Return the main metrics of what users get, as JSON values."""
        low, high = (self.answers and self.answers.interval) or (None, None)
        return {
            "count": self.count,
            "accuracy": self.answer_accuracy,
            "lower_bound": low,
            "upper_bound": high,
            "unknown": self.unknown_answers / self.count,
            "accuracy_before_unknown": self.accuracy,
            "log_loss": self.log_loss,
            "macro_f1": self.answer_macro_f1,
            "commonest_class": self.commonest_class,
        }

    def confused(self, limit: int = MAX_CONFUSED_PAIRS) -> list[ConfusedPair]:
        """Return class pairs confused more than once, most frequent first."""
        names = [*(score.name for score in self.classes), "unknown"]
        pairs = [
            ConfusedPair(names[i], names[j], number, sum(row))
            for i, row in enumerate(self.answer_confusion)
            for j, number in enumerate(row)
            if i != j and number > 1
        ]
        return sorted(pairs, key=lambda pair: (-pair.count, pair.true, pair.answered))[:limit]


MAX_MISTAKES = 20


def compute_classification_metrics(
    logits: Scores, y: Indices, keys: Sequence[str], classes: Sequence[str]
) -> SplitMetrics:
    """Return the metrics of `logits` (N x C) against the true classes `y` (N).

    Raises InputUnusable if there are no images.
    """
    if not len(y):
        raise empty_split_error("no images to evaluate on")
    from sklearn.metrics import confusion_matrix, top_k_accuracy_score

    numbers = range(len(classes))
    log_probabilities = log_softmax(logits)
    predicted = log_probabilities.argmax(1)
    confusion = confusion_matrix(y, predicted, labels=numbers)
    scores = compute_class_scores(y, predicted, classes)
    return SplitMetrics(
        count=len(y),
        accuracy=float(confusion.trace() / len(y)),
        log_loss=mean_log_loss(logits, y),
        macro_f1=mean_f1(scores),
        top5_accuracy=float(top_k_accuracy_score(y, log_probabilities, k=TOP_K, labels=numbers))
        if len(classes) > TOP_K
        else None,
        classes=scores,
        confusion=confusion.tolist(),
        mistakes=list_mistakes(log_probabilities, predicted, y, keys, classes)[:MAX_MISTAKES],
        commonest_class=float(confusion.sum(1).max() / len(y)),
    )


def compute_class_scores(
    y: Indices, predicted: Indices, classes: Sequence[str]
) -> tuple[ClassScore, ...]:
    """Return precision, recall, F1 and support of each class; `predicted` may have `UNKNOWN`."""
    from sklearn.metrics import precision_recall_fscore_support

    numbers = range(len(classes))
    columns = precision_recall_fscore_support(y, predicted, labels=numbers, zero_division=0.0)
    rows = zip(classes, *(column.tolist() for column in columns), strict=True)
    return tuple(ClassScore(*row) for row in rows)


def mean_f1(scores: Sequence[ClassScore]) -> float:
    """Return macro F1: the mean over the classes that have images."""
    return float(np.mean([score.f1 for score in scores if score.support] or [0.0]))


def mean_log_loss(logits: Scores, y: Indices) -> float:
    """Return the mean cross entropy of scores (N x C) in nats."""
    return float(-log_softmax(logits)[np.arange(len(y)), y].mean())


def empty_split_error(message: str, fix_suffix: str = "") -> InputUnusable:
    """Return the error of a split without images."""
    return InputUnusable(message, f"give it a share: labeler split --ratio 8:1:1{fix_suffix}")


def list_mistakes(
    log_probabilities: Floats,
    predicted: Indices,
    y: Indices,
    keys: Sequence[str],
    classes: Sequence[str],
) -> tuple[Misclassification, ...]:
    """Return wrong predictions, most confident first; a negative one is "unknown"."""
    mistakes = [
        Misclassification(
            *(keys[i], classes[y[i]], classes[predicted[i]]),
            float(np.exp(log_probabilities[i, predicted[i]])),
        )
        for i in map(int, np.flatnonzero((predicted != y) & (predicted >= 0)))
    ]
    return tuple(sorted(mistakes, key=lambda mistake: (-mistake.confidence, mistake.key)))


SCREENSHOT, ILLUSTRATION, PHOTO, OTHER = "screenshot", "illustration", "photo", "other"
PERSON, BULK = "checked by a person", "accepted in bulk"
_SOURCE_KINDS = {"pixiv": ILLUSTRATION, "flickr": PHOTO, "bing": PHOTO, "google": PHOTO}
_DRAWING_HOSTS = (
    *("pixiv", "booru", "deviantart", "artstation", "zerochan", "e621", "konachan", "yande"),
)
"""Parts of the host names of sites for drawings."""


def compute_subgroup_metrics(
    outputs: Outputs, names: Mapping[str, str], groups: Mapping[str, str]
) -> tuple[SubgroupMetrics, ...]:
    """Return the accuracy of each subgroup (`names` by sample key), largest first."""
    correct = outputs.right
    sample_names = np.array([names.get(key, OTHER) for key in outputs.keys], dtype=np.str_)
    subgroups = []
    for name in dict.fromkeys(sample_names.tolist()):
        rows = np.flatnonzero(sample_names == name)
        interval = share_interval_or_none(correct[rows], [groups[outputs.keys[i]] for i in rows])
        accuracy = float(correct[rows].mean())
        subgroups.append(SubgroupMetrics(name, len(rows), accuracy, interval))
    return tuple(sorted(subgroups, key=lambda subgroup: (-subgroup.count, subgroup.name)))


def classify_source(origins: Sequence[Origin]) -> str:
    """Return screenshot, illustration, photo or other.

    A video frame is a screenshot whatever its other sources are; a result of a web search is a
    photo unless the same image also came from a site for drawings.
    """
    kinds = {_kind(origin) for origin in origins}
    return next((kind for kind in (SCREENSHOT, ILLUSTRATION, PHOTO) if kind in kinds), OTHER)


def _kind(origin: Origin) -> str:
    if origin.video is not None:
        return SCREENSHOT
    hosts = [_host(address) for address in (origin.url, origin.page_url) if address]
    if any(part in host for host in hosts for part in _DRAWING_HOSTS):
        return ILLUSTRATION
    return _SOURCE_KINDS.get(origin.source, OTHER)


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


_INDIVIDUAL_PROVENANCES = ("person", "by hand", "web report")
"""Provenances of decisions about a single sample that was looked at."""


@dataclass(frozen=True, slots=True)
class SampleContext:
    """Group, kind of source, and kind of label provenance of each sample (by key)."""

    groups: Mapping[str, str]
    kinds: Mapping[str, str]
    labelled_by: Mapping[str, str]

    def get_groups(self, keys: Iterable[str]) -> list[str]:
        """Return the group of each key."""
        return [self.groups[key] for key in keys]


def load_sample_context(
    dataset: Dataset, samples: Sequence[Sample], groups: Mapping[str, str]
) -> SampleContext:
    """Load the context of samples from the catalogue; `groups` are their groups by key."""
    provenances = get_label_provenances(dataset.db)
    kinds = {sample.image: "" for sample in samples}
    for sha256 in kinds:
        image = dataset.images.get(sha256)
        kinds[sha256] = classify_source(image.origins if image else ())
    return SampleContext(
        groups=groups,
        kinds={sample.key: kinds[sample.image] for sample in samples},
        labelled_by={
            sample.key: PERSON if provenances.get(sample.key) in _INDIVIDUAL_PROVENANCES else BULK
            for sample in samples
        },
    )


_QUERY_BATCH = 256
"""Queries whose similarities to the whole gallery are in memory at once."""
_EXCLUDED = -2.0
"""Similarity of pairs that are not compared: below every cosine."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Embeddings of length 1 (float32, N x D) with class and group (int64, N each)."""

    unit: Scores
    y: Indices
    groups: Indices

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, slots=True)
class RetrievalMetrics:
    """Retrieval metrics of `queries` of `split` in the gallery, the split `against`.

    Queries without an image of their class in the gallery are left out. `mean_average_precision`
    is over the whole gallery, ranked by cosine similarity. `interval` is the 95 % interval of
    recall at 1, None for a single group.
    """

    queries: int
    gallery: int
    recall_at_1: float
    recall_at_5: float
    mean_average_precision: float
    interval: Interval | None
    split: str = ""
    against: str = ""


def normalize_embeddings(outputs: Outputs, groups: Indices) -> Embeddings:
    """Return the embeddings scaled to length 1; zero vectors stay zero."""
    assert outputs.embeddings is not None
    vectors = outputs.embeddings.astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), outputs.y, groups)


def _iterate_similarities(
    queries: Embeddings, gallery: Embeddings
) -> Iterator[tuple[slice, Any, Any]]:
    """Yield batches of queries: rows, cosines with the gallery, and a mask of the same class."""
    for start in range(0, len(queries), _QUERY_BATCH):
        rows = slice(start, min(start + _QUERY_BATCH, len(queries)))
        cosines = queries.unit[rows] @ gallery.unit.T
        compared = queries.groups[rows, None] != gallery.groups
        same_class = (queries.y[rows, None] == gallery.y) & compared
        yield rows, np.where(compared, cosines, _EXCLUDED), same_class


def compute_retrieval_metrics(queries: Embeddings, gallery: Embeddings) -> RetrievalMetrics | None:
    """Return how well queries find their class; None if the gallery has none of the classes."""
    from sklearn.metrics import label_ranking_average_precision_score

    hits, groups, precision = [], [], 0.0
    for rows, cosines, same_class in _iterate_similarities(queries, gallery):
        answerable = same_class.any(1)
        if answerable.any():
            same, similarity = same_class[answerable], cosines[answerable]
            nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :TOP_K]
            hits.append(np.take_along_axis(same, nearest, 1))
            groups.append(queries.groups[rows][answerable])
            precision += float(label_ranking_average_precision_score(same, similarity)) * len(same)
    if not hits:
        return None
    ranked, ranked_groups = np.concatenate(hits), np.concatenate(groups)
    return RetrievalMetrics(
        queries=len(ranked),
        gallery=len(gallery),
        recall_at_1=float(ranked[:, 0].mean()),
        recall_at_5=float(ranked.any(1).mean()),
        mean_average_precision=precision / len(ranked),
        interval=share_interval_or_none(ranked[:, 0], ranked_groups),
    )

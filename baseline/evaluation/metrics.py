"""Figures of one split, as a whole and for its parts: what is computed, kept and shown.

The parts (subgroups) are told apart by what the catalogue knows of a sample: the kind of source it
comes from, and whether a person has looked at its label. An embedding is judged by what it finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from baseline.evaluation.calibration import CalibrationError, ClasswiseError, ConfidenceBin
from baseline.evaluation.intervals import share_interval, share_interval_or_none
from baseline.evaluation.outputs import Floats, Indices, Outputs, Scores, log_softmax
from gleanset import Dataset
from gleanset.binomial import UNKNOWN, Interval, few
from gleanset.db.journal import get_label_provenances
from gleanset.errors import InputUnusable
from gleanset.html.words import percent
from gleanset.records import Origin, Sample

TOP = 5
CONFUSED = 10
"""Pairs of classes that are listed as confused most."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: figures are 0 where nothing was predicted, or nothing is there, to divide by.

    `precision` = right / predicted, `recall` = right / support, `f1` their harmonic mean;
    `support` is the number of pictures that truly are of the class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Misclassification:
    """One picture the model got wrong; `confidence` is the probability it gave `predicted`."""

    key: str
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """`count` of `total` pictures of class `true` were taken for `answered`."""

    true: str
    answered: str
    count: int
    total: int


@dataclass(frozen=True, slots=True)
class SubgroupMetrics:
    """A part of a split: how many pictures, and the share right with its 95 % interval, if any."""

    name: str
    count: int
    accuracy: float
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class AnswerMetrics:
    """What users get: answers under the whole decision rule, "unknown" among them.

    `right` of the split's images are answered with their class and `unknown` with "unknown", which
    is never right here. `interval` is the 95 % interval of the share that is right, by group; None
    for a single group. The precision and recall of `classes` are those of the answers.
    """

    right: int
    unknown: int
    classes: tuple[ClassScore, ...]
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class SplitMetrics:
    """The figures of one split; those from `moments` on are of a run that was judged as a whole.

    `log_loss` is the mean cross entropy in nats, unweighted; `macro_f1` the plain mean over
    the classes that have pictures; row i, column j of `confusion` counts pictures of class i
    taken for class j; `mistakes` come most confident first; `top5_accuracy` is None with five
    classes or fewer; `commonest_class` is the accuracy of always naming the class with the most
    pictures. `intervals` has that of `accuracy` (95 %), where there are several moments. `ece` and
    `bins` are the calibration error, `uncalibrated` has that of the scores as the network gives
    them; `kinds` and `labels` are parts by source and by who gave the label. All of these are of
    the classifier, before any answer is "unknown"; `answers` are what users get.
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
    moments: int | None = None
    effective_moments: float | None = None
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
        """How many pictures were recognised."""
        return sum(row[i] for i, row in enumerate(self.confusion))

    @property
    def interval(self) -> Interval:
        """The interval of accuracy, from 0 to 1 where a single moment tells nothing."""
        return self.intervals.get("accuracy", UNKNOWN)

    @property
    def right_answers(self) -> int:
        """How many images are answered with their class; "unknown" is not right."""
        return self.right if self.answers is None else self.answers.right

    @property
    def answer_accuracy(self) -> float:
        """The share of images that are answered with their class."""
        return self.accuracy if self.answers is None else self.answers.right / self.count

    @property
    def answer_interval(self) -> Interval:
        """The 95 % interval of `answer_accuracy`, from 0 to 1 for a single group."""
        return self.interval if self.answers is None else self.answers.interval or UNKNOWN

    @property
    def unknown_answers(self) -> int:
        """How many images are answered "unknown"."""
        return 0 if self.answers is None else self.answers.unknown

    @property
    def answer_classes(self) -> tuple[ClassScore, ...]:
        """Precision and recall of the answers."""
        return self.classes if self.answers is None else self.answers.classes

    @property
    def before_unknown(self) -> str:
        """What the rule for unknown costs, in words; empty where it changes no answer."""
        if not self.unknown_answers:
            return ""
        return (
            f"{percent(self.unknown_answers / self.count)} answered “unknown” "
            f"({self.unknown_answers}/{self.count}); {percent(self.accuracy)} before that rule"
        )

    @property
    def few(self) -> str:
        """A warning where they were counted on few moments."""
        return few(self.moments, self.effective_moments)

    def summary(self) -> dict[str, object]:
        """Return the figures of the answers that fit on a line, as JSON values."""
        low, high = (self.answers and self.answers.interval) or (None, None)
        return {
            "count": self.count,
            "accuracy": self.answer_accuracy,
            "at_least": low,
            "at_most": high,
            "unknown": self.unknown_answers / self.count,
            "accuracy_before_unknown": self.accuracy,
            "log_loss": self.log_loss,
            "macro_f1": self.macro_f1,
            "commonest_class": self.commonest_class,
        }

    def confused(self, most: int = CONFUSED) -> list[ConfusedPair]:
        """Return mistakes made more than once, commonest first: a large matrix hides them."""
        names = [score.name for score in self.classes]
        pairs = [
            ConfusedPair(names[i], names[j], number, sum(row))
            for i, row in enumerate(self.confusion)
            for j, number in enumerate(row)
            if i != j and number > 1
        ]
        return sorted(pairs, key=lambda pair: (-pair.count, pair.true, pair.answered))[:most]


def compute_classification_metrics(
    logits: Scores, y: Indices, keys: Sequence[str], classes: Sequence[str], worst: int = 20
) -> SplitMetrics:
    """Return the figures of `logits` (N x classes) against the true classes `y` (N).

    At most `worst` mistakes are listed. Raises InputUnusable where there is no picture.
    """
    if not len(y):
        raise empty_split_error("there is no picture to evaluate on")
    from sklearn.metrics import confusion_matrix, top_k_accuracy_score

    numbers = range(len(classes))
    log_probabilities = log_softmax(logits)
    predicted = log_probabilities.argmax(1)
    confusion = confusion_matrix(y, predicted, labels=numbers)
    scores = compute_class_scores(y, predicted, classes)
    top = len(classes) > TOP
    return SplitMetrics(
        count=len(y),
        accuracy=float(confusion.trace() / len(y)),
        log_loss=mean_log_loss(logits, y),
        macro_f1=float(np.mean([score.f1 for score in scores if score.support])),
        top5_accuracy=float(top_k_accuracy_score(y, log_probabilities, k=TOP, labels=numbers))
        if top
        else None,
        classes=scores,
        confusion=confusion.tolist(),
        mistakes=list_mistakes(log_probabilities, y, keys, classes)[:worst],
        commonest_class=float(confusion.sum(1).max() / len(y)),
    )


def compute_class_scores(
    y: Indices, predicted: Indices, classes: Sequence[str]
) -> tuple[ClassScore, ...]:
    """Return precision, recall, F1 and support of each class; other numbers are of no class."""
    from sklearn.metrics import precision_recall_fscore_support

    numbers = range(len(classes))
    columns = precision_recall_fscore_support(y, predicted, labels=numbers, zero_division=0.0)
    rows = zip(classes, *(column.tolist() for column in columns), strict=True)
    return tuple(ClassScore(*row) for row in rows)


def mean_log_loss(logits: Scores, y: Indices) -> float:
    """Return the mean cross entropy of the scores (N x C) in nats."""
    return float(-log_softmax(logits)[np.arange(len(y)), y].mean())


def empty_split_error(why: str, then: str = "") -> InputUnusable:
    """Return the error of a split without pictures; `then` is what follows the fix."""
    return InputUnusable(why, f"give it a share: labeler split --ratio 8:1:1{then}")


def list_mistakes(
    log_probabilities: Floats, y: Indices, keys: Sequence[str], classes: Sequence[str]
) -> tuple[Misclassification, ...]:
    """Return the wrong answers, the surest first."""
    predicted, sure = log_probabilities.argmax(1), np.exp(log_probabilities.max(1))
    wrong = [
        Misclassification(keys[i], classes[y[i]], classes[predicted[i]], float(sure[i]))
        for i in map(int, np.flatnonzero(predicted != y))
    ]
    return tuple(sorted(wrong, key=lambda mistake: (-mistake.confidence, mistake.key)))


SCREENSHOT, ILLUSTRATION, PHOTO, OTHER = "screenshot", "illustration", "photo", "other"
PERSON, BULK = "checked by a person", "accepted in bulk"
_KINDS = {"pixiv": ILLUSTRATION, "flickr": PHOTO, "bing": PHOTO, "google": PHOTO}
_DRAWN = ("pixiv", "booru", "deviantart", "artstation", "zerochan", "e621", "konachan", "yande")
"""Words in the hosts of sites where people show drawings."""


def compute_subgroup_metrics(
    outputs: Outputs, names: Mapping[str, str], moments: Mapping[str, str]
) -> tuple[SubgroupMetrics, ...]:
    """Return the metrics of each name that `names` gives to the keys, the largest part first."""
    right = outputs.right
    named = np.array([names.get(key, OTHER) for key in outputs.keys], dtype=np.str_)
    parts = []
    for name in dict.fromkeys(named.tolist()):
        at = np.flatnonzero(named == name)
        interval = share_interval_or_none(right[at], [moments[outputs.keys[i]] for i in at])
        parts.append(SubgroupMetrics(name, len(at), float(right[at].mean()), interval))
    return tuple(sorted(parts, key=lambda part: (-part.count, part.name)))


def classify_source(origins: Sequence[Origin]) -> str:
    """Return screenshot, illustration, photo or other.

    A frame of a video is a screenshot wherever else it was found; what a web search found is
    called a photo unless the same picture came from a site of drawings, too.
    """
    kinds = {_kind(origin) for origin in origins}
    return next((kind for kind in (SCREENSHOT, ILLUSTRATION, PHOTO) if kind in kinds), OTHER)


def _kind(origin: Origin) -> str:
    if origin.video is not None:
        return SCREENSHOT
    hosts = [_host(address) for address in (origin.url, origin.page_url) if address]
    if any(word in host for host in hosts for word in _DRAWN):
        return ILLUSTRATION
    return _KINDS.get(origin.source, OTHER)


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


_BY_HAND = ("person", "by hand", "web report")
"""Provenances of decisions that were made looking at the one sample."""


@dataclass(frozen=True, slots=True)
class SampleContext:
    """By sample key: its moment, the kind of its source, and who gave the label."""

    moments: Mapping[str, str]
    kinds: Mapping[str, str]
    givers: Mapping[str, str]

    def groups(self, keys: Iterable[str]) -> list[str]:
        """Return the moment of each key."""
        return [self.moments[key] for key in keys]


def load_sample_context(
    dataset: Dataset, samples: Sequence[Sample], moments: Mapping[str, str]
) -> SampleContext:
    """Return what the catalogue knows of these samples, whose `moments` are known by key."""
    provenances = get_label_provenances(dataset.db)
    kinds = {sample.image: "" for sample in samples}
    for sha256 in kinds:
        image = dataset.images.get(sha256)
        kinds[sha256] = classify_source(image.origins if image else ())
    return SampleContext(
        moments=moments,
        kinds={sample.key: kinds[sample.image] for sample in samples},
        givers={s.key: PERSON if provenances.get(s.key) in _BY_HAND else BULK for s in samples},
    )


_AT_ONCE = 256
"""Queries whose likeness to all of the gallery is in memory at a time."""
_NEVER = -2.0
"""Below every cosine: the likeness of what is not compared."""
_FIRST = 5


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Embeddings of length 1 (float32, N x D) with class and moment (int64, N each)."""

    unit: Scores
    y: Indices
    moments: Indices

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, slots=True)
class RetrievalMetrics:
    """`queries` had a picture of their class in the gallery; others are left out.

    `recall_at_1` and `recall_at_5`: how many have one among their first, and first five;
    `mean_average_precision` is over the whole gallery, ranked by cosine likeness. `interval` is
    that of recall at 1 (95 %, in moments of the queries); None for a single moment. The queries are
    of `split`, the gallery is of `against`.
    """

    queries: int
    gallery: int
    recall_at_1: float
    recall_at_5: float
    mean_average_precision: float
    interval: Interval | None
    split: str = ""
    against: str = ""


def normalize_embeddings(outputs: Outputs, moments: Indices) -> Embeddings:
    """Return the embeddings scaled to length 1; one of length 0 stays as it is, like nothing."""
    assert outputs.embeddings is not None
    long = outputs.embeddings.astype(np.float32)
    lengths = np.linalg.norm(long, axis=1, keepdims=True)
    return Embeddings(long / np.maximum(lengths, np.finfo(np.float32).tiny), outputs.y, moments)


def _likeness(queries: Embeddings, gallery: Embeddings) -> Iterator[tuple[slice, Any, Any]]:
    """Yield, for some queries at a time, cosines with the gallery and what is of their class."""
    for start in range(0, len(queries), _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, len(queries)))
        cosines = queries.unit[part] @ gallery.unit.T
        apart = queries.moments[part, None] != gallery.moments
        yield part, np.where(apart, cosines, _NEVER), (queries.y[part, None] == gallery.y) & apart


def compute_retrieval_metrics(queries: Embeddings, gallery: Embeddings) -> RetrievalMetrics | None:
    """Return how well queries find their class; None where none has its class in the gallery."""
    from sklearn.metrics import label_ranking_average_precision_score

    hits, moments, precision = [], [], 0.0
    for part, cosines, same in _likeness(queries, gallery):
        some = same.any(1)
        if some.any():
            first = np.argsort(-cosines[some], axis=1, kind="stable")[:, :_FIRST]
            hits.append(np.take_along_axis(same[some], first, 1))
            moments.append(queries.moments[part][some])
            mean = label_ranking_average_precision_score(same[some], cosines[some])
            precision += float(mean) * len(first)
    if not hits:
        return None
    ranked, groups = np.concatenate(hits), np.concatenate(moments)
    several = bool((groups != groups[0]).any())
    return RetrievalMetrics(
        queries=len(ranked),
        gallery=len(gallery),
        recall_at_1=float(ranked[:, 0].mean()),
        recall_at_5=float(ranked.any(1).mean()),
        mean_average_precision=precision / len(ranked),
        interval=share_interval(ranked[:, 0], groups) if several else None,
    )

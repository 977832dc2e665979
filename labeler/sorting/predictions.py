"""Predictions for waiting samples, from the current decisions and existing vectors.

A person's statements about single samples override the model.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from curation.similarity.class_learning import (
    MAX_PREDICTIONS,
    estimate_membership,
    learn_classes,
    list_training_keys,
)
from curation.similarity.spaces import SimilaritySpaces, Space
from curation.split_groups import assign_split_groups
from gleanset.arrays import Float32Array
from gleanset.db.classes import normalize_class_name
from gleanset.db.journal import get_unseen_labels
from gleanset.db.proposals import PrelabelSample, PrelabelSamples
from gleanset.db.sorting import ClassCount, SampleFeatures, SortingQueue
from gleanset.errors import UsageError
from labeler.sorting.session import SortingSession

MAX_DECIDED_SAMPLES = 2000
"""Decided samples that others are compared with."""

WEAK_LABEL_CONFIDENCE = 0.8
"""Accuracy of weak labels before there are decisions: queries also find bystanders."""

MAX_NEAREST = 4
"""Decided samples that are shown as the most similar ones."""
MAX_CONFIDENCE = 0.995
MIN_CONFIDENCE_OF_ONLY_CLASS = 0.5
"""While only one class has labels: less similar samples get no prediction."""


class ClassPrediction(NamedTuple):
    """Classes with their probabilities, the most likely first; empty if unknown."""

    top: tuple[tuple[str, float], ...] = ()

    @property
    def label(self) -> str | None:
        """The most likely class."""
        return self.top[0][0] if self.top else None

    @property
    def confidence(self) -> float:
        """The probability of the most likely class; 0 if unknown."""
        return self.top[0][1] if self.top else 0.0

    def rename(self, names: Mapping[str, str]) -> "ClassPrediction":
        """Return the prediction with new names of classes."""
        entries = ((names.get(name, name), confidence) for name, confidence in self.top)
        return ClassPrediction(tuple(entries))

    def without(
        self, refused: Collection[str], class_names: Collection[str]
    ) -> "ClassPrediction":
        """Return the prediction without refused classes.

        If none is left, the others have equal probability.
        """
        remaining = tuple(entry for entry in self.top if entry[0] not in refused)
        if remaining or not self.top:
            return ClassPrediction(remaining)
        others = sorted({*class_names}.difference(refused))
        # One more stands for people of none of these classes.
        entries = ((name, 1 / (len(others) + 1)) for name in others[:MAX_PREDICTIONS])
        return ClassPrediction(tuple(entries))


NO_PREDICTION = ClassPrediction()


def average_predictions(predictions: Sequence[ClassPrediction]) -> ClassPrediction:
    """Return the mean prediction of samples that are decided together."""
    if len(predictions) == 1:
        return predictions[0]
    sums: dict[str, float] = defaultdict(float)
    for prediction in predictions:
        for name, probability in prediction.top:
            sums[name] += probability / len(predictions)
    order = sorted(sums.items(), key=lambda entry: (-entry[1], entry[0]))
    return ClassPrediction(tuple(order[:MAX_PREDICTIONS]))


def predict_from_hint(hint: str | None) -> ClassPrediction:
    """Return the prediction of a weak label; none if it is not a valid class name."""
    with suppress(UsageError):
        if hint is not None:
            return ClassPrediction(
                ((normalize_class_name(hint), WEAK_LABEL_CONFIDENCE),)
            )
    return NO_PREDICTION


class Predictor:
    """Predicts the classes of the samples of one session."""

    def __init__(self, session: SortingSession):
        self._session = session
        self._db = session.dataset.db
        self._queue = SortingQueue(self._db)
        self.spaces = SimilaritySpaces(session.dataset)
        self._decided_samples: Sequence[SampleFeatures] | None = None

    def read_decided_samples(
        self, classes: Sequence[ClassCount]
    ) -> list[SampleFeatures]:
        """Return some decided samples of each class."""
        # At least 12 of each class, however many classes there are.
        class_limit = max(12, MAX_DECIDED_SAMPLES // max(1, len(classes)))
        return self._queue.get_features(
            self._queue.list_decided([row.id for row in classes], class_limit)
        )

    def predict(
        self,
        samples: Sequence[SampleFeatures],
        decided_samples: Sequence[SampleFeatures],
        space: Space,
        classes: Sequence[ClassCount],
    ) -> list[ClassPrediction]:
        """Return the predictions for samples, given decided samples."""
        self._decided_samples = decided_samples
        names = {row.id: row.name for row in classes}
        nonempty = {row.name for row in classes if row.count}
        sample_rows = [sample.id for sample in samples]
        learned = self._predict(samples, decided_samples, space)
        refused = self._session.changes.get_refused_classes(sample_rows)
        faces = Counter(sample.image for sample in samples)

        predictions = []
        for sample in samples:
            prediction = learned.get(sample.id, NO_PREDICTION)
            # A weak label names one person; in an image of several faces, it does not say which.
            hinted = predict_from_hint(
                sample.hint if faces[sample.image] == 1 else None
            )
            # The model cannot predict a class without training samples.
            if not prediction.top or (hinted.label and hinted.label not in nonempty):
                prediction = hinted

            refused_names = {
                names[row] for row in refused.get(sample.id, ()) if row in names
            }
            predictions.append(prediction.without(refused_names, names.values()))

        return predictions

    def _predict(
        self,
        samples: Sequence[SampleFeatures],
        decided_samples: Sequence[SampleFeatures],
        space: Space,
    ) -> dict[int, ClassPrediction]:
        """Return predictions of a model of the current labels; empty before there is a class."""
        features = [
            *decided_samples,
            *self._queue.get_features(self._queue.list_rejected(MAX_DECIDED_SAMPLES)),
            *samples,
        ]

        # What is stored about each sample with a vector: None for one that is not in use any more.
        vectors, has_vector = space(features)
        rows = [features[n].id for n in np.flatnonzero(has_vector)]
        stored = PrelabelSamples(self._db).get_many(rows)
        prelabelled = {
            row: sample for row, sample in stored.items() if sample is not None
        }

        usable = [n for n, sample in enumerate(features) if sample.id in prelabelled]
        learnable = [prelabelled[features[n].id] for n in usable]
        groups = assign_split_groups(self._db, list_training_keys(learnable))
        model = learn_classes(
            learnable, vectors[usable], groups, get_unseen_labels(self._db)
        )
        if model is None:
            return self._predict_only_class(
                [features[n] for n in usable], learnable, vectors[usable]
            )

        return {
            features[n].id: ClassPrediction(
                tuple((p.label, min(MAX_CONFIDENCE, p.confidence)) for p in top)
            )
            for n, top in zip(usable, model.list_proposals(), strict=True)
        }

    @staticmethod
    def _predict_only_class(
        features: Sequence[SampleFeatures],
        samples: Sequence[PrelabelSample],
        vectors: Float32Array,
    ) -> dict[int, ClassPrediction]:
        """Return the samples that are similar to those of the only class with labels."""
        labels = {sample.label for sample in samples} - {None}
        if len(labels) != 1:
            return {}

        is_labelled = np.array(
            [sample.label is not None for sample in samples], np.bool_
        )
        similarities = estimate_membership(vectors, is_labelled).tolist()
        return {
            sample.id: ClassPrediction(
                ((str(*labels), min(MAX_CONFIDENCE, similarity)),)
            )
            for sample, similarity in zip(features, similarities, strict=True)
            if similarity >= MIN_CONFIDENCE_OF_ONLY_CLASS
        }

    def find_nearest(self, row: int) -> list[int]:
        """Return the decided samples (rows) most similar to one, as of the last page."""
        candidates = self._decided_samples
        if candidates is None:
            candidates = self.read_decided_samples(
                self._session.tiles.get_counts().classes
            )

        sample = self._queue.get_features([row])
        others = [
            decided_sample for decided_sample in candidates if decided_sample.id != row
        ]
        space = self.spaces.choose_space([*sample, *others])
        (vectors, has_query_vector) = space(sample)
        (other_vectors, has_vector) = space(others)

        if not has_query_vector.any():
            return []
        similarity = np.where(has_vector, other_vectors @ vectors[0], -np.inf)
        # Samples without a vector have -inf, and are the last ones.
        order = np.argsort(-similarity)[: min(MAX_NEAREST, int(has_vector.sum()))]
        return [others[number].id for number in order.tolist()]

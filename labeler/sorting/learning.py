"""Learns from the labels of now, by the vectors of the newest presort, without PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from curation.moments import assign_moments
from curation.similarity.class_learning import learn_classes, list_training_keys, round_confidences
from curation.similarity.vectors import EmbeddingSpace, sample_vector_name
from gleanset import Dataset
from gleanset.db.journal import get_unseen_labels
from gleanset.db.proposals import Presort, PresortedSample, PresortSamples, Proposals


class LearningResult(NamedTuple):
    """How many samples a presort would find new vectors for, and how many suggestions changed.

    `learnt` is false while fewer than two classes have labels.
    """

    without_vectors: int
    changed: int = 0
    learnt: bool = False


def learn(dataset: Dataset, cancelled: Callable[[], bool] = lambda: False) -> LearningResult:
    """Suggest classes for waiting samples by the current labels, and keep them.

    Without a presort, or while fewer than two classes have labels, nothing is changed.
    """
    samples = list(PresortSamples(dataset.db).iterate())
    newest, space = Proposals(dataset.db).get_latest(), EmbeddingSpace.from_dataset(dataset)
    if newest is None or space is None or cancelled():
        return LearningResult(len(samples))
    vectors, there = space.get_vectors(
        [sample_vector_name(sample.key, sample.region) for sample in samples]
    )
    unreadable = newest.facts.get("unreadable")
    missing = len(samples) - int(there.sum()) - (unreadable if isinstance(unreadable, int) else 0)
    known = [
        sample for sample, has_vector in zip(samples, there.tolist(), strict=True) if has_vector
    ]
    moments = assign_moments(dataset.db, list_training_keys(known))
    learnt = learn_classes(known, vectors[there], moments, get_unseen_labels(dataset.db))
    if learnt is None or cancelled():
        return LearningResult(max(0, missing))
    suggested = {
        sample.key: round_confidences(top) if sample.status == "queue" else ()
        for sample, top in zip(known, learnt.likeliest, strict=True)
    }
    changed = [
        sample._replace(proposals=suggested[sample.sample])
        for sample in Proposals(dataset.db).iterate()
        if suggested.get(sample.sample, sample.proposals) != sample.proposals
    ]
    number = _keep(dataset, newest, changed, learnt.classes)
    return LearningResult(max(0, missing), number, learnt=True)


def _keep(
    dataset: Dataset, newest: Presort, changed: list[PresortedSample], classes: tuple[str, ...]
) -> int:
    """Write changed suggestions, unless another presort has come meanwhile; how many."""
    proposals, facts = Proposals(dataset.db), newest.facts | {"known": list(classes)}
    if not changed and facts == newest.facts:
        return 0
    with dataset.db.transaction():
        now = proposals.get_latest()
        if now is None or now.id != newest.id:
            return 0
        proposals.update(changed, facts)
    return len(changed)

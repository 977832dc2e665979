"""Learns from the labels of now, by the vectors of the newest presort, without PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from curation.likeness.recommend import in_steps, learn_classes, teaching
from curation.likeness.vectors import LikenessSpace, sample_name
from curation.moments import moments_of
from gleanset import Dataset
from gleanset.db.journal import unseen_labels
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
    samples = list(PresortSamples(dataset.db).each())
    newest, space = Proposals(dataset.db).newest(), LikenessSpace.of(dataset)
    if newest is None or space is None or cancelled():
        return LearningResult(len(samples))
    vectors, there = space.vectors([sample_name(sample.key, sample.region) for sample in samples])
    unreadable = newest.facts.get("unreadable")
    missing = len(samples) - int(there.sum()) - (unreadable if isinstance(unreadable, int) else 0)
    known = [
        sample for sample, has_vector in zip(samples, there.tolist(), strict=True) if has_vector
    ]
    moments = moments_of(dataset.db, teaching(known))
    learnt = learn_classes(known, vectors[there], moments, unseen_labels(dataset.db))
    if learnt is None or cancelled():
        return LearningResult(max(0, missing))
    suggested = {
        sample.key: in_steps(top) if sample.status == "queue" else ()
        for sample, top in zip(known, learnt.likeliest, strict=True)
    }
    changed = [
        sample._replace(proposals=suggested[sample.sample])
        for sample in Proposals(dataset.db).each()
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
    with dataset.db.write():
        now = proposals.newest()
        if now is None or now.id != newest.id:
            return 0
        proposals.revise(changed, facts)
    return len(changed)

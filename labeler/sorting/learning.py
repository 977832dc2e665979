"""Updating predictions from the current labels, on the vectors of the latest prelabelling."""

from collections.abc import Callable
from typing import NamedTuple

from curation.similarity.class_learning import (
    learn_classes,
    list_training_keys,
    round_confidences,
)
from curation.similarity.vectors import EmbeddingSpace, make_sample_vector_name
from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.db.journal import get_unseen_labels
from gleanset.db.proposals import (
    Prelabeling,
    PrelabelledSample,
    PrelabelSamples,
    Proposals,
)


class LearningResult(NamedTuple):
    """The number of samples without vectors.

    `has_model` is false while fewer than two classes have labels.
    """

    without_vectors: int
    has_model: bool = False


def learn(
    dataset: Dataset, cancelled: Callable[[], bool] = lambda: False
) -> LearningResult:
    """Predict the classes of waiting samples from the current labels, and store the predictions.

    Without a prelabelling, or while fewer than two classes have labels, nothing changes.
    """
    samples = list(PrelabelSamples(dataset.db).iterate())
    latest = Proposals(dataset.db).get_latest()
    space = EmbeddingSpace.from_dataset(dataset)
    if latest is None or space is None or cancelled():
        return LearningResult(len(samples))

    vectors, has_vector = space.get_vectors(
        [make_sample_vector_name(sample.key, sample.region) for sample in samples]
    )
    # What the prelabelling could not read will not have a vector from the next one either.
    unreadable = latest.facts.get("unreadable")
    known_unreadable = unreadable if isinstance(unreadable, int) else 0
    missing = max(0, len(samples) - int(has_vector.sum()) - known_unreadable)

    usable = [samples[number] for number in has_vector.nonzero()[0]]
    model = learn_classes(
        usable,
        vectors[has_vector],
        assign_split_groups(dataset.db, list_training_keys(usable)),
        get_unseen_labels(dataset.db),
    )
    if model is None or cancelled():
        return LearningResult(missing)

    # Only waiting samples have predictions; those without a vector keep theirs.
    predictions = {
        sample.key: round_confidences(top) if sample.status == "queue" else ()
        for sample, top in zip(usable, model.list_proposals(), strict=True)
    }

    changed = [
        sample._replace(proposals=predictions[sample.sample])
        for sample in Proposals(dataset.db).iterate()
        if predictions.get(sample.sample, sample.proposals) != sample.proposals
    ]

    _store(dataset, latest, changed, model.classes)
    return LearningResult(missing, has_model=True)


def _store(
    dataset: Dataset,
    latest: Prelabeling,
    changed: list[PrelabelledSample],
    classes: tuple[str, ...],
) -> None:
    """Write changed predictions, unless there is a newer prelabelling."""
    proposals = Proposals(dataset.db)
    facts = latest.facts | {"known": list(classes)}
    if not changed and facts == latest.facts:
        return
    with dataset.db.transaction():
        # A newer prelabelling has predictions of its own.
        current = proposals.get_latest()
        if current is not None and current.id == latest.id:
            proposals.update(changed, facts)

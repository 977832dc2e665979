"""Classes learned from labels, and samples of classes without labels."""

import numpy as np
import pytest
from prelabel_samples import make_sample

from curation.similarity.class_learning import (
    LearnedClasses,
    SelfTraining,
    estimate_membership,
    learn_classes,
    predict_left_out,
    raise_likeliest,
)
from curation.similarity.ridge import CLASS_BALANCE, PENALTY, Ridge, TrainingRows
from curation.similarity.unknown_classes import MIN_CLASSES
from gleanset.arrays import Float32Array, Float64Array, IntArray

WIDTH = 12
CLASSES = 3


def make_training_rows(count: int) -> tuple[Float32Array, TrainingRows]:
    """Return samples around three class centers, in groups of three."""
    random = np.random.default_rng(1)
    y = np.sort(random.choice(CLASSES, count, p=(0.6, 0.3, 0.1)))
    rows = np.eye(WIDTH)[y] + random.normal(0, 0.3, (count, WIDTH))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    each = np.arange(count)
    trusted = np.ones(count, np.bool_)
    return rows.astype(np.float32), TrainingRows(
        each, y, each // 3, trusted, CLASSES, ~trusted & False
    )


def test_scores_equal_weighted_ridge_regression() -> None:
    """Held-out scores of a group equal those of a fit with zero weights for the group."""
    rows, training = make_training_rows(60)
    fitted = Ridge.fit(rows, training)
    held_out = fitted.score_held_out(training.groups)
    targets = np.eye(CLASSES)[training.y]
    weights = np.bincount(training.y)[training.y] ** -CLASS_BALANCE
    weights /= weights.mean()
    for group in (None, 0, 7, 19):
        out = training.groups == group if group is not None else np.zeros(60, np.bool_)
        each = np.where(out, 0, weights)[:, None]
        x = rows - (each * rows).sum(axis=0) / each.sum()
        mean = (each * targets).sum(axis=0) / each.sum()
        slope = np.linalg.solve(
            (x * each).T @ x + PENALTY * np.eye(WIDTH), (x * each).T @ targets
        )
        expected = x @ slope + mean
        if group is None:
            assert np.allclose(fitted.score(rows), expected, atol=1e-5)
        else:
            assert np.allclose(held_out[out], expected[out], atol=1e-5)


def test_class_of_one_group_has_no_estimate() -> None:
    rows, training = make_training_rows(30)
    one_group = training._replace(groups=training.y)
    assert np.isnan(Ridge.fit(rows, one_group).score_held_out(one_group.groups)).all()


def test_self_training_changes_class_not_confidence() -> None:
    random = np.random.default_rng(5)
    truth = np.arange(400) % 4
    rows = np.eye(40)[truth] + random.normal(0, 0.25, (400, 40))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    labelled = np.arange(4)
    training = TrainingRows(
        labelled,
        truth[labelled],
        labelled,
        np.ones(4, np.bool_),
        4,
        np.zeros(4, np.bool_),
    )
    ridge = Ridge.fit(rows[labelled], training).score(rows)
    likeliest = SelfTraining.create(rows, training).predict(rows)
    assert (ridge.argmax(axis=1) != truth).mean() > 0.1
    assert (likeliest != truth).mean() < 0.05
    scores = raise_likeliest(ridge, likeliest)
    assert (scores.argmax(axis=1) == likeliest).all()
    assert np.array_equal(np.sort(scores, axis=1), np.sort(ridge, axis=1))


def test_self_training_ignores_labels_of_left_out_group() -> None:
    rows, training = make_training_rows(60)
    of_all = SelfTraining.create(rows, training)
    held_out = of_all.predict_held_out(training.groups)
    group = training.groups == 7
    turned = training._replace(
        y=np.where(group, (training.y + 1) % CLASSES, training.y)
    )
    changed = SelfTraining.create(rows, turned).predict_held_out(training.groups)
    # Predictions of a group do not depend on its own labels.
    assert (held_out[group] == changed[group]).all()
    assert (held_out == training.y).mean() > 0.8


@pytest.mark.parametrize("labels", [[None] * 4, ["ann", "ann", None, None]])
def test_fewer_than_two_classes_give_no_model(labels: list[str | None]) -> None:
    samples = [make_sample(row, label) for row, label in enumerate(labels)]
    groups = {sample.key: sample.key for sample in samples}
    assert learn_classes(samples, np.eye(4, dtype=np.float32), groups) is None


def test_membership_of_single_class() -> None:
    rows, training = make_training_rows(90)
    truth = training.y == 1
    labelled = truth & (np.arange(90) % 2 == 0)
    likely = estimate_membership(rows, labelled)
    assert likely[truth & ~labelled].mean() > 0.5
    assert likely[~truth].mean() < 0.2


PER_CLASS = 40
LABELS = 12


def draw_classes(count: int) -> tuple[Float32Array, IntArray]:
    """Return unit vectors around class centers, and their class numbers."""
    random = np.random.default_rng(count)
    y = np.repeat(np.arange(count), PER_CLASS)
    centers = random.normal(size=(count, 48))
    rows = centers[y] + random.normal(0, 1.1, (len(y), 48))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32), y


def learn(
    vectors: Float32Array,
    y: IntArray,
    labelled_classes: int,
    hints: dict[int, str] | None = None,
    refused: dict[int, frozenset[str]] | None = None,
) -> LearnedClasses:
    """Learn from `LABELS` samples of each of the first classes."""
    is_labelled = (y < labelled_classes) & (np.arange(len(y)) % PER_CLASS < LABELS)
    samples = [
        make_sample(
            row,
            str(number) if is_labelled[row] else None,
            hint=(hints or {}).get(row),
            refused=(refused or {}).get(row, frozenset()),
        )
        for row, number in enumerate(y.tolist())
    ]
    model = learn_classes(
        samples, vectors, {sample.key: sample.key for sample in samples}, open_set=True
    )
    assert model is not None
    return model


def first_confidences(model: LearnedClasses) -> Float64Array:
    """Return the confidence of the first suggestion of each sample."""
    return np.array(
        [top[0].confidence if top else 0.0 for top in model.list_proposals()]
    )


@pytest.mark.parametrize("unlabelled_classes", [0, 1, 4])
def test_expected_errors_include_unlabelled_classes(unlabelled_classes: int) -> None:
    vectors, y = draw_classes(8 + unlabelled_classes)
    model = learn(vectors, y, 8)
    pending = (y >= 8) | (np.arange(len(y)) % PER_CLASS >= LABELS)
    confidences = first_confidences(model)[pending]
    wrong = (model.probabilities.argmax(1) != y)[pending]
    assert (1 - confidences).sum() == pytest.approx(wrong.sum(), abs=15)
    assert np.median(confidences[y[pending] < 8]) > 0.9
    if unlabelled_classes:
        assert np.median(confidences[y[pending] >= 8]) < 0.5


def test_few_classes_get_closed_set_probabilities() -> None:
    # A class that is left out of four changes the model too much to stand for another one.
    vectors, y = draw_classes(MIN_CLASSES)
    model = learn(vectors, y, MIN_CLASSES - 1)
    assert model.probabilities.sum(1) == pytest.approx(np.ones(len(y)))


def test_refused_class_leaves_share_of_unlabelled_classes() -> None:
    vectors, y = draw_classes(12)
    plain = learn(vectors, y, 8)
    newcomer = int(np.flatnonzero(y == 10)[0])
    before = plain.probabilities[newcomer]
    likeliest = int(before.argmax())
    refused = {newcomer: frozenset({plain.classes[likeliest]})}
    after = learn(vectors, y, 8, refused=refused).probabilities[newcomer]
    # The remaining classes gain by the same factor, and so do the classes without labels.
    factor = 1 / (1 - before[likeliest])
    expected = np.where(np.arange(8) == likeliest, 0, before * factor)
    assert after == pytest.approx(expected)
    assert 1 - after.sum() == pytest.approx((1 - before.sum()) * factor)
    assert 1 - after.sum() > 0.3


def test_refused_class_of_closed_set_leaves_its_share_to_the_others() -> None:
    vectors, y = draw_classes(MIN_CLASSES)
    refused = {MIN_CLASSES * PER_CLASS - 1: frozenset({"0"})}
    model = learn(vectors, y, MIN_CLASSES - 1, refused=refused)
    assert model.probabilities[-1] == pytest.approx([0, 1])


def test_weak_label_is_evidence_for_labelled_class() -> None:
    vectors, y = draw_classes(10)
    hints = {row: str(number) for row, number in enumerate(y.tolist()) if number < 8}
    newcomer = int(np.flatnonzero(y == 9)[0])
    plain = first_confidences(learn(vectors, y, 8, hints))[newcomer]
    likeliest = learn(vectors, y, 8, hints).list_proposals()[newcomer][0].label
    assert (
        first_confidences(learn(vectors, y, 8, hints | {newcomer: likeliest}))[newcomer]
        > plain
    )


def test_left_out_probability_of_small_class() -> None:
    """A class with fewer samples than the nearest that count is judged by those it has."""
    vectors, y = draw_classes(4)
    is_kept = (y > 0) | (np.arange(len(y)) < 2)
    kept_y = y[is_kept]
    each_alone = np.arange(len(kept_y))
    probabilities = predict_left_out(vectors[is_kept], kept_y, each_alone)
    assert (probabilities.argmax(axis=1)[kept_y == 0] == 0).all()
    assert np.allclose(probabilities.sum(axis=1), 1)

    # All samples of the class in one group: nothing is left to compare with.
    one_group = np.where(kept_y == 0, 0, each_alone)
    probabilities = predict_left_out(vectors[is_kept], kept_y, one_group)
    assert np.allclose(probabilities[kept_y == 0], 1 / 4)


def test_left_out_probability_follows_nearest_samples() -> None:
    """Two labels of one cluster that is not that of their class are doubted, not confirmed."""
    vectors, y = draw_classes(5)
    wrong = np.flatnonzero(y == 1)[:2]
    y[wrong] = 3
    probabilities = predict_left_out(vectors, y, np.arange(len(y)))
    assert (probabilities.argmax(axis=1)[wrong] == 1).all()

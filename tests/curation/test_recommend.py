"""How classes are learnt from vectors: against scikit-learn, and against learning anew."""

from __future__ import annotations

import numpy as np
import pytest

from curation.similarity.class_learning import (
    CLASS_BALANCE,
    PENALTY,
    Ridge,
    Rows,
    SelfTraining,
    TrainingRows,
    estimate_membership,
    learn_classes,
    raise_likeliest,
)
from gleanset.db.proposals import PrelabelSample

WIDTH, CLASSES = 12, 3


def taught(count: int) -> tuple[Rows, TrainingRows]:
    """Samples of three classes about a middle each, three of every group."""
    random = np.random.default_rng(1)
    y = np.sort(random.choice(CLASSES, count, p=(0.6, 0.3, 0.1)))
    rows = np.eye(WIDTH)[y] + random.normal(0, 0.3, (count, WIDTH))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    seen = np.ones(count, np.bool_)
    return rows.astype(np.float32), TrainingRows(
        np.arange(count), y, np.arange(count) // 3, seen, CLASSES
    )


def test_scores_are_those_of_a_weighted_ridge_regression() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rows, known = taught(60)
    weights = np.bincount(known.y)[known.y] ** -CLASS_BALANCE
    expected = linear_model.Ridge(alpha=PENALTY)
    expected.fit(rows, np.eye(CLASSES)[known.y], sample_weight=weights / weights.mean())
    assert np.allclose(Ridge.fitted(rows, known).scores(rows), expected.predict(rows), atol=1e-5)


def test_what_was_left_out_was_not_learnt() -> None:
    """The scores of a group are those of a regression with the same weights but none on it."""
    rows, known = taught(60)
    fitted = Ridge.fitted(rows, known)
    held = fitted.without(known.groups)
    weights = np.bincount(known.y)[known.y] ** -CLASS_BALANCE
    weights /= weights.mean()
    for group in (0, 7, 19):
        out = known.groups == group
        each = np.where(out, 0, weights)
        middle, mean = each @ rows / each.sum(), each @ np.eye(CLASSES)[known.y] / each.sum()
        x = rows - middle
        gram = (x * each[:, None]).T @ x + PENALTY * np.eye(WIDTH)
        slope = np.linalg.solve(gram, (x * each[:, None]).T @ (np.eye(CLASSES)[known.y] - mean))
        assert np.allclose(held[out], x[out] @ slope + mean, atol=1e-5)


def test_what_is_alone_in_its_class_has_no_judge() -> None:
    rows, known = taught(30)
    one_group = known._replace(groups=known.y)
    assert np.isnan(Ridge.fitted(rows, one_group).without(one_group.groups)).all()


def test_what_waits_has_a_say_in_which_class_and_none_in_how_sure() -> None:
    random = np.random.default_rng(5)
    truth = np.arange(400) % 4
    rows = np.eye(40)[truth] + random.normal(0, 0.25, (400, 40))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    few = np.arange(4)
    known = TrainingRows(few, truth[few], few, np.ones(4, np.bool_), 4)
    ridge = Ridge.fitted(rows[few], known).scores(rows)
    likeliest = SelfTraining.create(rows, known).likeliest(rows)
    assert (ridge.argmax(axis=1) != truth).mean() > 0.1
    assert (likeliest != truth).mean() < 0.05
    scores = raise_likeliest(ridge, likeliest)
    assert (scores.argmax(axis=1) == likeliest).all()
    assert np.array_equal(np.sort(scores, axis=1), np.sort(ridge, axis=1))


def test_what_is_left_out_teaches_only_as_what_waits() -> None:
    rows, known = taught(60)
    of_all = SelfTraining.create(rows, known)
    held = of_all.without(known.groups)
    turned = known._replace(y=np.where(known.groups == 7, (known.y + 1) % CLASSES, known.y))
    changed = SelfTraining.create(rows, turned).without(known.groups)
    # Another label of a group changes nothing of what is said of that group.
    assert (held[known.groups == 7] == changed[known.groups == 7]).all()
    assert (held == known.y).mean() > 0.8


@pytest.mark.parametrize("labels", [[None] * 4, ["ann", "ann", None, None]])
def test_there_are_no_classes_to_tell_apart(labels: list[str | None]) -> None:
    samples = [
        PrelabelSample(f"{n}", "labelled" if label else "queue", label, None, (), None, frozenset())
        for n, label in enumerate(labels)
    ]
    groups = {sample.key: sample.key for sample in samples}
    assert learn_classes(samples, np.eye(4, dtype=np.float32), groups) is None


def test_who_is_of_the_only_class_is_told_from_all_others() -> None:
    rows, known = taught(90)
    truth = known.y == 1
    labelled = truth & (np.arange(90) % 2 == 0)
    likely = estimate_membership(rows, labelled)
    assert likely[truth & ~labelled].mean() > 0.5
    assert likely[~truth].mean() < 0.2

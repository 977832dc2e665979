"""What is answered: thresholds that protect a class, and what is too unfamiliar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from baseline.data.pixels import Pixels
from baseline.evaluation.decision_rule import (
    SCALE_FILE,
    UNKNOWN,
    DecisionRule,
    RecallThreshold,
    ThresholdEffects,
    compute_training_similarity,
    decide,
    fit_feature_scale,
    load_decision_rule,
    load_feature_scale,
    save_decision_rule,
    save_feature_scale,
)
from baseline.evaluation.intervals import bound_share
from baseline.evaluation.outputs import Floats, Indices, Outputs, load_outputs, save_outputs
from baseline.evaluation.thresholds import (
    RuleRequest,
    SplitAnswers,
    choose_rule,
    choose_unknown_threshold,
    fit_recall_thresholds,
    measure_recall_threshold,
)
from baseline.use.engines.base import ModelFacts, NetworkOutputs
from baseline.use.model import Model
from gleanset.errors import InputUnusable, UsageError

CLASSES = ("meme", "photo", "猫")


def val(count: int = 200, classes: int = 2, seed: int = 0, skill: float = 1.5) -> Outputs:
    random = np.random.default_rng(seed)
    y = np.arange(count) % classes
    logits = random.normal(size=(count, classes))
    logits[np.arange(count), y] += skill
    return Outputs(logits.astype(np.float32), y, tuple(map(str, range(count))))


def on(outputs: Outputs, each: int = 1, names: Sequence[str] = CLASSES) -> SplitAnswers:
    """Groups of so many pictures one after the other."""
    return SplitAnswers(outputs, tuple(names), np.arange(len(outputs)) // each)


def protected_alone(
    told: Outputs, names: Sequence[str], wanted: float, temperature: float
) -> RecallThreshold:
    judged = on(told, names=names)
    answers = fit_recall_thresholds(judged, {"photo": wanted}, DecisionRule(temperature))
    return measure_recall_threshold(judged, "photo", wanted, answers)


@settings(max_examples=60)
@given(
    st.integers(3, 80),
    st.integers(2, 3),
    st.integers(0, 10**6),
    st.floats(0.5, 1),
    st.floats(0.3, 3),
    st.floats(-1, 3),
)
def test_so_many_are_protected_on_val_and_not_more_than_needed(
    count: int, classes: int, seed: int, wanted: float, temperature: float, skill: float
) -> None:
    result = val(count, classes, seed, skill)
    names = CLASSES[:classes]
    one = protected_alone(result, names, wanted, temperature)
    answers = DecisionRule(temperature, None, {"photo": one.threshold})
    its = result.y == 1
    kept = decide(result.logits, names, answers).classes[its] == 1
    assert kept.mean() >= wanted - 1e-9
    assert one.lost == int((~kept).sum())
    if one.threshold:
        lower = DecisionRule(temperature, None, {"photo": one.threshold * (1 - 1e-6)})
        less = decide(result.logits, names, lower).classes[its] == 1
        assert less.mean() < wanted
    assert one.upper_bound >= one.lost / one.count


def test_a_small_val_promises_little_and_says_so() -> None:
    one = protected_alone(val(200), CLASSES[:2], 0.999, 1.0)
    assert (one.count, one.lost, one.needed) == (100, 0, 2995)
    assert one.upper_bound == pytest.approx(1 - 0.05 ** (1 / 100))
    assert not one.guaranteed
    assert one.others_accuracy is not None
    assert one.others_accuracy_before is not None
    assert one.others_accuracy < one.others_accuracy_before
    assert protected_alone(val(12_000, skill=9), CLASSES[:2], 0.999, 1.0).guaranteed


def test_protecting_what_is_not_there() -> None:
    with pytest.raises(UsageError, match="does not know class 'dog'"):
        fit_recall_thresholds(on(val()), {"dog": 0.9}, DecisionRule())
    only = val().at(np.arange(0, 200, 2))
    with pytest.raises(InputUnusable, match="no images of photo"):
        fit_recall_thresholds(on(only), {"photo": 0.9}, DecisionRule())


def rivals() -> Outputs:
    """50 memes, 50 photos that half look like cats, 50 cats that more look like memes."""
    y, spread = np.repeat([0, 1, 2], 50), np.linspace(0, 0.1, 50)[:, None]
    means = np.array([[0.9, 0.05, 0.05], [0.02, 0.53, 0.45], [0.55, 0.05, 0.4]])
    drift = np.array([[-1, 0.5, 0.5], [0.5, 0.5, -1], [0.5, 0.5, -1]])
    probabilities = np.concatenate([means[k] + drift[k] * spread for k in range(3)])
    return Outputs(np.log(probabilities).astype(np.float32), y, tuple(map(str, range(150))))


def test_two_protected_classes_keep_their_promises_together() -> None:
    """Each alone, the second takes what the first was promised."""
    result = rivals()
    wishes = {"photo": 0.9, "猫": 0.9}
    each = {
        name: fit_recall_thresholds(on(result), {name: share}, DecisionRule()).thresholds[name]
        for name, share in wishes.items()
    }
    kept = decide(result.logits, CLASSES, DecisionRule(thresholds=each)).classes
    assert (kept == result.y)[result.y == 1].mean() == 0

    answers = choose_rule(on(result), RuleRequest(wishes), DecisionRule())
    both = answers.effects.protected
    kept = decide(result.logits, CLASSES, answers).classes
    assert [one.name for one in both] == ["photo", "猫"]
    for number, one in enumerate(both, 1):
        lost = (kept != result.y)[result.y == number]
        assert (one.lost, one.count) == (lost.sum(), 50)
        assert lost.mean() <= 0.1
        assert one.upper_bound == bound_share(lost, np.arange(50))


def test_two_classes_that_cannot_both_be_protected_are_refused() -> None:
    result = rivals()
    result.logits[result.y == 1] = (0, 1, 2)
    result.logits[result.y == 2] = (0, 1, 2)
    with pytest.raises(InputUnusable, match="photo cannot reach a recall of 100% together with 猫"):
        choose_rule(on(result), RuleRequest({"photo": 1, "猫": 1}), DecisionRule())


def test_what_was_protected_before_is_solved_again_with_what_is_added() -> None:
    result, before = on(rivals()), DecisionRule()
    for wish in (RuleRequest({"photo": 0.9}), RuleRequest({"猫": 0.9})):
        before = choose_rule(result, wish, before)
    together = choose_rule(result, RuleRequest({"photo": 0.9, "猫": 0.9}), DecisionRule())
    assert before == together
    assert [one.name for one in before.effects.protected] == ["photo", "猫"]
    assert choose_rule(result, RuleRequest({}, forget=True), before) == DecisionRule()


def test_bounds_count_groups_and_not_pictures() -> None:
    """Four frames of each scene are lost or wrong together."""
    one = val(100)
    four = one.at(np.repeat(np.arange(100), 4))
    four = Outputs(four.logits, four.y, tuple(map(str, range(400))))
    wishes = RuleRequest({"photo": 0.95})
    (once,) = choose_rule(on(one, names=CLASSES[:2]), wishes, DecisionRule()).effects.protected
    (often,) = choose_rule(on(four, 4, CLASSES[:2]), wishes, DecisionRule()).effects.protected
    assert (often.count, often.groups, often.lost) == (200, once.groups, 4 * once.lost)
    assert often.upper_bound == pytest.approx(once.upper_bound, abs=0.005)


def test_protected_classes_take_what_is_theirs_and_the_likelier_wins() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.98, 0.01, 0.01]])).astype(
        np.float32
    )
    assert decide(logits, CLASSES, DecisionRule()).classes.tolist() == [0, 2, 0]
    measure_recall_threshold = DecisionRule(thresholds={"photo": 0.85, "gone": 0.5})
    assert decide(logits, CLASSES, measure_recall_threshold).classes.tolist() == [1, 1, 0]
    both = DecisionRule(thresholds={"photo": 1.0, "猫": 1.0})
    assert decide(logits, CLASSES, both).classes.tolist() == [1, 2, 1]
    unsure = DecisionRule(unknown_below=0.5)
    assert decide(logits, CLASSES, unsure).classes.tolist() == [0, UNKNOWN, 0]


def test_an_empty_val_is_reported() -> None:
    with pytest.raises(InputUnusable, match="no images in val"):
        choose_rule(on(val().at(np.zeros(0, np.int64))), RuleRequest({"photo": 1}), DecisionRule())


def test_answers_are_kept_and_damage_is_told(tmp_path: Path) -> None:
    assert load_decision_rule(tmp_path) == DecisionRule()
    chosen = ThresholdEffects((protected_alone(val(), CLASSES[:2], 0.9, 1.0),))
    result = DecisionRule(1.25, 0.1 + 0.2, {"猫": 1 / 3}, chosen)
    save_decision_rule(tmp_path, result)
    assert load_decision_rule(tmp_path) == result
    # An earlier version chose a least confidence by the share of wrong answers: it stays in force.
    (tmp_path / "answers.json").write_text(
        '{"temperature": 1, "unknown_below": 0.4, "effects": {"protected": [], "unknown": '
        '{"below": 0.4, "wanted": 0.05, "coverage": 0.5}}}'
    )
    assert load_decision_rule(tmp_path) == DecisionRule(unknown_below=0.4)
    for damage in (b"{", b'{"temperature": 0}', b'{"thresholds": {"a": 2}}', b"[]"):
        (tmp_path / "answers.json").write_bytes(damage)
        with pytest.raises(InputUnusable, match="cannot be read"):
            load_decision_rule(tmp_path)


def test_outputs_are_kept_and_damage_is_told(tmp_path: Path) -> None:
    assert load_outputs(tmp_path) == {}
    result = {"val": val(5), "test": val(0)}
    save_outputs(tmp_path, result)
    results = load_outputs(tmp_path)
    assert list(results) == ["val", "test"]
    assert np.array_equal(results["val"].logits, result["val"].logits)
    assert results["val"].keys == result["val"].keys
    assert results["val"].y.dtype == np.int64
    assert len(results["test"]) == 0
    path = tmp_path / "outputs.npz"
    for damage in (path.read_bytes()[:100], b"", b"PK\x03\x04", b"text"):
        path.write_bytes(damage)
        with pytest.raises(InputUnusable, match="is damaged"):
            load_outputs(tmp_path)


def drawn(
    groups: int, alike: float, random: np.random.Generator, most: int = 8
) -> tuple[Floats, Indices]:
    """Familiarities (normal, to be thought of on any scale) of groups of 1 to `most` pictures."""
    numbers = np.repeat(np.arange(groups), random.integers(1, most + 1, groups))
    own, shared = random.normal(size=len(numbers)), random.normal(size=groups)[numbers]
    return alike**0.5 * shared + (1 - alike) ** 0.5 * own, numbers


@pytest.mark.parametrize(("groups", "alike"), [(19, 0.95), (45, 0.5), (150, 0.0)])
def test_no_more_known_pictures_are_unknown_than_promised(groups: int, alike: float) -> None:
    random = np.random.default_rng(groups)
    result = [choose_unknown_threshold(*drawn(groups, alike, random), 0.05) for _ in range(800)]
    truth = ndtr([one.below for one in result])  # the share of all pictures that is below
    assert all(one.guaranteed for one in result)
    error = float(truth.std() / len(truth) ** 0.5)
    assert truth.mean() <= 0.05 + 2 * error
    assert truth.mean() > 0.05 / 5  # the promise is not kept by never saying unknown
    assert np.mean(truth <= [one.upper_bound for one in result]) >= 0.93


@pytest.mark.parametrize(("groups", "most"), [(14, 8), (45, 1)])
def test_as_many_other_pictures_seldom_exceed_the_bound(groups: int, most: int) -> None:
    """What a test as large as val shows wanders more than what is true of all pictures."""
    random = np.random.default_rng(groups)
    over = []
    for _ in range(600):
        val, test = (drawn(groups, 0.9, random, most) for _ in "vt")
        result = choose_unknown_threshold(*val, 0.05)
        over.append((test[0] < result.below).mean() > result.upper_bound + 1e-9)
    assert np.mean(over) <= 0.06


def test_few_groups_promise_what_they_can() -> None:
    random = np.random.default_rng(1)
    result = [choose_unknown_threshold(*drawn(9, 0.5, random), 0.05) for _ in range(800)]
    assert {(one.guaranteed, one.needed, one.unknown) for one in result} == {(False, 19, 0)}
    assert result[0].on_average == pytest.approx(0.1)
    assert ndtr([one.below for one in result]).mean() <= 0.11
    with pytest.raises(InputUnusable, match="no images in val"):
        choose_unknown_threshold(np.zeros(0), [], 0.05)


def test_the_frames_of_one_group_are_one_case() -> None:
    # 38 groups, of which one has 40 odd frames: one case of 39, though half of the pictures.
    familiarity = np.append(np.linspace(0.5, 0.9, 38), np.full(40, 0.1))
    groups = np.append(np.arange(38), np.full(40, 38))
    result = choose_unknown_threshold(familiarity, groups, 0.05)
    assert 0.1 < result.below < 0.5
    assert (result.unknown, result.groups) == (40, 39)
    assert result.upper_bound > 0.5


def test_what_lies_farther_out_is_less_familiar() -> None:
    random = np.random.default_rng(0)
    train = random.normal(3, (1, 5, 0.0), (200, 3)).astype(np.float32)
    scale = fit_feature_scale(train)
    distances = scale.distances(train)
    assert distances.mean() == pytest.approx(1, abs=1e-3)
    out = np.array([[3, 3, 3], [9, 3, 3], [3, 33, 3]], np.float32)
    near, far, wide = scale.distances(out)
    assert near < 1 < far
    assert far == pytest.approx(wide, rel=0.2)
    scores = np.array([[4.0, 0, 0]] * 3)
    result = compute_training_similarity(scores, scale.distances(out))
    assert result[0] > result[1]
    assert ((result > 1 / 3) & (result <= 1)).all()
    # Scores or their log probabilities: the same.
    assert compute_training_similarity(scores - 7, distances[:3]) == pytest.approx(
        compute_training_similarity(scores, distances[:3])
    )


def test_the_scale_is_kept_beside_the_weights(tmp_path: Path) -> None:
    assert load_feature_scale(tmp_path) is None
    scale = fit_feature_scale(np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32))
    save_feature_scale(tmp_path, scale)
    assert load_feature_scale(tmp_path) == scale
    (tmp_path / SCALE_FILE).write_text('{"mean": [1]}')
    with pytest.raises(InputUnusable, match="train again"):
        load_feature_scale(tmp_path)


def test_the_unfamiliar_are_unknown_where_their_familiarity_is_known() -> None:
    logits = np.array([[5, 0], [5, 0], [0, 5], [1, 0]], np.float32)
    rule = DecisionRule(unfamiliar_below=0.5)
    familiarity = np.array([0.9, 0.2, 0.6, 0.7])
    assert decide(logits, ("x", "y"), rule, familiarity).classes.tolist() == [0, UNKNOWN, 1, 0]
    assert decide(logits, ("x", "y"), rule).classes.tolist() == [0, 0, 1, 0]


class GalleryEngine:
    """An engine of known pictures that was told the likeness of each."""

    def __init__(self, below: float) -> None:
        self.facts = ModelFacts(
            "r", 8, ("a", "b"), DecisionRule(unfamiliar_below=below), (("k",), ("l",))
        )

    def __call__(self, pictures: Pixels) -> NetworkOutputs:
        likeness = np.array([[[0.9], [0.1]], [[0.2], [0.4]]], np.float32)
        even = np.full((2, 2), 0.5, np.float32)
        return NetworkOutputs(even, even, likeness)


def test_a_gallery_knows_by_the_likeness_of_the_nearest() -> None:
    result = Model(GalleryEngine(0.5)).predict_pixels(np.zeros((2, 8, 8, 3), np.uint8))
    assert [one.similarity for one in result] == pytest.approx([0.9, 0.4])
    assert [one.label for one in result] == ["a", None]

"""Decision rules: thresholds of protected classes, and the threshold for "unknown"."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from baseline.data.runs import write_run_json
from baseline.evaluation import decision_rule
from baseline.evaluation.decision_rule import (
    SCALE_FILE,
    UNKNOWN,
    DecisionRule,
    RecallThreshold,
    RuleRequest,
    SplitAnswers,
    ThresholdEffects,
    choose_rule,
    compute_training_similarity,
    decide,
    fit_feature_scale,
    fit_recall_thresholds,
    load_decision_rule,
    load_feature_scale,
    measure_recall_threshold,
    save_decision_rule,
)
from baseline.evaluation.intervals import bound_share
from baseline.evaluation.outputs import Outputs, load_outputs, save_outputs
from baseline.evaluation.unknown_rule import (
    choose_class_thresholds,
    choose_unknown_threshold,
)
from baseline.use.engines import ModelFacts, NetworkOutputs
from baseline.use.model import Model
from gleanset.arrays import Float64Array, IntArray, Pixels
from gleanset.errors import InputUnusable, UsageError

CLASSES = ("meme", "photo", "猫")


def make_outputs(
    count: int = 200, classes: int = 2, seed: int = 0, skill: float = 1.5
) -> Outputs:
    random = np.random.default_rng(seed)
    y = np.arange(count) % classes
    logits = random.normal(size=(count, classes))
    logits[np.arange(count), y] += skill
    return Outputs(logits.astype(np.float32), y, tuple(map(str, range(count))))


def in_groups(
    outputs: Outputs, each: int = 1, names: Sequence[str] = CLASSES
) -> SplitAnswers:
    """Assign consecutive samples to groups of `each`."""
    return SplitAnswers(outputs, tuple(names), np.arange(len(outputs)) // each)


def protect_photo(
    outputs: Outputs, names: Sequence[str], recall: float, temperature: float
) -> RecallThreshold:
    answers_of_split = in_groups(outputs, names=names)
    rule = fit_recall_thresholds(
        answers_of_split, {"photo": recall}, DecisionRule(temperature)
    )
    return measure_recall_threshold(answers_of_split, "photo", recall, rule)


@settings(max_examples=60)
@given(
    st.integers(3, 80),
    st.integers(2, 3),
    st.integers(0, 10**6),
    st.floats(0.5, 1),
    st.floats(0.3, 3),
    st.floats(-1, 3),
)
def test_recall_threshold_is_sufficient_and_minimal(
    count: int, classes: int, seed: int, recall: float, temperature: float, skill: float
) -> None:
    result = make_outputs(count, classes, seed, skill)
    names = CLASSES[:classes]
    fitted = protect_photo(result, names, recall, temperature)
    rule = DecisionRule(temperature, None, {"photo": fitted.threshold})
    photos = result.y == 1
    recalled = decide(result.logits, names, rule).classes[photos] == 1
    assert recalled.mean() >= recall - 1e-9
    assert fitted.lost == int((~recalled).sum())
    if fitted.threshold:
        lower = DecisionRule(
            temperature, None, {"photo": fitted.threshold * (1 - 1e-6)}
        )
        less = decide(result.logits, names, lower).classes[photos] == 1
        assert less.mean() < recall
    assert fitted.upper_bound >= fitted.lost / fitted.count


def test_small_val_gives_no_recall_guarantee() -> None:
    fitted = protect_photo(make_outputs(200), CLASSES[:2], 0.999, 1.0)
    assert (fitted.count, fitted.lost, fitted.needed) == (100, 0, 2995)
    assert fitted.upper_bound == pytest.approx(1 - 0.05 ** (1 / 100))
    assert not fitted.guaranteed
    assert fitted.others_accuracy < fitted.others_accuracy_before
    assert protect_photo(
        make_outputs(12_000, skill=9), CLASSES[:2], 0.999, 1.0
    ).guaranteed


def test_protecting_missing_class_raises_error() -> None:
    with pytest.raises(UsageError, match="does not know class 'dog'"):
        fit_recall_thresholds(in_groups(make_outputs()), {"dog": 0.9}, DecisionRule())
    only = make_outputs().at(np.arange(0, 200, 2))
    with pytest.raises(InputUnusable, match="no images of photo"):
        fit_recall_thresholds(in_groups(only), {"photo": 0.9}, DecisionRule())
    empty = in_groups(only.at(np.zeros(0, np.int64)))
    for request in (
        RuleRequest({"photo": 1}),
        RuleRequest({}, max_rejection_rate=0.05),
    ):
        with pytest.raises(InputUnusable, match="no images in val"):
            choose_rule(empty, request, DecisionRule())


def overlapping_outputs() -> Outputs:
    """Outputs of 50 memes, 50 photos close to cats and 50 cats close to memes."""
    y = np.repeat([0, 1, 2], 50)
    spread = np.linspace(0, 0.1, 50)[:, None]
    means = np.array([[0.9, 0.05, 0.05], [0.02, 0.53, 0.45], [0.55, 0.05, 0.4]])
    drift = np.array([[-1, 0.5, 0.5], [0.5, 0.5, -1], [0.5, 0.5, -1]])
    probabilities = np.concatenate([means[k] + drift[k] * spread for k in range(3)])
    return Outputs(
        np.log(probabilities).astype(np.float32), y, tuple(map(str, range(150)))
    )


def test_two_protected_classes_both_reach_recall() -> None:
    # With separate thresholds the second class takes the samples of the first.
    result = overlapping_outputs()
    recalls = {"photo": 0.9, "猫": 0.9}
    separate = {}
    for name, share in recalls.items():
        fitted = fit_recall_thresholds(in_groups(result), {name: share}, DecisionRule())
        separate[name] = fitted.thresholds[name]
    predicted = decide(
        result.logits, CLASSES, DecisionRule(thresholds=separate)
    ).classes
    assert (predicted == result.y)[result.y == 1].mean() == 0

    rule = choose_rule(in_groups(result), RuleRequest(recalls), DecisionRule())
    thresholds = rule.effects.protected
    predicted = decide(result.logits, CLASSES, rule).classes
    assert [threshold.name for threshold in thresholds] == ["photo", "猫"]
    for number, threshold in enumerate(thresholds, 1):
        lost = (predicted != result.y)[result.y == number]
        assert (threshold.lost, threshold.count) == (lost.sum(), 50)
        assert lost.mean() <= 0.1
        assert threshold.upper_bound == bound_share(lost, np.arange(50))


def test_conflicting_protected_classes_raise_error() -> None:
    result = overlapping_outputs()
    result.logits[result.y == 1] = (0, 1, 2)
    result.logits[result.y == 2] = (0, 1, 2)
    with pytest.raises(
        InputUnusable, match="photo cannot reach a recall of 100% together with 猫"
    ):
        choose_rule(
            in_groups(result), RuleRequest({"photo": 1, "猫": 1}), DecisionRule()
        )


def test_recall_bounds_count_groups() -> None:
    singles = make_outputs(100)
    repeated = singles.at(np.repeat(np.arange(100), 4))
    repeated = Outputs(repeated.logits, repeated.y, tuple(map(str, range(400))))
    of_singles, of_repeated = (
        choose_rule(
            answers, RuleRequest({"photo": 0.95}), DecisionRule()
        ).effects.protected[0]
        for answers in (
            in_groups(singles, 1, CLASSES[:2]),
            in_groups(repeated, 4, CLASSES[:2]),
        )
    )
    assert (of_repeated.count, of_repeated.groups) == (200, of_singles.groups)
    assert of_repeated.lost == 4 * of_singles.lost
    assert of_repeated.upper_bound == pytest.approx(of_singles.upper_bound, abs=0.005)


def test_decide_with_protected_classes() -> None:
    logits = np.log(
        np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.98, 0.01, 0.01]])
    ).astype(np.float32)
    assert decide(logits, CLASSES, DecisionRule()).classes.tolist() == [0, 2, 0]
    one_protected = DecisionRule(thresholds={"photo": 0.85, "gone": 0.5})
    assert decide(logits, CLASSES, one_protected).classes.tolist() == [1, 1, 0]
    two_protected = DecisionRule(thresholds={"photo": 1.0, "猫": 1.0})
    assert decide(logits, CLASSES, two_protected).classes.tolist() == [1, 2, 1]
    confident_only = DecisionRule(unknown_below=0.5)
    assert decide(logits, CLASSES, confident_only).classes.tolist() == [0, UNKNOWN, 0]


def test_decision_rule_round_trip_and_damage(tmp_path: Path) -> None:
    assert load_decision_rule(tmp_path) == DecisionRule()
    chosen = ThresholdEffects((protect_photo(make_outputs(), CLASSES[:2], 0.9, 1.0),))
    result = DecisionRule(1.25, 0.1 + 0.2, {"猫": 1 / 3}, chosen)
    save_decision_rule(tmp_path, result)
    assert load_decision_rule(tmp_path) == result
    for damage in (b"{", b'{"temperature": 0}', b'{"thresholds": {"a": 2}}', b"[]"):
        (tmp_path / "answers.json").write_bytes(damage)
        with pytest.raises(InputUnusable, match="cannot be read"):
            load_decision_rule(tmp_path)


def test_outputs_round_trip_and_damage(tmp_path: Path) -> None:
    assert load_outputs(tmp_path) == {}
    result = {"val": make_outputs(5), "test": make_outputs(0)}
    save_outputs(tmp_path, result)
    results = load_outputs(tmp_path)
    assert list(results) == ["val", "test"]
    assert np.array_equal(results["val"].logits, result["val"].logits)
    assert (results["val"].keys, results["val"].y.dtype) == (
        result["val"].keys,
        np.int64,
    )
    assert len(results["test"]) == 0
    path = tmp_path / "outputs.npz"
    for damage in (path.read_bytes()[:100], b"", b"PK\x03\x04", b"text"):
        path.write_bytes(damage)
        with pytest.raises(InputUnusable, match="is damaged"):
            load_outputs(tmp_path)


def draw_similarities(
    groups: int, correlation: float, random: np.random.Generator, max_size: int = 8
) -> tuple[Float64Array, IntArray]:
    """Draw standard normal similarities for groups of 1 to `max_size` images."""
    numbers = np.repeat(np.arange(groups), random.integers(1, max_size + 1, groups))
    own = random.normal(size=len(numbers))
    shared = random.normal(size=groups)[numbers]
    return correlation**0.5 * shared + (1 - correlation) ** 0.5 * own, numbers


@pytest.mark.parametrize(("groups", "correlation"), [(19, 0.95), (45, 0.5), (150, 0.0)])
def test_unknown_threshold_keeps_rejection_rate(
    groups: int, correlation: float
) -> None:
    random = np.random.default_rng(groups)
    thresholds = [
        choose_unknown_threshold(*draw_similarities(groups, correlation, random), 0.05)
        for _ in range(800)
    ]
    rates = ndtr([threshold.below for threshold in thresholds])  # true rejection rates
    assert all(threshold.guaranteed for threshold in thresholds)
    error = float(rates.std() / len(rates) ** 0.5)
    assert rates.mean() <= 0.05 + 2 * error
    assert rates.mean() > 0.05 / 5  # some samples are rejected


def test_few_groups_give_no_rejection_guarantee() -> None:
    random = np.random.default_rng(1)
    thresholds = [
        choose_unknown_threshold(*draw_similarities(9, 0.5, random), 0.05)
        for _ in range(800)
    ]
    assert {(one.guaranteed, one.needed, one.unknown) for one in thresholds} == {
        (False, 19, 0)
    }
    assert thresholds[0].on_average == pytest.approx(0.1)
    assert ndtr([threshold.below for threshold in thresholds]).mean() <= 0.11


def test_unknown_threshold_counts_groups() -> None:
    # 38 singletons and a group of 40 outliers, which is half of the images.
    similarity = np.append(np.linspace(0.5, 0.9, 38), np.full(40, 0.1))
    groups = np.append(np.arange(38), np.full(40, 38))
    result = choose_unknown_threshold(similarity, groups, 0.05)
    assert 0.1 < result.below < 0.5
    assert (result.unknown, result.groups) == (40, 39)


def test_similarity_falls_with_distance() -> None:
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
    # Adding a constant to all scores changes nothing.
    assert compute_training_similarity(scores - 7, distances[:3]) == pytest.approx(
        compute_training_similarity(scores, distances[:3])
    )


def test_feature_scale_round_trip_and_damage(tmp_path: Path) -> None:
    assert load_feature_scale(tmp_path) is None
    scale = fit_feature_scale(
        np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    )
    write_run_json(tmp_path, SCALE_FILE, scale)
    assert load_feature_scale(tmp_path) == scale
    (tmp_path / SCALE_FILE).write_text('{"mean": [1]}')
    with pytest.raises(InputUnusable, match="train again"):
        load_feature_scale(tmp_path)


def test_dissimilar_samples_are_unknown() -> None:
    logits = np.array([[5, 0], [5, 0], [0, 5], [1, 0]], np.float32)
    rule = DecisionRule(unfamiliar_below=0.5)
    similarity = np.array([0.9, 0.2, 0.6, 0.7])
    assert decide(logits, ("x", "y"), rule, similarity).classes.tolist() == [
        0,
        UNKNOWN,
        1,
        0,
    ]
    assert decide(logits, ("x", "y"), rule).classes.tolist() == [0, 0, 1, 0]


class FixedGalleryEngine:
    """Engine with fixed similarities to its gallery images."""

    def __init__(self, below: float) -> None:
        self.facts = ModelFacts(
            "r", 8, ("a", "b"), DecisionRule(unfamiliar_below=below), (("k",), ("l",))
        )

    def __call__(self, pictures: Pixels) -> NetworkOutputs:
        similarity = np.array([[[0.9], [0.1]], [[0.2], [0.4]]], np.float32)
        even = np.full((2, 2), 0.5, np.float32)
        return NetworkOutputs(even, even, similarity)


def test_gallery_model_rejects_by_nearest_similarity() -> None:
    result = Model(FixedGalleryEngine(0.5)).predict_pixels(
        np.zeros((2, 8, 8, 3), np.uint8)
    )
    assert [prediction.similarity for prediction in result] == pytest.approx([0.9, 0.4])
    assert [prediction.label for prediction in result] == ["a", None]


def test_rare_class_is_not_rejected_for_the_common_one() -> None:
    random = np.random.default_rng(0)
    similarity = np.append(random.normal(0.9, 0.03, 120), random.normal(0.6, 0.03, 8))
    labels = ["common"] * 120 + ["rare"] * 8
    groups = np.arange(128)
    alone = choose_unknown_threshold(similarity, groups, 0.08)
    assert (similarity[120:] < alone.below).all(), (
        "one threshold rejects the whole class"
    )

    chosen = choose_class_thresholds(
        similarity, groups, 0.08, labels, ("common", "lone", "rare")
    )
    assert chosen.limits["rare"] < 0.6 < 0.8 < chosen.limits["common"]
    unknown = {part.name: part.unknown for part in chosen.by_class}
    # The common class may lose 8 % of its own images, counting one more group as lost.
    assert unknown == {"common": 7, "rare": 0, "lone": 0}
    assert chosen.limits["common"] > alone.below
    assert chosen.limits["lone"] == chosen.limits["rare"]
    assert [part.name for part in chosen.exceptions] == ["lone", "rare"]
    assert chosen.exceptions[1].on_average == pytest.approx(1 / 9)
    exceptions = "lone (no image to check), rare (8 images: at most 11.1%)"
    assert f"at most 8% of those of each class except {exceptions}" in chosen.describe()
    few = choose_class_thresholds(
        similarity[120:], groups[:8], 0.08, labels[120:], ("rare",)
    )
    described = few.describe()
    assert (
        "but more than 8% of those of a class are possible: rare (8 images" in described
    )
    rule = DecisionRule(
        unfamiliar_below=chosen.below, unfamiliar_by_class=chosen.limits
    )
    logits = np.array([[5, 0, 0], [0, 0, 5], [0, 0, 5]], np.float32)
    decisions = decide(
        logits, ("common", "added", "rare"), rule, np.array([0.7, 0.58, 0.3])
    )
    assert decisions.classes.tolist() == [UNKNOWN, 2, UNKNOWN]
    assert decisions.limits.tolist() == [
        chosen.limits["common"],
        *[chosen.limits["rare"]] * 2,
    ]
    assert rule.similarity_limits(("added",)).tolist() == [chosen.below]


def test_share_of_rejected_images_is_held_for_each_class() -> None:
    random = np.random.default_rng(5)
    names = ("a", "b")
    counts = (60, 14)
    labels = np.repeat(names, counts).tolist()
    rates = []
    for _ in range(300):
        similarity = np.append(
            random.normal(1, 1, counts[0]), random.normal(0, 1, counts[1])
        )
        chosen = choose_class_thresholds(similarity, np.arange(74), 0.08, labels, names)
        assert not chosen.exceptions
        assert all(part.unknown <= 0.08 * part.count for part in chosen.by_class)
        rates.append((ndtr(chosen.limits["a"] - 1), ndtr(chosen.limits["b"])))
    rates_of_a, rates_of_b = np.mean(rates, axis=0)
    assert 0.06 < rates_of_a < 0.08
    # One threshold for both rejects 17 % of the smaller class.
    assert 0.06 < rates_of_b < 0.08


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_page_decides_with_class_thresholds() -> None:
    names = ("common", "rare", "constructor")
    rule = DecisionRule(
        unfamiliar_below=0.5, unfamiliar_by_class={"common": 0.8, "rare": 0.2}
    )
    random = np.random.default_rng(2)
    probabilities = random.dirichlet(np.ones(3), 60)
    similarity = random.random(60)
    card = {
        "classes": names,
        "shown": names,
        "thresholds": {},
        "unknown_below": None,
        "unfamiliar_below": rule.unfamiliar_below,
        "unfamiliar_by_class": rule.unfamiliar_by_class,
    }
    script = (
        Path(decision_rule.__file__).parents[2]
        / "webapp"
        / "page"
        / "js"
        / "decision.js"
    )
    program = (
        f"import {{ decide }} from {json.dumps(script.as_uri())};"
        f"const card = {json.dumps(card)}, rows = {json.dumps(probabilities.tolist())};"
        f"const members = {json.dumps(similarity.tolist())};"
        "const results = rows.map((row, n) => decide(card, row, members[n], null, null));"
        "console.log(JSON.stringify(results.map((each) => [each.best, each.unfamiliar_below])));"
    )
    command = ["node", "--input-type=module", "--eval", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    decisions = decide(
        np.log(probabilities).astype(np.float32), names, rule, similarity
    )
    labels = [
        None if number == UNKNOWN else names[number] for number in decisions.classes
    ]
    expected = zip(labels, decisions.limits.tolist(), strict=True)
    assert json.loads(ran.stdout) == [list(pair) for pair in expected]
    assert {*labels} == {None, *names}

"""How likely an image is of one of the classes, and the rule for "unknown"."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from drawn_dataset import EIGHT_TO_ONE, fill, put_whole
from onnx import TensorProto, helper
from PIL import Image

import baseline
from baseline.data.runs import run_folder
from baseline.evaluation.decision_rule import (
    NO_UNKNOWN_RULE,
    RuleRequest,
    compute_training_similarity,
    fit_feature_scale,
    load_decision_rule,
)
from baseline.evaluation.evaluate import reevaluate_run
from baseline.evaluation.unknown_rule import choose_unknown_threshold
from baseline.features.graph_builder import GraphBuilder, Output
from baseline.features.scaling import Scaling
from baseline.settings import load_preset
from baseline.train import unknown
from baseline.train.membership import (
    FOLDS,
    ClassMembership,
    LeftOutImages,
    TrainFeatures,
    fit_membership,
)
from baseline.train.train_run import train_run
from baseline.train.unknown import (
    MAX_KNOWN_REJECTED,
    UNKNOWN_FOLDS,
    measure_outsiders,
)
from baseline.use.export.export_run import export_run
from baseline.use.export.onnx_file import add_membership
from gleanset import Dataset
from gleanset.arrays import Float32Array, Float64Array, IntArray
from gleanset.db.journal import Choice
from gleanset.work.progress import NO_PROGRESS

WIDTH = 32
IDENTITY = slice(24, 32)


def fit_scaling(views: Float32Array) -> Scaling:
    """Return the mean, and no scaling."""
    return Scaling(views.reshape(-1, WIDTH).mean(0, dtype=np.float64), np.ones(WIDTH))


BACKGROUND = np.random.default_rng(9).normal(0, 1, (20, WIDTH)).astype(np.float32)
Fitted = tuple[ClassMembership, LeftOutImages, Float32Array]
HOW = (BACKGROUND, IDENTITY, fit_scaling, 0)


def draw(
    centers: Float32Array | Float64Array, each: int, random: np.random.Generator
) -> TrainFeatures:
    """Draw `each` images of each class in pairs of one group, with two views."""
    y = np.repeat(np.arange(len(centers)), each)
    plain = centers[y] + random.normal(0, 1.4, (len(y), WIDTH))
    views = np.stack([plain, plain + random.normal(0, 0.1, plain.shape)], 1).astype(
        np.float32
    )
    return TrainFeatures(
        views, y, np.arange(len(y)) // 2, tuple(map(str, range(len(y))))
    )


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    """Fit to six classes; return their means too."""
    random = np.random.default_rng(0)
    centers = random.normal(0, 1, (6, WIDTH)).astype(np.float32)
    return (*fit_membership(draw(centers, 20, random), *HOW), centers)


def test_left_out_classes_predict_rate_of_outsiders(fitted: Fitted) -> None:
    membership, left_out, centers = fitted
    random = np.random.default_rng(1)
    threshold = np.quantile(left_out.known, 0.08)
    known = membership(draw(centers, 50, random).x[:, 0])
    outsiders = membership(draw(random.normal(0, 1, (40, WIDTH)), 5, random).x[:, 0])
    assert (known < threshold).mean() <= 0.12
    expected = (left_out.outsiders < threshold).mean()
    assert (outsiders < threshold).mean() == pytest.approx(expected, abs=0.1)
    assert np.median(known) > 0.8
    # An outsider that gets a class is not a confident prediction.
    assert np.median(outsiders[outsiders >= threshold]) < 0.8
    assert set(left_out.outsider_classes.tolist()) == set(range(6))


def test_saved_membership_is_the_same(fitted: Fitted) -> None:
    membership, rows = fitted[0], fitted[2]
    state = dict(membership.state)
    loaded = ClassMembership.from_state(
        state | {"head.1.bias": rows[0]}, WIDTH, IDENTITY
    )
    assert loaded(rows).tolist() == membership(rows).tolist()
    assert ClassMembership.from_state({"head.1.bias": rows[0]}, WIDTH, IDENTITY) is None
    with pytest.raises(ValueError, match="membership"):
        ClassMembership.from_state(state, 24, IDENTITY)


def test_older_run_has_the_mean_of_the_background_alone(fitted: Fitted) -> None:
    membership, rows = fitted[0], fitted[2]
    state = dict(membership.state)
    del state["membership.identity_background"]
    mean = membership.background.mean(0, keepdims=True)
    # Weights of all columns, the identity block and the background, and the constant.
    state |= {
        "membership.background": mean,
        "membership.weights": np.array([-2, -3, 0.5, 4], np.float32),
    }
    older = ClassMembership.from_state(state, WIDTH, IDENTITY)
    units = membership.unit_vectors(rows)

    def measure(vectors: Float32Array, others: Float32Array) -> Float32Array:
        return ((vectors[:, None] - others) ** 2).sum(2)

    scores = -2 * (measure(units.whole, membership.centers) - 1)
    scores -= 3 * (measure(units.identity, membership.identity_centers) - 1)
    scores += 0.5 * (measure(units.whole, mean) - 1)
    expected = 1 / (1 + np.exp(-(scores.max(1) + 4 - 2 - 3 + 0.5)))
    assert older(rows) == pytest.approx(expected, abs=1e-5)


def test_face_like_one_of_the_background_is_less_likely_a_member(
    fitted: Fitted,
) -> None:
    membership, rows = fitted[0], fitted[2]
    # Halfway between a class and somebody of the background, or a stranger.
    scale = np.linalg.norm(rows, axis=1, keepdims=True)
    strangers = np.random.default_rng(4).normal(0, 1, BACKGROUND.shape)
    members = []
    for others in (BACKGROUND, strangers.astype(np.float32)):
        unit = others[: len(rows)] / np.linalg.norm(
            others[: len(rows)], axis=1, keepdims=True
        )
        members.append(membership(rows + scale * unit))
    assert members[0].mean() < members[1].mean() - 0.05


def test_exported_membership_is_the_same(fitted: Fitted) -> None:
    membership = fitted[0]
    rows = fitted[2] + np.float32(0.3)
    graph = GraphBuilder()
    graph.scope = "membership"
    output = Output(add_membership(graph, membership, "x"), ())
    values = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])
    model = graph.model(values, {"membership": output}).SerializeToString()
    [exported] = onnxruntime.InferenceSession(model).run(None, {"x": rows})
    assert exported == pytest.approx(membership(rows), abs=1e-5)


def test_two_classes_have_no_membership() -> None:
    random = np.random.default_rng(0)
    train = draw(random.normal(0, 1, (2, WIDTH)), 10, random)
    assert fit_membership(train, *HOW) is None


@pytest.mark.parametrize(("classes", "measured"), [(5, None), (6, 6)])
def test_few_left_out_classes_are_a_rough_estimate(
    classes: int, measured: int | None
) -> None:
    none = np.zeros(0)
    numbers = np.arange(classes)
    # One is unknown, one unsure, the others may get a class for sure.
    outsiders = np.append([0.1, 0.45], np.full(classes - 2, 0.6))
    left_out = LeftOutImages((), none, numbers, outsiders, numbers)
    result = measure_outsiders(left_out, np.full(classes, 0.4))
    assert result.get("left_out_classes") == measured
    assert (result["left_out"], result["left_out_unknown"]) == (classes, 1)
    assert result["left_out_sure"] == classes - 2


def test_training_reports_left_out_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unknown, "MIN_MEASURED_CLASSES", 3)
    options = {"size": "32", "backbone": "efficientnet_lite0+faces", "weights": "none"}
    with Dataset.create(tmp_path / "dataset") as dataset:
        fill(dataset, 10, EIGHT_TO_ONE)
        settings = load_preset("transfer", options | {"views": "0", "strength": "1"})
        result = train_run(dataset, settings)
        folder = run_folder(dataset, str(result.run))
        images = [
            path
            for path in (tmp_path / "dataset" / "images").glob("*/*")
            if path.is_file()
        ]
    rule = load_decision_rule(folder).effects.unfamiliar
    assert (rule.folds, rule.left_out_classes, rule.left_out) == (FOLDS, 3, 24)
    assert "images of left-out classes" in str(result.unknown)
    export_run(tmp_path / "dataset", None, tmp_path / "model.onnx", "fp32")
    first, second = (
        list(baseline.load(path).predict_images(images))
        for path in (folder, tmp_path / "model.onnx")
    )
    assert [a.label for a in first] == [a.label for a in second]
    similarity = [a.similarity for a in first]
    assert similarity == pytest.approx([a.similarity for a in second], abs=1e-4)
    # Confidences of all classes add up to the similarity.
    sums = [sum(p.confidence for p in answer.predictions) for answer in first]
    assert sums == pytest.approx(similarity, abs=1e-4)


TINY = {"size": "32", "backbone": "efficientnet_lite0", "weights": "none", "views": "0"}


def draw_features(
    groups: int, centers: Float64Array, random: np.random.Generator
) -> tuple[Float64Array, IntArray]:
    """Draw correlated features in groups, and return them with the groups."""
    numbers = np.repeat(np.arange(groups), random.integers(1, 4, groups))
    shared = random.normal(0, 0.7, (groups, centers.shape[1]))
    own = random.normal(0, 0.7, (len(numbers), centers.shape[1]))
    return centers[numbers % len(centers)] + shared[numbers] + own, numbers


def measure_similarity(
    train: tuple[Float64Array, IntArray], features: Float64Array, classes: int
) -> Float64Array:
    """Return the similarity of `features` to `train`, with class means as the head."""
    x, groups = train
    means = np.stack([x[groups % classes == name].mean(0) for name in range(classes)])
    scores = features @ means.T - (means**2).sum(1) / 2
    distances = fit_feature_scale(x.astype(np.float32)).distances(features)
    return compute_training_similarity(scores, distances)


@pytest.mark.parametrize("groups", [20, 60])
def test_out_of_fold_threshold_keeps_rejection_rate(groups: int) -> None:
    random = np.random.default_rng(groups)
    classes = 4
    known_rates = []
    unknown_rates = []
    for _ in range(40):
        centers = random.normal(0, 1.2, (classes, 12))
        x, numbers = train = draw_features(groups, centers, random)
        fold = random.permutation(np.arange(groups) // classes % UNKNOWN_FOLDS)[numbers]
        similarity = np.zeros(len(x))
        for number in range(UNKNOWN_FOLDS):
            part = fold != number
            similarity[~part] = measure_similarity(
                (x[part], numbers[part]), x[~part], classes
            )
        threshold = choose_unknown_threshold(similarity, numbers, MAX_KNOWN_REJECTED)
        assert threshold.guaranteed
        known, _ = draw_features(120, centers, random)
        unknown, _ = draw_features(120, random.normal(0, 1.2, (classes, 12)), random)
        for rates, features in ((known_rates, known), (unknown_rates, unknown)):
            rates.append(
                (measure_similarity(train, features, classes) < threshold.below).mean()
            )
    standard_error = np.std(known_rates) / len(known_rates) ** 0.5
    assert np.mean(known_rates) <= MAX_KNOWN_REJECTED + 2 * standard_error
    assert np.mean(unknown_rates) > 3 * np.mean(known_rates)


def fill_with_rejected(dataset: Dataset, pictures: int) -> None:
    """Add two classes, split 8:1:1, and two rejected images."""
    fill(dataset, pictures, EIGHT_TO_ONE, classes=2)
    away = [
        put_whole(dataset, Image.new("RGB", (32, 32), name), name)
        for name in ("red", "lime")
    ]
    dataset.journal.apply("Reject", [Choice(key, "reject") for key in away])


def test_training_chooses_unknown_rule(dataset: Dataset) -> None:
    fill_with_rejected(dataset, 10)
    result = train_run(dataset, load_preset("transfer", TINY | {"strength": "1"}))
    run = str(result.run)
    folder = run_folder(dataset, run)
    rule = load_decision_rule(folder)
    threshold = rule.effects.unfamiliar
    # Out-of-fold samples of train, and val.
    assert (threshold.count, threshold.folds, threshold.guaranteed) == (
        18,
        UNKNOWN_FOLDS,
        True,
    )
    assert rule.unfamiliar_below == threshold.below
    assert (threshold.rejected, result.unknown) == (2, threshold.describe())
    assert "of 2 images that a person rejected" in threshold.describe()

    protected = str(next(dataset.samples.iter_in_splits()).label)
    reevaluate_run(dataset, run, "val", RuleRequest({protected: 0.5}), NO_PROGRESS)
    assert load_decision_rule(folder).effects.unfamiliar == threshold
    reevaluate_run(
        dataset, run, "val", RuleRequest({}, max_rejection_rate=0.4), NO_PROGRESS
    )
    by_hand = load_decision_rule(folder).effects.unfamiliar
    assert (by_hand.target, by_hand.folds, by_hand.count) == (0.4, 0, 2)
    reevaluate_run(dataset, run, "val", RuleRequest({}, forget=True), NO_PROGRESS)
    assert load_decision_rule(folder).unfamiliar_below is None


def test_small_dataset_gets_no_unknown_rule(dataset: Dataset) -> None:
    fill_with_rejected(dataset, 4)
    result = train_run(dataset, load_preset("transfer", TINY | {"strength": "1"}))
    assert (
        load_decision_rule(run_folder(dataset, str(result.run))).unfamiliar_below
        is None
    )
    assert result.unknown == NO_UNKNOWN_RULE

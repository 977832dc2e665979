"""The triplet method and its gallery."""

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

from baseline.evaluation.decision_rule import GALLERY_SCALE
from baseline.settings import load_preset
from baseline.train.callbacks import TrainingResult
from baseline.train.methods.gallery import (
    MAX_GALLERY_IMAGES,
    build_gallery,
    choose_representatives,
    get_gallery_head,
)
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import build_net, to_trained_net
from baseline.train.trained_net import GalleryHead, TrainedNet, load_model, save_model
from gleanset import Dataset

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    with Dataset.create(tmp_path_factory.mktemp("gallery") / "dataset") as new_dataset:
        fill(new_dataset, 20)
        yield new_dataset


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingData]:
    """A trained triplet run and its training data."""
    fitted, material = trained(dataset, "triplet", PACKAGED | {"views": "1", "epochs": "6"})
    assert accuracy(fitted.net, material.arrays("test")) > 0.8
    assert fitted.history[-1].val_accuracy is not None
    return save_run(fitted, material, tmp_path_factory.mktemp("run")), material


def save_run(fitted: TrainingResult[TrainedNet], material: TrainingData, folder: Path) -> Path:
    save_model(folder, fitted.net, material.settings, material.classes)
    return folder


def load_gallery_keys(folder: Path) -> tuple[tuple[str, ...], ...]:
    return get_gallery_head(load_model(folder)[0]).keys


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
    net, keys = to_trained_net(build_net(settings, 3), settings), [f"k{n}" for n in range(12)]
    net.head = build_gallery(unit_vectors(12, 128, 0), np.arange(12) % 3, keys, 3)
    folder = tmp_path / "run"
    folder.mkdir()
    save_model(folder, net, settings, ("disc", "cross", "stripes"))
    before = load_gallery_keys(folder)
    done = subprocess.run(
        [sys.executable, "-c", KILLED_ADD_SCRIPT, str(folder)],
        env=os.environ | {"PYTHONPATH": python_path()},
        check=True,
        capture_output=True,
        text=True,
    )
    result = [json.loads(line) for line in done.stdout.splitlines()]
    for _, classes, keys in result:
        assert tuple(map(tuple, keys[:3])) == before
        assert len(keys) == len(classes)
    ended = [code for code, _, _ in result]
    assert len(ended) == 6
    assert ended[0] == -signal.SIGKILL
    assert ended[-1] == 0
    assert load_gallery_keys(folder)[3] == ("a", "b", "c")


def test_gallery_keeps_representative_images() -> None:
    centres = unit_vectors(MAX_GALLERY_IMAGES, 32, 0)
    near = np.repeat(centres, 3, axis=0) + 0.01 * unit_vectors(3 * MAX_GALLERY_IMAGES, 32, 1)
    x = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    representatives = choose_representatives(x, MAX_GALLERY_IMAGES)
    assert sorted(set(representatives // 3)) == list(range(MAX_GALLERY_IMAGES))
    y = np.zeros(len(x), np.int64)
    y[-1] = 1
    keys = [*(f"k{n}" for n in range(len(x) - 2)), "k0", "other"]
    head = build_gallery(x, y, keys, 2)
    assert [len(row) for row in head.keys] == [MAX_GALLERY_IMAGES, 1]
    assert len(set(head.keys[0])) == MAX_GALLERY_IMAGES
    assert head.vectors.shape == (2, MAX_GALLERY_IMAGES, 32)
    assert (head.vectors[1] == head.vectors[1, :1]).all()

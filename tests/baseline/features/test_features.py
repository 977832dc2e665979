"""Computed features and their cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_dataset import fill
from torch import nn

from baseline.data import pixels
from baseline.features.backbone import ImageShape
from baseline.features.backbones import load_backbone
from baseline.features.features import Features, FeatureSpec, compute_features
from baseline.features.shipped_backbones import LiteBackbone
from baseline.features.timm_backbone import Extractor
from baseline.settings import Precision
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.records import Sample
from gleanset.work.pool import Processes, Threads

ROOT = Path(__file__).parents[3]
OTHER = "mobilenetv3_small_050"
SPEC = FeatureSpec("efficientnet_lite0", "none", 32, 3, "characters", 1, "fp32")


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with Dataset.create(tmp_path / "dataset") as new_dataset:
        fill(new_dataset, 4)
        yield new_dataset


def samples(dataset: Dataset) -> list[Sample]:
    return list(dataset.samples.iter_in_splits())


def shards(dataset: Dataset) -> list[Path]:
    return sorted((dataset.cache / "features").rglob("*.vectors"))


def features_equal(first: Features, second: Features) -> bool:
    return first.keys == second.keys and np.array_equal(first.vectors, second.vectors)


def test_features_are_cached_and_damage_is_repaired(dataset: Dataset) -> None:
    requested = samples(dataset)
    first = compute_features(dataset, requested, SPEC)
    assert first.vectors.shape == (12, 2, LiteBackbone().width)
    assert first.keys == tuple(sample.key for sample in requested)
    assert not np.array_equal(first.vectors[:, 0], first.vectors[:, 1])
    assert np.array_equal(first.plain, first.vectors[:, 0])
    (shard,) = shards(dataset)
    before = shard.stat().st_mtime_ns

    pictures = dataset.root / "images"
    pictures.rename(dataset.root / "away")
    assert features_equal(compute_features(dataset, requested, SPEC), first)
    assert shards(dataset) == [shard]
    assert shard.stat().st_mtime_ns == before
    (dataset.root / "away").rename(pictures)

    data = bytearray(shard.read_bytes())
    data[-3] ^= 1
    shard.write_bytes(data)
    assert features_equal(compute_features(dataset, requested, SPEC), first)
    shards(dataset)[0].write_bytes(data[:100])
    assert features_equal(compute_features(dataset, requested, SPEC), first)


def test_missing_features_are_added(dataset: Dataset) -> None:
    requested = samples(dataset)
    one_view = replace(SPEC, views=0)
    partial = compute_features(dataset, requested[3:5], one_view)
    compute_features(dataset, requested[4:7], SPEC)
    pieced = compute_features(dataset, requested, SPEC)
    assert len(shards(dataset)) == 3
    for shard in shards(dataset):
        shard.unlink()
    assert features_equal(pieced, compute_features(dataset, requested, SPEC))
    assert np.array_equal(pieced.plain[3:5], partial.plain)
    turned = compute_features(dataset, [requested[1], requested[0]], SPEC)
    assert np.array_equal(turned.vectors, pieced.vectors[[1, 0]])


def test_process_readers_match_thread_readers(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested = samples(dataset)
    by_threads = compute_features(dataset, requested, SPEC)
    assert isinstance(pixels.choose_readers(24), Threads)
    shards(dataset)[0].unlink()
    monkeypatch.setattr(pixels, "IMAGES_PER_PROCESS", 8)
    assert isinstance(pixels.choose_readers(24), Processes)
    assert features_equal(compute_features(dataset, requested, SPEC), by_threads)


def test_features_depend_on_settings_and_crop(dataset: Dataset) -> None:
    requested = samples(dataset)[:2]
    first = compute_features(dataset, requested, SPEC)
    for other in (replace(SPEC, seed=1), replace(SPEC, size=40), replace(SPEC, augment="photos")):
        assert not np.array_equal(
            compute_features(dataset, requested, other).vectors, first.vectors
        )
    plain = compute_features(dataset, requested, replace(SPEC, augment="none"))
    assert plain.vectors.shape[1] == 1
    assert np.array_equal(plain.plain, first.plain)
    turned = [replace(requested[0], angle=20.0), requested[1]]
    assert not np.array_equal(compute_features(dataset, turned, SPEC).vectors[0], first.vectors[0])


def test_unreadable_images_are_left_out(dataset: Dataset) -> None:
    requested = samples(dataset)
    damaged = requested[2]
    dataset.image_path(damaged.image, "PNG").write_bytes(b"no image")
    result = compute_features(dataset, requested, SPEC)
    assert result.keys == tuple(s.key for s in requested if s.key != damaged.key)
    assert len(result.vectors) == 11
    with pytest.raises(InputUnusable, match="all 1 images") as error:
        compute_features(dataset, [damaged], SPEC)
    assert error.value.fix
    assert compute_features(dataset, [], SPEC).vectors.shape[:2] == (0, 2)


@pytest.mark.parametrize(
    ("name", "precision"), [(SPEC.backbone, "fp32"), (OTHER, "fp32"), (OTHER, "bf16")]
)
def test_features_are_independent_of_batch(name: str, precision: Precision) -> None:
    extractor = load_backbone(name, "none")[0].extractor(ImageShape(3, 32), precision)
    pictures = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), np.uint8)
    together = extractor(pictures)
    assert np.array_equal(extractor(pictures[37:38])[0], together[37])
    assert np.array_equal(extractor(pictures[::-1])[::-1], together)


class OutOfMemoryNet(nn.Module):
    """Network that always runs out of memory."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError


def test_out_of_memory_hints_at_size() -> None:
    extractor = Extractor(nn.AvgPool2d(8), ImageShape(3, 8), "fp32")
    extractor.net = OutOfMemoryNet()
    with pytest.raises(UsageError, match="out of memory with 32 images at once") as caught:
        extractor(np.zeros((21, 3, 8, 8), np.uint8))
    assert "-o size=" in caught.value.fix


def test_non_finite_features_raise_error() -> None:
    for name in (SPEC.backbone, OTHER):
        backbone = load_backbone(name, "none")[0]
        first, *rest = backbone.state.items()
        backbone.fill({first[0]: np.full_like(first[1], np.nan), **dict(rest)})
        with pytest.raises(InputUnusable, match="not finite numbers"):
            backbone.extractor(ImageShape(3, 32), "fp32")(np.zeros((1, 3, 32, 32), np.uint8))

"""Features: cached, killed, damaged, and equal however they came about."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_dataset import fill
from tools_for_tests import eventually, python_path
from torch import nn

from baseline.data import pixels
from baseline.features import features
from baseline.features.backbone import ImageShape
from baseline.features.backbones import load_backbone
from baseline.features.features import Features, FeatureSpec, compute_features
from baseline.features.shipped_backbones import LiteBackbone
from baseline.features.timm_backbone import Extractor, TimmNetwork, fold_norms
from baseline.settings import Precision
from curation.similarity import vectors as store
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.records import Sample
from gleanset.work.pool import Processes, Threads

ROOT = Path(__file__).parents[3]
OTHER = "mobilenetv3_small_050"
SPEC = FeatureSpec("efficientnet_lite0", "none", 32, 3, "characters", 1, "fp32")


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with Dataset.create(tmp_path / "dataset") as made:
        fill(made, 4)
        yield made


def samples(dataset: Dataset) -> list[Sample]:
    return list(dataset.samples.iter_in_splits())


def shards(dataset: Dataset) -> list[Path]:
    return sorted((dataset.cache / "features").rglob("*.vectors"))


def equal(one: Features, two: Features) -> bool:
    return one.keys == two.keys and np.array_equal(one.vectors, two.vectors)


def test_a_second_run_only_reads_and_a_damaged_shard_is_made_anew(dataset: Dataset) -> None:
    wanted = samples(dataset)
    first = compute_features(dataset, wanted, SPEC)
    assert first.vectors.shape == (12, 2, LiteBackbone().width)
    assert first.keys == tuple(sample.key for sample in wanted)
    assert not np.array_equal(first.vectors[:, 0], first.vectors[:, 1])
    assert np.array_equal(first.plain, first.vectors[:, 0])
    (shard,) = shards(dataset)
    before = shard.stat().st_mtime_ns

    pictures = dataset.root / "images"
    pictures.rename(dataset.root / "away")
    assert equal(compute_features(dataset, wanted, SPEC), first)
    assert shards(dataset) == [shard]
    assert shard.stat().st_mtime_ns == before
    (dataset.root / "away").rename(pictures)

    data = bytearray(shard.read_bytes())
    data[-3] ^= 1
    shard.write_bytes(data)
    assert equal(compute_features(dataset, wanted, SPEC), first)
    shards(dataset)[0].write_bytes(data[:100])
    assert equal(compute_features(dataset, wanted, SPEC), first)


def test_what_is_missing_is_added_and_equal_to_what_came_at_once(dataset: Dataset) -> None:
    wanted = samples(dataset)
    one_view = replace(SPEC, views=0)
    some = compute_features(dataset, wanted[3:5], one_view)
    compute_features(dataset, wanted[4:7], SPEC)
    pieced = compute_features(dataset, wanted, SPEC)
    assert len(shards(dataset)) == 3
    for shard in shards(dataset):
        shard.unlink()
    assert equal(pieced, compute_features(dataset, wanted, SPEC))
    assert np.array_equal(pieced.plain[3:5], some.plain)
    twice = compute_features(dataset, [wanted[1], wanted[0], wanted[1]], SPEC)
    assert np.array_equal(twice.vectors, pieced.vectors[[1, 0, 1]])


def test_processes_read_many_pictures_as_a_thread_reads_a_few(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = samples(dataset)
    few = compute_features(dataset, wanted, SPEC)
    assert isinstance(pixels.choose_readers(24), Threads)
    shards(dataset)[0].unlink()
    monkeypatch.setattr(pixels, "IMAGES_PER_PROCESS", 8)
    assert isinstance(pixels.choose_readers(24), Processes)
    assert equal(compute_features(dataset, wanted, SPEC), few)


def test_other_pixels_or_weights_are_other_features(dataset: Dataset) -> None:
    wanted = samples(dataset)[:2]
    first = compute_features(dataset, wanted, SPEC)
    for other in (replace(SPEC, seed=1), replace(SPEC, size=40), replace(SPEC, augment="photos")):
        assert not np.array_equal(compute_features(dataset, wanted, other).vectors, first.vectors)
    plain = compute_features(dataset, wanted, replace(SPEC, augment="none"))
    assert plain.vectors.shape[1] == 1
    assert np.array_equal(plain.plain, first.plain)
    turned = [replace(wanted[0], angle=20.0), wanted[1]]
    assert not np.array_equal(compute_features(dataset, turned, SPEC).vectors[0], first.vectors[0])


def test_unreadable_pictures_are_left_out(dataset: Dataset) -> None:
    wanted = samples(dataset)
    lost = wanted[2]
    dataset.image_path(lost.image, "PNG").write_bytes(b"no image")
    result = compute_features(dataset, wanted, SPEC)
    assert result.keys == tuple(s.key for s in wanted if s.key != lost.key)
    assert len(result.vectors) == 11
    with pytest.raises(InputUnusable, match="all 1 images") as error:
        compute_features(dataset, [lost], SPEC)
    assert error.value.fix
    assert compute_features(dataset, [], SPEC).vectors.shape[:2] == (0, 2)


def extraction(root: Path, log: Path) -> subprocess.Popen[bytes]:
    """A process that extracts slowly: it writes each vector, and tells when it did."""
    code = f"""
import curation.similarity.vectors as cache
assert cache.MAX_FILE_ROWS > 2  # so named: what is set here is read
cache.MAX_FILE_ROWS = 2
from baseline.features import features
assert features.READ_AHEAD_IMAGES > 4
features.READ_AHEAD_IMAGES = 4
from baseline.features.features import FeatureSpec, compute_features
from gleanset import Dataset
from curation.similarity import vectors as store
if __name__ == "__main__":
    with Dataset.open({str(root)!r}) as dataset:
        spec = FeatureSpec("efficientnet_lite0", "none", 32, 3, "characters", 1, "fp32")
        open({str(log)!r}, "w").close()
        compute_features(dataset, list(dataset.samples.iter_in_splits()), spec)
"""
    environment = os.environ | {"PYTHONPATH": python_path()}
    return subprocess.Popen([sys.executable, "-c", code], env=environment)


@pytest.mark.long
def test_a_killed_extraction_and_two_at_once_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Dataset.create(tmp_path / "dataset") as dataset:
        fill(dataset, 16)
        wanted = samples(dataset)
        killed = extraction(dataset.root, tmp_path / "log")
        until = time.monotonic() + 600
        while not shards(dataset) and killed.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.01)
        killed.kill()
        assert killed.wait() == -9
        left = {path: path.stat().st_mtime_ns for path in shards(dataset)}
        assert 0 < len(left) < 48

        # Another process, and this one as soon as the other begins.
        other = extraction(dataset.root, tmp_path / "other")
        assert eventually((tmp_path / "other").exists, 600)
        with monkeypatch.context() as patch:
            patch.setattr(store, "MAX_FILE_ROWS", 2)
            patch.setattr(features, "READ_AHEAD_IMAGES", 4)
            compute_features(dataset, wanted, SPEC)
        assert other.wait(600) == 0
        there = {path: path.stat().st_mtime_ns for path in shards(dataset)}
        assert there | left == there
        pieced = compute_features(dataset, wanted, SPEC)
        assert shards(dataset) == sorted(there)
        for shard in there:
            shard.unlink()
        assert equal(compute_features(dataset, wanted, SPEC), pieced)


@pytest.mark.parametrize(
    ("name", "precision"), [(SPEC.backbone, "fp32"), (OTHER, "fp32"), (OTHER, "bf16")]
)
def test_a_vector_does_not_depend_on_its_company(name: str, precision: Precision) -> None:
    extractor = load_backbone(name, "none")[0].extractor(ImageShape(3, 32), precision)
    pictures = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), np.uint8)
    together = extractor(pictures)
    assert np.array_equal(extractor(pictures[37:38])[0], together[37])
    assert np.array_equal(extractor(pictures[::-1])[::-1], together)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "test_resnet"])
def test_folding_takes_away_the_norms_and_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    network = TimmNetwork(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    x = torch.rand(3, 3, 64, 64)
    made = fold_norms(network, x)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
    with torch.inference_mode():
        expected = network.eval()(x)
        assert torch.allclose(made(x), expected, rtol=1e-3, atol=1e-4 * float(expected.max()))


class Shared(nn.Module):
    """Uses what the convolution gives twice, so its norm must not be folded into it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        nn.init.constant_(self.norm.weight, 3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = self.conv(x)
        return (self.norm(result) + result).mean((2, 3))


def test_nothing_is_folded_where_it_would_change_the_outcome() -> None:
    net, x = Shared().eval(), torch.rand(2, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(fold_norms(net, x)(x), net(x))


class Narrow(nn.Module):
    """Has no memory."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError


def test_a_full_memory_says_what_to_change() -> None:
    extractor = Extractor(nn.AvgPool2d(8), ImageShape(3, 8), "fp32")
    extractor.net = Narrow()
    with pytest.raises(UsageError, match="out of memory with 32 images at once") as caught:
        extractor(np.zeros((21, 3, 8, 8), np.uint8))
    assert "-o size=" in caught.value.fix


def test_weights_that_give_no_numbers_are_told() -> None:
    for name in (SPEC.backbone, OTHER):
        backbone = load_backbone(name, "none")[0]
        first, *rest = backbone.state.items()
        backbone.fill({first[0]: np.full_like(first[1], np.nan), **dict(rest)})
        with pytest.raises(InputUnusable, match="not finite numbers"):
            backbone.extractor(ImageShape(3, 32), "fp32")(np.zeros((1, 3, 32, 32), np.uint8))

"""Features: their cache, blocks of several backbones, block weights."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from drawn_dataset import fill
from torch import nn

from baseline.data import pixels
from baseline.features.backbone import Backbone, FeaturePart, ImageShape
from baseline.features.backbones import JoinedBackbone, build_backbone, load_backbone
from baseline.features.features import Features, FeatureSpec, compute_features
from baseline.features.graph_backbones import IdentityBackbone, LiteBackbone
from baseline.features.scaling import Scaling
from baseline.features.texture import PartWeights, parse_part_weights
from baseline.features.timm_backbone import Extractor
from baseline.settings import Precision
from baseline.train.methods.logistic import (
    TrainRows,
    choose_part_weights,
)
from curation.similarity.color_layout import WIDTH, average_areas, compute_color_layout
from curation.similarity.descriptor import compute_identity_vector
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.records import Sample
from gleanset.work.pool import Processes, Threads
from gleanset.work.progress import NO_PROGRESS

ROOT = Path(__file__).parents[3]
OTHER = "mobilenetv3_small_050"
NETWORK = "efficientnet_lite0"
SPEC = FeatureSpec(NETWORK, "none", 32, 3, "characters", 1, "fp32")


@pytest.fixture
def dataset(empty: Dataset) -> Dataset:
    fill(empty, 4)
    return empty


def samples(dataset: Dataset) -> list[Sample]:
    return list(dataset.samples.iter_in_splits())


def shards(dataset: Dataset) -> list[Path]:
    return sorted((dataset.cache / "features").rglob("*.vectors"))


def compute(dataset: Dataset, requested: list[Sample], spec: FeatureSpec) -> Features:
    return compute_features(dataset, requested, spec, NO_PROGRESS, spec.load())


def features_equal(first: Features, second: Features) -> bool:
    return first.keys == second.keys and np.array_equal(first.vectors, second.vectors)


def test_features_are_cached_and_damage_is_repaired(dataset: Dataset) -> None:
    requested = samples(dataset)
    first = compute(dataset, requested, SPEC)
    assert first.vectors.shape == (12, 2, LiteBackbone().width)
    assert first.keys == tuple(sample.key for sample in requested)
    assert not np.array_equal(first.vectors[:, 0], first.vectors[:, 1])
    assert np.array_equal(first.plain, first.vectors[:, 0])
    (shard,) = shards(dataset)
    before = shard.stat().st_mtime_ns

    pictures = dataset.root / "images"
    pictures.rename(dataset.root / "away")
    assert features_equal(compute(dataset, requested, SPEC), first)
    assert (shards(dataset), shard.stat().st_mtime_ns) == ([shard], before)
    (dataset.root / "away").rename(pictures)

    data = bytearray(shard.read_bytes())
    data[-3] ^= 1
    shard.write_bytes(data)
    assert features_equal(compute(dataset, requested, SPEC), first)
    shards(dataset)[0].write_bytes(data[:100])
    assert features_equal(compute(dataset, requested, SPEC), first)


def test_missing_features_are_added(dataset: Dataset) -> None:
    requested = samples(dataset)
    one_view = SPEC._replace(views=0)
    partial = compute(dataset, requested[3:5], one_view)
    compute(dataset, requested[4:7], SPEC)
    pieced = compute(dataset, requested, SPEC)
    assert len(shards(dataset)) == 3
    for shard in shards(dataset):
        shard.unlink()
    assert features_equal(pieced, compute(dataset, requested, SPEC))
    assert np.array_equal(pieced.plain[3:5], partial.plain)
    turned = compute(dataset, [requested[1], requested[0]], SPEC)
    assert np.array_equal(turned.vectors, pieced.vectors[[1, 0]])


def test_process_readers_match_thread_readers(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested = samples(dataset)
    by_threads = compute(dataset, requested, SPEC)
    assert isinstance(pixels.choose_readers(24), Threads)
    shards(dataset)[0].unlink()
    monkeypatch.setattr(pixels, "IMAGES_PER_PROCESS", 8)
    assert isinstance(pixels.choose_readers(24), Processes)
    assert features_equal(compute(dataset, requested, SPEC), by_threads)


def test_features_depend_on_settings_and_crop(dataset: Dataset) -> None:
    requested = samples(dataset)[:2]
    first = compute(dataset, requested, SPEC)
    for other in (
        SPEC._replace(seed=1),
        SPEC._replace(size=40),
        SPEC._replace(augment="photos"),
    ):
        assert not np.array_equal(
            compute(dataset, requested, other).vectors, first.vectors
        )
    plain = compute(dataset, requested, SPEC._replace(augment="none"))
    assert plain.vectors.shape[1] == 1
    assert np.array_equal(plain.plain, first.plain)
    turned = [replace(requested[0], angle=20.0), requested[1]]
    assert not np.array_equal(
        compute(dataset, turned, SPEC).vectors[0], first.vectors[0]
    )


def test_unreadable_images_are_left_out(dataset: Dataset) -> None:
    requested = samples(dataset)
    damaged = requested[2]
    dataset.image_path(damaged.image, "PNG").write_bytes(b"no image")
    result = compute(dataset, requested, SPEC)
    assert result.keys == tuple(s.key for s in requested if s.key != damaged.key)
    assert len(result.vectors) == 11
    with pytest.raises(InputUnusable, match="all 1 images") as error:
        compute(dataset, [damaged], SPEC)
    assert error.value.fix
    assert compute(dataset, [], SPEC).vectors.shape[:2] == (0, 2)


@pytest.mark.parametrize(
    ("name", "precision"), [(SPEC.backbone, "fp32"), (OTHER, "fp32"), (OTHER, "bf16")]
)
def test_features_are_independent_of_batch(name: str, precision: Precision) -> None:
    extractor = load_backbone(name, "none")[0].extractor(ImageShape(3, 32), precision)
    pictures = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), np.uint8)
    together = extractor(pictures)
    assert np.array_equal(extractor(pictures[37:38])[0], together[37])
    assert np.array_equal(extractor(pictures[::-1])[::-1], together)


def test_out_of_memory_hints_at_size() -> None:
    extractor = Extractor(nn.AvgPool2d(8), ImageShape(3, 8), "fp32")
    extractor.net = Mock(side_effect=torch.OutOfMemoryError)
    with pytest.raises(
        UsageError, match="out of memory with 32 images at once"
    ) as caught:
        extractor(np.zeros((21, 3, 8, 8), np.uint8))
    assert "-o size=" in caught.value.fix


def test_non_finite_features_raise_error() -> None:
    for name in (SPEC.backbone, OTHER):
        backbone = load_backbone(name, "none")[0]
        first, *rest = backbone.state.items()
        backbone.fill({first[0]: np.full_like(first[1], np.nan), **dict(rest)})
        with pytest.raises(InputUnusable, match="not finite numbers"):
            backbone.extractor(ImageShape(3, 32), "fp32")(
                np.zeros((1, 3, 32, 32), np.uint8)
            )


def extract(backbone: Backbone, pictures: np.ndarray) -> np.ndarray:
    return backbone.extractor(ImageShape(*pictures.shape[1:3]), "fp32")(pictures)


@pytest.mark.parametrize("size", [32, 56, 97, 224])
@pytest.mark.parametrize("kind", ["colours", "faces"])
def test_shipped_features_are_the_same_in_numpy_and_onnx(kind: str, size: int) -> None:
    noise = np.random.default_rng(size).integers(0, 256, (3, 9, 9, 3), np.uint8)
    pictures = np.ascontiguousarray(noise.repeat(25, 1).repeat(25, 2)[:, :size, :size])
    pictures[0, :4] = 255
    backbone = build_backbone(kind)
    compute = compute_color_layout if kind == "colours" else compute_identity_vector
    expected = np.stack([compute(average_areas(picture)) for picture in pictures])
    planes = pictures.transpose(0, 3, 1, 2)
    tolerance = 1e-4 if kind == "colours" else 1e-5
    assert np.abs(expected - extract(backbone, planes)).max() < tolerance
    grey = extract(backbone, planes[:, :1])
    assert np.allclose(grey, extract(backbone, planes[:, :1].repeat(3, 1)), atol=1e-5)


def test_run_keeps_its_identity_network(tmp_path: Path) -> None:
    backbone = IdentityBackbone(None)
    for name, data in backbone.run_files.items():
        (tmp_path / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    loaded = build_backbone("faces", tmp_path)
    assert loaded.identity != backbone.identity
    assert build_backbone("faces").identity == backbone.identity


def test_joined_backbone() -> None:
    joined, result = load_backbone(f"{NETWORK}+colours", "none")
    network, _ = load_backbone(NETWORK, "none")
    assert isinstance(joined, JoinedBackbone)
    assert [part.name for part in joined.parts] == [NETWORK, "colours"]
    assert joined.width == network.width + WIDTH == len(joined.emphasis)
    assert sum(joined.layers) == joined.width
    assert len(network.layers) == 6, "five stages, and what comes before the classes"
    assert result.source == "none"
    x = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    assert np.array_equal(
        extract(joined, x),
        np.concatenate([extract(member, x) for member in joined.members], 1),
    )
    for wrong in ("", f"{NETWORK}+", "colours+colours"):
        with pytest.raises(UsageError, match="empty or repeated"):
            build_backbone(wrong)


def test_joined_backbone_reuses_cached_features(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        fill(dataset, 8)
        samples = list(dataset.samples.iter_in_splits())
        network = compute(dataset, samples, SPEC)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.vectors")}
        joined = compute(dataset, samples, SPEC._replace(backbone=f"{NETWORK}+colours"))
        colours = compute(dataset, samples, SPEC._replace(backbone="colours"))
        assert np.array_equal(
            joined.vectors, np.concatenate((network.vectors, colours.vectors), 2)
        )
        after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.vectors")}
        assert before.items() < after.items()


PARTS = (FeaturePart("network", True, (20,)), FeaturePart("colours", False, (12,)))


def make_rows(informative: str, classes: int = 4, each: int = 12) -> TrainRows:
    """Draw features with one informative block, in groups of three."""
    random = np.random.default_rng(5)
    y = np.arange(classes).repeat(each)
    x = random.normal(size=(len(y), 32)) + random.normal(size=(len(y) // 3, 32)).repeat(
        3, 0
    )
    first = 0 if informative == "network" else 20
    x[:, first : first + 12] += 2.0 * random.normal(size=(classes, 12))[y]
    return TrainRows(x, y, np.ones(len(y)), np.arange(len(y)) // 3)


class StubBackbone:
    """The attributes of a backbone that `Scaling` needs."""

    parts = PARTS
    emphasis = np.ones(32)


EXPECTED = PartWeights((1.0, 0.5), "they are pictures")


@pytest.mark.parametrize(
    ("informative", "lowest", "highest"), [("colours", 0.7, 9), ("network", 0, 0.4)]
)
def test_informative_block_gets_higher_weight(
    informative: str, lowest: float, highest: float
) -> None:
    rows = make_rows(informative)
    plain = Scaling.fit(rows.x, StubBackbone).transform(rows.x).astype(np.float64)  # type: ignore[arg-type]
    weights = choose_part_weights(rows._replace(x=plain), PARTS, EXPECTED, 0)
    assert lowest <= weights.weights[1] <= highest
    assert "by group in train" in weights.by
    as_json = weights.to_json(PARTS)["parts"]
    assert as_json == {"network": 1.0, "colours": weights.weights[1]}


def test_block_variance_follows_weight() -> None:
    x = make_rows("network").x
    spread = Scaling.fit(x, StubBackbone, (1.0, 0.5)).transform(x).var(0)  # type: ignore[arg-type]
    assert spread[20:].sum() == pytest.approx(0.25 * spread[:20].sum(), rel=1e-4)
    without = Scaling.fit(x, StubBackbone, (1.0, 0.0))  # type: ignore[arg-type]
    assert not without.transform(x)[..., 20:].any()
    assert parse_part_weights("auto", PARTS) is None
    with pytest.raises(UsageError, match="part_weights needs 1"):
        parse_part_weights("0.5,1", PARTS)


def test_tiny_train_uses_prior_block_weights() -> None:
    rows = make_rows("colours", each=3).at(np.array([0, 3, 6, 9]))
    weights = choose_part_weights(rows, PARTS, EXPECTED, 0)
    assert weights.weights == EXPECTED.weights
    assert "too small" in weights.by

"""Pixels of samples: fit to a square, and their cache."""

import json
import os
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from drawn_dataset import put_whole
from filelock import FileLock
from PIL import Image
from tools_for_tests import WITHOUT_POSIX

import baseline
from baseline.data import pixels
from baseline.data.pixels import PixelReader, PixelSource, decode_all, to_square_pixels
from baseline.data.runs import SETTINGS
from baseline.data.samples import find_examples, load_arrays
from baseline.evaluation.decision_rule import DecisionRule, save_decision_rule
from baseline.features.features import FeatureSpec, compute_features
from baseline.features.graph_backbones import SmallBackbone
from baseline.settings import Fit, load_preset
from baseline.train.networks import SmallNet
from baseline.train.networks import to_trained_net as made_by
from baseline.train.trained_net import save_model
from baseline.use.export.export_run import export_run
from gleanset import Box, Dataset
from gleanset.db.journal import Choice
from gleanset.files.atomic import PARTIAL_PREFIX
from gleanset.work.progress import NO_PROGRESS, Progress

SIZE = 32
FITS: tuple[Fit, ...] = ("stretch", "crop")
TINY = {"size": str(SIZE), "blocks": "4,8", "dense": "8"}
RUN = "run"


def noise_image(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


@pytest.fixture
def dataset(empty: Dataset) -> Dataset:
    """Dataset of tall and wide images of two classes."""
    keys = [
        put_whole(empty, noise_image(*sides, seed), str(seed))
        for seed, sides in enumerate([(40, 90), (90, 40), (64, 64), (50, 70)])
    ]
    labels = zip(keys, "abab", strict=True)
    empty.journal.apply("Label", [Choice(key, "label", label) for key, label in labels])
    empty.samples.set_splits({key: (key, "train") for key in keys})
    return empty


@pytest.mark.parametrize(
    ("sides", "square"),
    [
        ((40, 90), (0, 0, 40, 40)),  # heads are at the top
        ((90, 40), (25, 0, 65, 40)),
        ((64, 64), (0, 0, 64, 64)),
        ((1, 50), (0, 0, 1, 1)),
    ],
)
def test_crop_fit_takes_top_or_middle(
    sides: tuple[int, int], square: tuple[int, int, int, int]
) -> None:
    picture = noise_image(*sides)
    expected = to_square_pixels(picture.crop(square), SIZE, "stretch")
    assert np.array_equal(to_square_pixels(picture, SIZE, "crop"), expected)
    is_uncropped = np.array_equal(to_square_pixels(picture, SIZE, "stretch"), expected)
    assert is_uncropped == (sides[0] == sides[1])


def test_cache_separates_fits(dataset: Dataset) -> None:
    examples = find_examples(dataset)
    settings = {fit: load_preset("simple", TINY | {"fit": fit}) for fit in FITS}
    for _ in range(2):
        pixels = [
            load_arrays(dataset, examples, each, "train") for each in settings.values()
        ]
        changed = [
            not np.array_equal(*pair)
            for pair in zip(*(p.x for p in pixels), strict=True)
        ]
        sides = [sample.box[2:] for sample in examples.splits["train"]]
        assert changed == [width != height for width, height in sides]
    spec = FeatureSpec("colours", "none", SIZE)
    samples = examples.splits["train"]
    stretched, cropped = (
        compute_features(dataset, samples, each, NO_PROGRESS, each.load()).plain
        for each in (spec._replace(fit=fit) for fit in FITS)
    )
    assert [
        not np.array_equal(*rows) for rows in zip(stretched, cropped, strict=True)
    ] == changed


def test_prediction_and_export_use_fit_of_training(
    dataset: Dataset, tmp_path: Path
) -> None:
    settings = load_preset("simple", TINY | {"fit": "crop"})
    folder = dataset.root / "runs" / RUN
    dataset.runs.start(RUN, "baseline", settings.to_json())
    net = made_by(SmallNet(settings, 2), settings, SmallBackbone(settings))
    save_model(folder, net, settings, ("a", "b"))
    save_decision_rule(folder, DecisionRule(1.0))
    dataset.runs.finish(RUN, "done", {})

    examples = find_examples(dataset)
    training_arrays = load_arrays(dataset, examples, settings, "train")
    model = baseline.load(folder)
    expected = model.embed_pixels(training_arrays.x.transpose(0, 2, 3, 1))
    samples = {sample.key: sample for sample in examples.splits["train"]}
    paths = [
        dataset.image_path(samples[key].image, "PNG") for key in training_arrays.keys
    ]
    assert np.array_equal(model.embed(paths), expected)

    out = tmp_path / "model.onnx"
    assert export_run(dataset.root, RUN, out, "fp32").agreement == 1
    exported = baseline.load(out)
    assert exported.facts.fit == "crop"
    assert np.allclose(exported.embed(paths), expected, atol=1e-5)
    assert (
        "top of a tall one"
        in json.loads(out.with_suffix(".onnx.json").read_text())["input"]
    )

    described = json.loads((folder / SETTINGS).read_text())
    described["settings"]["fit"] = "stretch"
    (folder / SETTINGS).write_text(json.dumps(described))
    stretched = baseline.load(folder)
    assert stretched.facts.fit == "stretch"
    assert not np.allclose(stretched.embed(paths), expected)


GREY = PixelReader(16, 1)


def make_sources(folder: Path, count: int, channels: int = 3) -> list[PixelSource]:
    random = np.random.default_rng(0)
    sources = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(random.integers(0, 256, (16, 16, channels), np.uint8)).save(
            path
        )
        sources.append(
            PixelSource(f"k{number}", folder / "no crop", path, Box(0, 0, 16, 16))
        )
    return sources


class CountingProgress(Progress):
    """Progress that counts decoded images."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.seen = 0

    def over(self, items, what, total=None, unit=""):  # type: ignore[no-untyped-def]
        for item in items:
            self.seen += 1
            yield item


def test_decoded_pixels_are_cached(tmp_path: Path) -> None:
    sources = make_sources(tmp_path, 3)
    cache = tmp_path / "cache"
    count = CountingProgress()
    rgb = PixelReader(16, 3)
    first = decode_all(cache, sources, rgb, count)
    assert (count.seen, first.rows) == (3, (0, 1, 2))
    for row, source in enumerate(sources):
        with Image.open(source.original) as picture:
            assert np.array_equal(first.x[row].transpose(1, 2, 0), np.asarray(picture))
    assert isinstance(first.x.base.base, np.memmap)
    assert np.array_equal(decode_all(cache, sources, rgb, count).x, first.x)
    assert (count.seen, decode_all(cache, [], rgb).x.shape) == (3, (0, 3, 16, 16))
    assert decode_all(cache, sources, PixelReader(8, 1), count).x.shape == (
        3,
        1,
        8,
        8,
    )
    Image.new("RGB", (16, 16), (7, 7, 7)).save(sources[0].original)
    os.utime(sources[0].original, ns=(1, 1))
    assert (decode_all(cache, sources, rgb, count).x[0] == 7).all()
    assert count.seen == 9


def test_unreadable_images_are_retried(tmp_path: Path) -> None:
    sources = make_sources(tmp_path, 4)
    cache = tmp_path / "cache"
    intact = Path(sources[1].original).read_bytes()
    Path(sources[1].original).write_bytes(intact[:50])
    decoded = decode_all(cache, sources, GREY)
    assert decoded.rows == (0, 2, 3)
    with Image.open(sources[3].original) as last:
        assert np.array_equal(decoded.x[2, 0], np.asarray(last.convert("L")))
    # Windows keeps a mapped file until the next decoding.
    assert len(list(cache.iterdir())) == 1 + WITHOUT_POSIX
    del decoded
    Path(sources[1].original).write_bytes(intact)
    assert decode_all(cache, sources, GREY).rows == (0, 1, 2, 3)
    assert {path.suffix for path in cache.iterdir()} == {".pixels", ""}


def test_old_and_partial_files_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "MAX_CACHED_FILES", 1)
    sources = make_sources(tmp_path, 3)
    cache = tmp_path / "cache"
    cache.mkdir()
    left = cache / f"{PARTIAL_PREFIX}0123456789abcdef"
    left.write_bytes(b"half")
    for number, source in enumerate(sources):
        decode_all(cache, [source], GREY)
        for path in cache.iterdir():
            os.utime(path, (number, number))
    assert len(list(cache.glob("*.pixels"))) == 2
    assert not left.exists()


def test_concurrent_decoding_waits_for_lock(tmp_path: Path) -> None:
    sources = make_sources(tmp_path, 2)
    cache = tmp_path / "cache"
    cache.mkdir()
    rows: list[tuple[int, ...]] = []
    with FileLock(cache / ".lock"):
        other = Thread(
            target=lambda: rows.append(decode_all(cache, sources, GREY).rows)
        )
        other.start()
        other.join(0.2)
        assert other.is_alive()
        assert not list(cache.glob("*.pixels"))
    other.join(60)
    assert rows == [(0, 1)]

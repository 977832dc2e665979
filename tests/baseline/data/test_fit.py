"""How a picture becomes a square: the same in training, in prediction and in an exported file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_dataset import put_whole
from PIL import Image

import baseline
from baseline.data.pixels import fitted
from baseline.data.runs import SETTINGS
from baseline.data.samples import find_examples, load_arrays
from baseline.features.features import FeatureSpec, features_of
from baseline.judge.answers import DecisionRule, save_decision_rule
from baseline.settings import Fit, load_preset
from baseline.train.networks import build_net
from baseline.train.networks import learnt as made_by
from baseline.train.trained_net import save_model
from baseline.use.export.export_run import export_run
from gleanset import Dataset
from gleanset.db.journal import Choice

SIZE = 32
FITS: tuple[Fit, ...] = ("stretch", "crop")
TINY = {"size": str(SIZE), "blocks": "4,8", "dense": "8"}
RUN = "run"


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    """Tall and wide pictures of two classes, in train and in val."""
    with Dataset.create(tmp_path / "set") as made:
        keys = [
            put_whole(made, noise(*sides, seed), str(seed))
            for seed, sides in enumerate([(40, 90), (90, 40), (64, 64), (50, 70)])
        ]
        labels = zip(keys, "abab", strict=True)
        made.journal.step("Label", [Choice(key, "label", label) for key, label in labels])
        made.samples.set_splits({key: (key, "train") for key in keys}, "by hand")
        yield made


@pytest.mark.parametrize(
    ("sides", "square"),
    [
        ((40, 90), (0, 0, 40, 40)),  # heads are at the upper end
        ((90, 40), (25, 0, 65, 40)),
        ((64, 64), (0, 0, 64, 64)),
        ((1, 50), (0, 0, 1, 1)),
    ],
)
def test_a_square_is_the_upper_end_of_a_tall_picture_and_the_middle_of_a_wide_one(
    sides: tuple[int, int], square: tuple[int, int, int, int]
) -> None:
    picture = noise(*sides)
    expected = fitted(picture.crop(square), SIZE, "stretch")
    assert np.array_equal(fitted(picture, SIZE, "crop"), expected)
    whole = np.array_equal(fitted(picture, SIZE, "stretch"), expected)
    assert whole == (sides[0] == sides[1])


def test_what_is_cached_of_one_fit_does_not_serve_the_other(dataset: Dataset) -> None:
    examples = find_examples(dataset)
    settings = {fit: load_preset("simple", TINY | {"fit": fit}) for fit in FITS}
    for _ in range(2):
        pixels = [load_arrays(dataset, examples, each, "train") for each in settings.values()]
        changed = [not np.array_equal(*pair) for pair in zip(*(p.x for p in pixels), strict=True)]
        sides = [sample.box[2:] for sample in examples.splits["train"]]
        assert changed == [width != height for width, height in sides]
    spec = FeatureSpec("colours", "none", SIZE)
    samples = examples.splits["train"]
    stretched, cropped = (
        features_of(dataset, samples, replace(spec, fit=fit)).plain for fit in FITS
    )
    assert [not np.array_equal(*rows) for rows in zip(stretched, cropped, strict=True)] == changed


def test_prediction_and_export_see_what_training_saw_and_runs_of_before_stretch(
    dataset: Dataset, tmp_path: Path
) -> None:
    settings = load_preset("simple", TINY | {"fit": "crop"})
    folder = dataset.root / "runs" / RUN
    dataset.runs.begin(RUN, "baseline", settings.to_json())
    net = made_by(build_net(settings, 2), settings)
    save_model(folder, net, settings, ("a", "b"))
    save_decision_rule(folder, DecisionRule(1.0))
    dataset.runs.end(RUN, "done", {})

    examples = find_examples(dataset)
    learnt = load_arrays(dataset, examples, settings, "train")
    model = baseline.load(folder)
    expected = model.embed_pixels(learnt.x.transpose(0, 2, 3, 1))
    samples = {sample.key: sample for sample in examples.splits["train"]}
    paths = [dataset.image_path(samples[key].image, "PNG") for key in learnt.keys]
    assert np.array_equal(model.embed(paths), expected)

    out = tmp_path / "model.onnx"
    assert export_run(dataset.root, RUN, out, "fp32")["agreement"] == 1
    exported = baseline.load(out)
    assert exported.facts.fit == "crop"
    assert np.allclose(exported.embed(paths), expected, atol=1e-5)
    assert (
        "upper end of a tall one" in json.loads(out.with_suffix(".onnx.json").read_text())["input"]
    )

    described = json.loads((folder / SETTINGS).read_text())
    del described["settings"]["fit"]
    (folder / SETTINGS).write_text(json.dumps(described))
    old = baseline.load(folder)
    assert old.facts.fit == "stretch"
    assert not np.allclose(old.embed(paths), expected)

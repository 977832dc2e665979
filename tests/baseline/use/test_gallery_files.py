"""Galleries: adding and removing classes by files, and their export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from drawn_dataset import EIGHT_TO_ONE, fill

import baseline
from baseline.data.runs import WEIGHTS
from baseline.features.backbone import ImageShape
from baseline.features.backbones import load_backbone
from baseline.settings import load_preset
from baseline.train.methods.gallery import build_gallery
from baseline.train.trained_net import ClassHead, LinearLayer, TrainedNet, save_model
from baseline.use.crops import PartReader
from baseline.use.export import export_run as export_module
from baseline.use.export.export_run import export_run
from baseline.use.gallery_files import (
    CHANGES_FILE,
    GALLERY_FOLDER,
    add_files,
    count_images,
    remove_class,
)
from baseline.use.model import open_engine
from gleanset import Dataset
from gleanset.errors import DatasetBusy, InputUnusable, UsageError
from gleanset.work.stage import stage

RUN = "20261120-130000-triplet"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dataset with a triplet run on discs and stripes, without crosses."""
    root = tmp_path_factory.mktemp("gallery")
    settings = load_preset(
        "triplet",
        {"backbone": "efficientnet_lite0", "weights": "none", "size": "32", "embedding": "16"},
    )
    with Dataset.create(root) as dataset:
        truth = fill(dataset, 12, EIGHT_TO_ONE)
        keys = [key for key, label in truth.items() if label != "cross"]
        backbone = load_backbone("efficientnet_lite0", "none")[0]
        weight = np.random.default_rng(0).normal(size=(16, backbone.width)) / backbone.width**0.5
        projection = LinearLayer(weight.astype(np.float32), np.zeros(16, np.float32))
        net = TrainedNet(backbone, ClassHead(()), ImageShape(3, 32), projection)
        pixels = np.stack([sample_pixels(dataset, key) for key in keys])
        embedded = net.embed(pixels.transpose(0, 3, 1, 2))
        y = np.array([["disc", "stripes"].index(truth[key]) for key in keys])
        net.head = build_gallery(embedded, y, keys, 2)
        dataset.runs.start(RUN, "baseline", settings.to_json())
        save_model(root / "runs" / RUN, net, settings, ("disc", "stripes"))
        dataset.runs.finish(RUN, "done", {})
    return root


def sample_pixels(dataset: Dataset, key: str) -> np.ndarray:
    sample = dataset.samples.get(key)
    assert sample is not None
    return np.asarray(read_square(dataset.image_path(sample.image, "PNG")))


def read_square(path: Path) -> np.ndarray:
    from baseline.data.pixels import to_rgb_image, to_square_pixels

    return to_square_pixels(to_rgb_image(path), 32, "stretch")


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "set"))


def cross_files(root: Path) -> list[str]:
    with Dataset.open(root) as dataset:
        return [
            str(dataset.image_path(s.image, "PNG"))
            for s in dataset.samples.iter_by_key()
            if s.label == "cross"
        ]


def test_prediction_names_nearest_gallery_image(root: Path) -> None:
    model = baseline.load(root / "runs" / RUN)
    with Dataset.open(root) as dataset:
        sample = next(s for s in dataset.samples.iter_by_key() if s.label == "disc")
        answer = model.predict_image(dataset.image_path(sample.image, "PNG"))
    assert answer.nearest[0].sample == sample.key
    assert answer.nearest[0].similarity == pytest.approx(1, abs=1e-5)
    assert answer.nearest[0].label == answer.predictions[0].label == "disc"
    assert [k.similarity for k in answer.nearest] == sorted(
        (k.similarity for k in answer.nearest), reverse=True
    )


@pytest.mark.slow
def test_add_and_remove_files(root: Path, tmp_path: Path) -> None:
    folder = root / "runs" / RUN
    files = cross_files(root)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    results = add_files(folder, "cross", [*files[:8], str(bad)], PartReader(32))
    assert (results["added"], results["known"], results["rejected"]) == (8, 8, 1)
    assert count_images(folder) == {"disc": 12, "stripes": 12, "cross": 8}
    (weights,) = folder.glob("weights*")
    assert weights.name != WEIGHTS
    model = baseline.load(folder)
    answer = model.predict_image(files[0])
    assert answer.predictions[0].label == "cross"
    stored = folder / "gallery" / f"{answer.nearest[0].sample}.png"
    assert stored.read_bytes() == Path(files[0]).read_bytes()
    assert add_files(folder, "cross", files[:8], PartReader(32))["known"] == 8

    assert remove_class(folder, "cross")["images"] == 8
    assert "cross" not in baseline.load(folder).classes
    stored_files = [str(path) for path in (folder / "gallery").glob("*.png")]
    assert add_files(folder, "cross", stored_files, PartReader(32))["known"] == 8
    assert baseline.load(folder).predict_image(files[0]).nearest == answer.nearest
    result = [
        json.loads(line) for line in (folder / "gallery" / CHANGES_FILE).read_text().splitlines()
    ]
    assert [change["action"] for change in result] == ["add", "add", "remove", "add"]


def test_concurrent_change_is_refused(root: Path) -> None:
    folder = root / "runs" / RUN
    with stage(folder / "cache", GALLERY_FOLDER):
        with pytest.raises(DatasetBusy):
            add_files(folder, "cross", cross_files(root), PartReader(32))
        with pytest.raises(DatasetBusy):
            remove_class(folder, "disc")
    assert count_images(folder) == {"disc": 12, "stripes": 12}


def test_invalid_addition_changes_nothing(root: Path, run_folder: Path, tmp_path: Path) -> None:
    folder = root / "runs" / RUN
    with pytest.raises(InputUnusable, match="file is gone"):
        add_files(folder, "cross", [str(tmp_path / "gone.png")], PartReader(32))
    assert count_images(folder) == {"disc": 12, "stripes": 12}
    with pytest.raises(UsageError, match="cannot remove 'disc'"):
        remove_class(folder, "disc")  # two classes must remain
    with pytest.raises(UsageError, match="missing class name"):
        add_files(folder, " ", cross_files(root), PartReader(32))
    with pytest.raises(UsageError, match="has no gallery"):
        add_files(Path(shutil.copytree(run_folder, tmp_path / "simple")), "x", [], PartReader(32))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("added", "precision"),
    [pytest.param("cross", "int8", marks=pytest.mark.long), ("of files", "fp32")],
)
def test_auto_precision_needs_images_of_every_class(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, added: str, precision: str
) -> None:
    # Relax the other conditions of int8.
    monkeypatch.setattr(export_module, "MIN_COMPARED_IMAGES", 1)
    monkeypatch.setattr(export_module, "MIN_AGREEING_SHARE", 0)
    monkeypatch.setitem(export_module.MIN_AGREEMENT, "int8", 0)
    add_files(root / "runs" / RUN, added, cross_files(root), PartReader(32))
    assert export_run(root, RUN, tmp_path / "m.onnx", "auto")["precision"] == precision


def test_export_contains_gallery(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "triplet.onnx"
    result = export_run(root, RUN, out, "fp32")
    assert float(str(result["farthest"])) < 1e-4
    files = cross_files(root)
    first, second = open_engine(root / "runs" / RUN), open_engine(out)
    assert first.facts == second.facts
    assert second.facts.gallery is not None
    run, exported = baseline.load(root / "runs" / RUN), baseline.load(out)
    for a, b in zip(run.predict_images(files), exported.predict_images(files), strict=True):
        assert [k.sample for k in a.nearest] == [k.sample for k in b.nearest]
        assert a.nearest[0].similarity == pytest.approx(b.nearest[0].similarity, abs=1e-4)

"""Runs on embedding models of the hub: training, offline use, export."""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from embedding_models import NAME, WIDTH, publish
from filled import fill
from publisher import Hub
from tools_for_tests import run_here

import baseline
from baseline.data.runs import METRICS, run_folder
from baseline.prelabel.prelabeling import prelabel
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from baseline.use.export.export_run import export_run
from curation.similarity.color_layout import WIDTH as COLOURS
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.store import hash_file

SMALL = {"size": "24", "views": "0", "backbone": f"{NAME}+colours"}


@pytest.fixture
def root(hub: Hub, tmp_path: Path) -> Path:
    """Dataset with a `transfer` run on a hub model, which the hub no longer has."""
    root = tmp_path / "dataset"
    model = publish(hub, tmp_path, deeper=True)
    (tmp_path / "digest").write_text(hash_file(model))
    with Dataset.create(root) as dataset:
        fill(dataset, 10)
        train_run(dataset, load_preset("transfer", SMALL, dataset.pin_of))
    hub.commits.clear()
    hub.range_headers.clear()
    return root


def find_run(root: Path) -> Path:
    return next(path for path in (root / "runs").iterdir() if path.name.endswith("-transfer"))


def list_images(root: Path) -> list[Path]:
    return sorted((root / "images").glob("*/*.png"))


def test_hub_model_run_works_offline(root: Path, hub: Hub, tmp_path: Path) -> None:
    folder = shutil.copytree(find_run(root), tmp_path / "elsewhere")
    digest = (root.parent / "digest").read_text()
    model = folder / f"embedding-{digest[:16]}.onnx"
    assert hash_file(model) == digest
    metrics: dict[str, Any] = json.loads((folder / METRICS).read_text())
    training = metrics["training"]
    assert (training["backbone"], training["weights_sha256"]) == ("ccip+colours", digest)
    assert set(training["parts"]) == {"ccip", "colours"}
    assert "images are read at 24 x 24" not in (folder / "log.txt").read_text()
    head = 3 * (WIDTH + COLOURS + 1)
    assert metrics["parameters"] == WIDTH * 27 + WIDTH**2 + head
    answers = list(baseline.load(folder).predict_images(list_images(root)))
    assert len({answer.predictions[0].label for answer in answers}) == 3
    # Training again and prelabeling need no request: the dataset has the file.
    with Dataset.open(root) as dataset:
        settings = load_preset("transfer", SMALL, dataset.pin_of)
        assert train_run(dataset, settings)["run"] == find_run(root).name
        assert not hub.range_headers
        sorted_by = prelabel(dataset, settings)
    assert sorted_by["unreadable"] == 0
    assert "openrail" in run_here("baseline.cli", "backbones").stdout
    check_export(root, tmp_path)
    gc.collect()  # close the file
    model.write_bytes(b"damaged")
    with pytest.raises(InputUnusable, match="wrong SHA-256"):
        baseline.load(folder)


def check_export(root: Path, tmp_path: Path) -> None:
    """Check that an export contains the hub model."""
    out = tmp_path / "model.onnx"
    result = export_run(root, None, out, "fp32")
    assert float(str(result["farthest"])) < 1e-5
    assert result["agreement"] == 1
    card = json.loads(out.with_name("model.onnx.json").read_text())
    assert (root.parent / "digest").read_text() in card["weights"][0]
    model = onnx.load(out)
    assert {entry.domain for entry in model.opset_import} == {""}
    assert not model.functions
    run, exported = baseline.load(find_run(root)), baseline.load(out)
    noise = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3)).astype(np.uint8)
    for picture in [*list_images(root)[:6], *noise]:
        assert np.allclose(run.embed([picture]), exported.embed([picture]), atol=1e-4)
    with pytest.raises(UsageError, match="LiteRT file cannot contain"):
        export_run(root, None, tmp_path / "model.tflite", "fp32")


@pytest.mark.long
def test_int8_export_keeps_color_features(root: Path, tmp_path: Path) -> None:
    run, pictures, out = baseline.load(find_run(root)), list_images(root), tmp_path / "small.onnx"
    result = export_run(root, None, out, "int8")
    assert float(str(result["accuracy"])) == float(str(result["accuracy_before"]))
    assert float(str(result["agreement"])) >= 0.95
    small = baseline.load(out)
    colours = (run.embed(pictures) - small.embed(pictures))[:, WIDTH:]
    # Only rounding of the number format: wrong colors would differ by tenths.
    assert np.abs(colours).max() < 0.02
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(out).graph.node}


@pytest.mark.long
def test_triplet_trains_on_hub_model(root: Path, hub: Hub) -> None:
    options = SMALL | {"epochs": "1", "embedding": "8"}
    with Dataset.open(root) as dataset:
        result = train_run(dataset, load_preset("triplet", options, dataset.pin_of))
        folder = run_folder(dataset, str(result["run"]))
    assert baseline.load(folder).embed(list_images(root)[:2]).shape == (2, 8)

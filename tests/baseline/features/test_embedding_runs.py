"""Runs on embeddings of the hub: trained, kept whole, exported as one file that answers alike."""

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
    """A dataset of drawn patterns, on which `transfer` was trained; the hub is empty since."""
    root = tmp_path / "dataset"
    model = publish(hub, tmp_path, deeper=True)
    (tmp_path / "digest").write_text(hash_file(model))
    with Dataset.create(root) as dataset:
        fill(dataset, 10)
        train_run(dataset, load_preset("transfer", SMALL, dataset.pin_of))
    hub.commits.clear()
    hub.range_headers.clear()
    return root


def run_of(root: Path) -> Path:
    return next(path for path in (root / "runs").iterdir() if path.name.endswith("-transfer"))


def pictures_of(root: Path) -> list[Path]:
    return sorted((root / "images").glob("*/*.png"))


def test_a_run_is_whole_without_the_hub_and_held_to_its_file(
    root: Path, hub: Hub, tmp_path: Path
) -> None:
    folder = shutil.copytree(run_of(root), tmp_path / "elsewhere")
    digest = (root.parent / "digest").read_text()
    kept = folder / f"embedding-{digest[:16]}.onnx"
    assert hash_file(kept) == digest
    metrics: dict[str, Any] = json.loads((folder / METRICS).read_text())
    training = metrics["training"]
    assert (training["backbone"], training["weights_sha256"]) == ("ccip+colours", digest)
    assert training["embeddings"][0]["model"].startswith(f"{NAME}/model_feat.onnx@")
    assert training["embeddings"][0]["mean"] == [0.48145466, 0.4578275, 0.40821073]
    assert set(training["parts"]) == {"ccip", "colours"}
    assert (
        "ccip: input 16 x 16, RGB in 0..1 less 0.481/0.458/0.408"
        in (folder / "log.txt").read_text()
    )
    head = 3 * (WIDTH + COLOURS + 1)
    assert metrics["parameters"] == WIDTH * 27 + WIDTH**2 + head
    answers = list(baseline.load(folder).predict_images(pictures_of(root)))
    assert len({answer.predictions[0].label for answer in answers}) == 3
    # The same again, and a prelabeling by it, ask nobody: the dataset holds to the file.
    with Dataset.open(root) as dataset:
        settings = load_preset("transfer", SMALL, dataset.pin_of)
        assert train_run(dataset, settings)["run"] == run_of(root).name
        assert not hub.range_headers
        sorted_by = prelabel(dataset, settings)
    assert sorted_by["unreadable"] == 0
    assert "openrail" in run_here("baseline.cli", "backbones").stdout
    gc.collect()  # a file in use is not read again
    kept.write_bytes(b"damaged")
    with pytest.raises(InputUnusable, match="wrong SHA-256"):
        baseline.load(folder)


def test_one_file_holds_the_embedding_and_answers_the_same(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    result = export_run(root, None, out, "fp32")
    assert float(str(result["farthest"])) < 1e-5
    assert result["agreement"] == 1
    card = json.loads(out.with_name("model.onnx.json").read_text())
    assert (root.parent / "digest").read_text() in card["weights"][0]
    model = onnx.load(out)
    assert {entry.domain for entry in model.opset_import} == {""}
    assert not model.functions
    one, other = baseline.load(run_of(root)), baseline.load(out)
    noise = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3)).astype(np.uint8)
    for picture in [*pictures_of(root)[:6], *noise]:
        assert np.allclose(one.embed([picture]), other.embed([picture]), atol=1e-4)
    with pytest.raises(UsageError, match="LiteRT file cannot contain"):
        export_run(root, None, tmp_path / "model.tflite", "fp32")


@pytest.mark.long
@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_smaller_files_answer_alike_with_the_colours_exact(
    root: Path, tmp_path: Path, precision: str
) -> None:
    run, pictures, out = baseline.load(run_of(root)), pictures_of(root), tmp_path / "small.onnx"
    result = export_run(root, None, out, precision)
    assert float(str(result["accuracy"])) == float(str(result["accuracy_before"]))
    assert float(str(result["agreement"])) >= 0.95
    small = baseline.load(out)
    colours = (run.embed(pictures) - small.embed(pictures))[:, WIDTH:]
    # A wrong colour share is off by some tenths; what is left is the number format's.
    assert np.abs(colours).max() < 0.02
    kinds = [node.op_type for node in onnx.load(out).graph.node]
    assert ("QuantizeLinear" in kinds) == (precision == "int8")


def test_a_projection_learns_on_an_embedding(root: Path, hub: Hub) -> None:
    options = SMALL | {"epochs": "1", "embedding": "8"}
    with Dataset.open(root) as dataset:
        result = train_run(dataset, load_preset("triplet", options, dataset.pin_of))
        folder = run_folder(dataset, str(result["run"]))
    assert baseline.load(folder).embed(pictures_of(root)[:2]).shape == (2, 8)

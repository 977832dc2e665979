"""Runs on ONNX files: trained, kept whole, exported as one file that answers the same."""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from embedding_models import WIDTH, embedding_model
from filled import fill

import baseline
from baseline.data.runs import METRICS, run_folder
from baseline.presort.presorter import presort
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from baseline.use.export.export_run import export_run
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.store import sha256_of_file

SMALL = {"size": "24", "views": "0"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of drawn patterns, on which `transfer` was trained; the file has been removed."""
    root = tmp_path_factory.mktemp("embedded") / "dataset"
    model = embedding_model(root.parent / "ours.onnx", opset=11, deeper=True)
    (root.parent / "ours.toml").write_text("mean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]\n")
    with Dataset.create(root) as dataset:
        fill(dataset, 10)
        options = SMALL | {"backbone": f"{model}+colours"}
        train_run(dataset, load_preset("transfer", options))
    (root.parent / "digest").write_text(sha256_of_file(model))
    model.unlink()
    return root


def run_of(root: Path) -> Path:
    return next(path for path in (root / "runs").iterdir() if path.name.endswith("-transfer"))


def pictures_of(root: Path) -> list[Path]:
    return sorted((root / "images").glob("*/*.png"))


def test_a_run_is_whole_without_the_file(root: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(run_of(root), tmp_path / "elsewhere")
    digest = (root.parent / "digest").read_text()
    kept = folder / f"embedding-{digest[:16]}.onnx"
    assert sha256_of_file(kept) == digest
    metrics: dict[str, Any] = json.loads((folder / METRICS).read_text())
    told = metrics["training"]
    assert told["backbone"] == "ours+colours"
    assert told["weights_sha256"] == digest
    assert told["embeddings"][0]["mean"] == [0.5, 0.5, 0.5]
    assert told["embeddings"][0]["output"] == "features"
    assert set(told["parts"]) == {"ours", "colours"}
    assert "ours: takes 16 x 16, RGB in 0..1 less 0.5/0.5/0.5" in (folder / "log.txt").read_text()
    layers = json.loads((folder / "network.json").read_text())
    assert [x["parameters"] for x in layers if x["kind"] == "OnnxBackbone"] == [
        WIDTH * 27 + WIDTH**2
    ]
    answers = list(baseline.load(folder).answers(pictures_of(root)))
    assert len({answer.predictions[0].label for answer in answers}) == 3
    gc.collect()  # a file in use is not read again
    kept.write_bytes(b"damaged")
    with pytest.raises(InputUnusable, match="another file"):
        baseline.load(folder)
    kept.unlink()
    with pytest.raises(InputUnusable, match=r"ours\.onnx cannot be read"):
        baseline.load(folder)


def test_one_file_holds_the_embedding_and_answers_the_same(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    found = export_run(root, None, out, "fp32")
    assert float(str(found["farthest"])) < 1e-5
    assert found["agreement"] == 1
    card = json.loads(out.with_name("model.onnx.json").read_text())
    assert (root.parent / "digest").read_text() in card["weights"][0]
    model = onnx.load(out)
    assert {entry.domain for entry in model.opset_import} == {""}
    assert not model.functions
    one, other = baseline.load(run_of(root)), baseline.load(out)
    noise = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3)).astype(np.uint8)
    for picture in [*pictures_of(root)[:6], *noise]:
        assert np.allclose(one.embed([picture]), other.embed([picture]), atol=1e-4)
    with pytest.raises(UsageError, match="LiteRT file cannot hold"):
        export_run(root, None, tmp_path / "model.tflite", "fp32")


@pytest.mark.long
@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_smaller_files_answer_alike_with_the_colours_exact(
    root: Path, tmp_path: Path, precision: str
) -> None:
    run, pictures, out = baseline.load(run_of(root)), pictures_of(root), tmp_path / "small.onnx"
    found = export_run(root, None, out, precision)
    assert float(str(found["accuracy"])) == float(str(found["accuracy_before"]))
    assert float(str(found["agreement"])) >= 0.95
    small = baseline.load(out)
    colours = (run.embed(pictures) - small.embed(pictures))[:, WIDTH:]
    # A wrong colour share is off by some tenths; what is left is the number format's.
    assert np.abs(colours).max() < 0.02
    kinds = [node.op_type for node in onnx.load(out).graph.node]
    assert ("QuantizeLinear" in kinds) == (precision == "int8")


@pytest.mark.long
@pytest.mark.parametrize("precision", ["int8", "auto"])
def test_a_network_of_which_nothing_is_fit_for_int8_says_so(
    root: Path, tmp_path: Path, precision: str
) -> None:
    model, out = embedding_model(tmp_path / "flat.onnx"), tmp_path / "small.onnx"
    copy = shutil.copytree(root, tmp_path / "dataset")
    with Dataset.open(copy) as dataset:
        result = train_run(dataset, load_preset("transfer", SMALL | {"backbone": str(model)}))
    if precision == "auto":
        assert export_run(copy, str(result["run"]), out, "auto")["precision"] == "fp32"
        return
    with pytest.raises(InputUnusable, match="nothing of this network"):
        export_run(copy, str(result["run"]), out, "int8")
    assert not out.exists()


def test_a_projection_learns_and_grows_on_an_embedding(root: Path, tmp_path: Path) -> None:
    model = embedding_model(tmp_path / "ours.onnx")
    options = SMALL | {"backbone": str(model), "epochs": "1", "embedding": "8"}
    with Dataset.open(root) as dataset:
        result = train_run(dataset, load_preset("triplet", options))
        folder = run_folder(dataset, str(result["run"]))
    model.unlink()
    assert baseline.load(folder).embed(pictures_of(root)[:2]).shape == (2, 8)
    shutil.rmtree(folder)


def test_presort_sorts_by_an_embedding(root: Path, tmp_path: Path) -> None:
    model = embedding_model(tmp_path / "ours.onnx")
    with Dataset.open(root) as dataset:
        settings = load_preset("transfer", SMALL | {"backbone": f"{model}+colours"})
        found = presort(dataset, settings)
    assert found["unreadable"] == 0
    assert "ours.onnx#sha256=" in str(found["backbone"])

"""LiteRT files: the same answers as the run's. They run where `gleanset[litert]` is installed.

That environment has no ONNX, so these tests are apart from those of ONNX files.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from filled import fill

import baseline
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from baseline.use.engines.run_engine import RunEngine
from baseline.use.export.export_run import export_run
from baseline.use.export.litert_file import InferenceNet
from curation.similarity.color_layout import WIDTH
from curation.similarity.identity import WIDTH as IDENTITY
from gleanset import Dataset
from gleanset.errors import MissingComponent


@pytest.mark.skipif(find_spec("litert_torch") is not None, reason="litert-torch is here")
def test_litert_that_is_missing_is_said_with_the_mend(patterns_root: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingComponent, match=r"\[litert\]"):
        export_run(patterns_root, None, tmp_path / "model.tflite", "fp32")
    with pytest.raises(MissingComponent, match="ai-edge-litert"):
        baseline.load(tmp_path / "model.tflite")


def test_litert_answers_as_the_run(
    patterns_root: Path, run_folder: Path, pictures: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("litert_torch", reason="litert-torch wants an environment of its own")
    out = tmp_path / "model.tflite"
    result = export_run(patterns_root, None, out, "fp32")
    assert float(str(result["farthest"])) < 1e-5
    one, other = baseline.load(run_folder), baseline.load(out)
    first, second = list(one.predict_images(pictures)), list(other.predict_images(pictures))
    assert [a.label for a in first] == [a.label for a in second]


def test_int8_leaves_colours_and_vectors_of_drawn_people_as_they_are(tmp_path: Path) -> None:
    pytest.importorskip("litert_torch", reason="litert-torch wants an environment of its own")
    options = {"size": "32", "backbone": "mobilenetv3_small_050+colours+faces", "weights": "none"}
    with Dataset.create(tmp_path / "dataset") as dataset:
        fill(dataset, 10)
        train_run(dataset, load_preset("transfer", options | {"views": "0"}))
    out, root = tmp_path / "model.tflite", tmp_path / "dataset"
    result = export_run(root, None, out, "int8")
    assert float(str(result["agreement"])) >= 0.9
    run = baseline.load(next((root / "runs").glob("*-transfer")))
    pictures = sorted((root / "images").glob("*/*.png"))
    beside = (run.embed(pictures) - baseline.load(out).embed(pictures))[:, -(WIDTH + IDENTITY) :]
    assert np.abs(beside).max() < 1e-5


def test_what_litert_files_are_written_of_says_what_the_run_says(run_folder: Path) -> None:
    run = RunEngine.from_folder(run_folder)
    size = run.facts.size
    pictures = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), np.uint8)
    with torch.inference_mode():
        written = InferenceNet(run).eval()(torch.from_numpy(pictures))
    answered = run(pictures)
    for result, expected in zip(
        written, (answered.probabilities, answered.embeddings), strict=True
    ):
        assert np.allclose(result, expected, atol=1e-5)

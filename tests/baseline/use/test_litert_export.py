"""LiteRT export. Most tests need an environment with `gleanset[litert]`.

That environment has no ONNX, so these tests do not import it.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_dataset import EIGHT_TO_ONE, fill

import baseline
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from baseline.use.export.export_run import export_run
from baseline.use.export.litert_file import InferenceNet
from baseline.use.run_engine import RunEngine
from curation.similarity.color_layout import WIDTH
from curation.similarity.descriptor import IDENTITY
from gleanset import Dataset
from gleanset.errors import MissingComponent


@pytest.mark.skipif(
    find_spec("litert_torch") is not None, reason="litert-torch is here"
)
def test_missing_litert_gives_hint(patterns_root: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingComponent, match=r"\[litert\]"):
        export_run(patterns_root, None, tmp_path / "model.tflite", "fp32")
    with pytest.raises(MissingComponent, match="ai-edge-litert"):
        baseline.load(tmp_path / "model.tflite")


def test_litert_predictions_match_run(
    patterns_root: Path, run_folder: Path, pictures: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip(
        "litert_torch", reason="litert-torch wants an environment of its own"
    )
    out = tmp_path / "model.tflite"
    result = export_run(patterns_root, None, out, "fp32")
    assert float(str(result.farthest)) < 1e-5
    again = tmp_path / "again.tflite"
    export_run(patterns_root, None, again, "fp32")
    assert again.read_bytes() == out.read_bytes()
    run, exported = baseline.load(run_folder), baseline.load(out)
    first, second = (
        list(run.predict_images(pictures)),
        list(exported.predict_images(pictures)),
    )
    assert [a.label for a in first] == [a.label for a in second]


def test_int8_keeps_color_and_identity_features(tmp_path: Path) -> None:
    pytest.importorskip(
        "litert_torch", reason="litert-torch wants an environment of its own"
    )
    options = {
        "size": "32",
        "backbone": "mobilenetv3_small_050+colours+faces",
        "weights": "none",
    }
    with Dataset.create(tmp_path / "dataset") as dataset:
        fill(dataset, 10, EIGHT_TO_ONE)
        train_run(dataset, load_preset("transfer", options | {"views": "0"}))
    out, root = tmp_path / "model.tflite", tmp_path / "dataset"
    result = export_run(root, None, out, "int8")
    assert float(str(result.agreement)) >= 0.9
    again = tmp_path / "again.tflite"
    export_run(root, None, again, "int8")
    assert again.read_bytes() == out.read_bytes()
    run = baseline.load(next((root / "runs").glob("*-transfer")))
    pictures = sorted((root / "images").glob("*/*.png"))
    difference = (run.embed(pictures) - baseline.load(out).embed(pictures))[
        :, -(WIDTH + IDENTITY) :
    ]
    assert np.abs(difference).max() < 1e-5


def test_inference_net_matches_run(run_folder: Path) -> None:
    run = RunEngine.from_folder(run_folder)
    size = run.facts.size
    pictures = np.random.default_rng(0).integers(0, 256, (4, size, size, 3), np.uint8)
    with torch.inference_mode():
        from_net = InferenceNet(run).eval()(torch.from_numpy(pictures))
    from_engine = run(pictures)
    for result, expected in zip(
        from_net, (from_engine.probabilities, from_engine.embeddings), strict=True
    ):
        assert np.allclose(result, expected, atol=1e-5)

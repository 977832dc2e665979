"""`--detector hub:…`: a model from a hub, pinned to the commit of the first use."""

from __future__ import annotations

from pathlib import Path

import pytest
from facecrop_scenes import put
from PIL import Image
from publisher import Hub
from tools_for_tests import run_here

pytest.importorskip("onnx", reason="needs the package onnx, to make networks")

from onnx_models import red_model

from facecrop.detectors.options import dataset_detector, parse_detector
from facecrop.detectors.recorded import RecordedDetector
from gleanset import Dataset
from gleanset.files.hub import load_hub_models
from gleanset.settings import CropSettings

NAME = f"hub:{Hub.repository}/face"


def test_hub_model_is_pinned_on_first_use(hub: Hub, dataset: Dataset, tmp_path: Path) -> None:
    put(dataset, Image.new("RGB", (320, 320), "red"))
    first = hub.commit(face_model=red_model(tmp_path / "a.onnx", names={0: "head"}).read_bytes())
    words = ("run", "--detector", f"{NAME}:threshold=0.9", "-d", dataset.root, "--json")
    settings = dataset.root / "dataset.toml"
    assert run_here("facecrop.cli", *words, "--simulate").json["would_search"] == 1
    assert "[hub" not in settings.read_text()
    assert run_here("facecrop.cli", *words, "--workers", "1").json["faces"]
    assert first in settings.read_text()
    hub.commit(face_model=red_model(tmp_path / "b.onnx", brightness=1.0).read_bytes())
    hub.range_headers.clear()
    assert run_here("facecrop.cli", *words).json["images"] == 0
    assert not hub.range_headers
    hub.commits.clear()
    (scan,) = dataset.db.fetch_all("SELECT settings FROM scan")
    recorded = RecordedDetector.from_text("onnx", scan["settings"])
    assert recorded.spec({}).build().settings == scan["settings"]


def test_hub_name_accepts_settings() -> None:
    own = CropSettings(detector=f"{NAME}:size=320", threshold=0.4)
    assert dict(dataset_detector(own, NAME).settings)["threshold"] == 0.4
    assert "threshold" not in dict(dataset_detector(own, f"{NAME}2").settings)
    listed = run_here("facecrop.cli", "detectors", "--json").json["on a hub"]
    for name, line in zip(load_hub_models("facecrop.detectors")["names"], listed, strict=True):
        assert parse_detector(name).name == "onnx"
        assert line.startswith(f"{name}: ")

"""A dataset of drawn patterns with a small trained run, made once for all tests of using one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from drawn_patterns import CLASSES
from filled import RUN, fill, train_small
from made_once import made_once

from baseline.evaluation.decision_rule import DecisionRule, save_decision_rule
from baseline.export.export_run import export_run
from baseline.storage import save_model
from gleanset import Dataset


@pytest.fixture(scope="session")
def patterns_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset's folder; its run is called `RUN`. Not to be changed."""
    return made_once(tmp_path_factory, "patterns", make_patterns) / "dataset"


def make_patterns(folder: Path) -> None:
    """Fill the dataset, and train."""
    torch.set_num_threads(1)
    root = folder / "dataset"
    with Dataset.create(root) as dataset:
        fill(dataset, 30)
        net, settings = train_small(dataset)
        folder = root / "runs" / RUN
        dataset.runs.begin(RUN, "baseline", settings.to_json())
        save_model(folder, net, settings, tuple(sorted(CLASSES)))
        save_decision_rule(folder, DecisionRule(1.5, 0.6, offsets={"cross": 0.7, "stripes": -0.9}))
        dataset.runs.end(RUN, "done", {})


@pytest.fixture(scope="session")
def run_folder(patterns_root: Path) -> Path:
    """The folder of that run."""
    return patterns_root / "runs" / RUN


@pytest.fixture(scope="session")
def pictures(patterns_root: Path) -> list[Path]:
    """The original files of the dataset."""
    return sorted((patterns_root / "images").glob("*/*.png"))


@pytest.fixture(scope="session")
def exported(patterns_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run as an ONNX file. Not to be changed."""

    def export(folder: Path) -> None:
        found = export_run(patterns_root, None, folder / "model.onnx", "onnx", "fp32")
        assert found["pictures"] == 90  # val and train, and test to fill up
        assert isinstance(found["farthest"], float)
        assert found["farthest"] < 1e-5
        assert found["agreement"] == 1

    return made_once(tmp_path_factory, "exported-patterns", export) / "model.onnx"

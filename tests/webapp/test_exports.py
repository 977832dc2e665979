"""ONNX files of served runs: exported if missing or outdated."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pytest
from color_model import write_model
from filled import RUN, make_patterns
from shared_folder import make_shared_folder

import baseline
from gleanset.work.progress import Progress
from webapp.exports import export_if_outdated, is_current, served_file


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """Return a copy of a dataset with a trained run."""
    made = make_shared_folder(tmp_path_factory, "patterns", make_patterns) / "dataset"
    return Path(shutil.copytree(made, tmp_path / "dataset"))


class RecordingProgress(Progress):
    """Records messages."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_outdated_file_is_not_served(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    file = write_model(tmp_path / "served.onnx")
    settings.touch()
    os.utime(settings, (0, 0))
    assert is_current(file, tmp_path)
    assert export_if_outdated(tmp_path) == file
    os.utime(file, (0, 0))
    settings.touch()
    assert not is_current(file, tmp_path)
    assert not is_current(tmp_path / "missing.onnx", tmp_path)


@pytest.mark.long
def test_run_is_exported_on_first_use(root: Path) -> None:
    result = RecordingProgress()
    file = served_file(root, None, progress=result)
    assert [line.split(" (")[0] for line in result.lines] == [f"exporting {RUN} to ONNX"]
    folder = root / "runs" / RUN
    assert file == folder.resolve() / "served.onnx"
    pictures = sorted((root / "images").glob("*/*.png"))[:20]
    first, second = (baseline.load(path).predict_images(pictures) for path in (folder, file))
    assert [a.label for a in first] == [a.label for a in second]
    about = msgspec.json.decode((folder / "served.onnx.json").read_bytes())
    # There are too few images to evaluate int8.
    assert about["precision"] == "fp32"
    assert is_current(file, folder)

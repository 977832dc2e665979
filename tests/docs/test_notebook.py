"""The notebook of the docs runs from its first cell to its last."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from quick_sample import write_quick_sample

import pipeline.demo
from gleanset import Dataset
from pipeline.cli import commands

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def test_notebook_runs_on_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_quick_sample(tmp_path, images=12, frames=3)
    monkeypatch.setattr(pipeline.demo, "bundled_data", lambda: data)
    demo = CliRunner().invoke(commands, ["demo", "--into", "demo", "--quiet"])
    assert demo.exit_code == 0, demo.output
    with Dataset.open(tmp_path / "demo") as dataset:
        labels = Counter(sample.label for sample in dataset)

    names: dict[str, Any] = {}
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)

    assert len(names["d"]) == labels.total() > 40
    assert {sample.label for sample in names["hana"]} == {"hana"}
    assert "<img src=" in names["hana"]._repr_html_()
    assert len(names["d"].select(label="rei")) == labels["rei"]  # the label was undone
    names["d"].close()

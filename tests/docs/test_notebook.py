"""The notebook of the docs runs from its first cell to its last."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import commands

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def test_notebook_runs_on_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    demo = CliRunner().invoke(commands, ["demo", "--into", "demo", "--quiet"])
    assert demo.exit_code == 0, demo.output

    names: dict[str, Any] = {}
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)

    assert len(names["d"]) == 173
    assert {sample.label for sample in names["hana"]} == {"hana"}
    assert "<img src=" in names["hana"]._repr_html_()
    assert len(names["d"].select(label="rei")) == 34  # the label was undone
    names["d"].close()

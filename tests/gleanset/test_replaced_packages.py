"""Commands notice that another package has the name and the place of one of ours."""

import os
import sys
from pathlib import Path

import pytest
from tools_for_tests import ROOT, Ran, run_to_its_end

from gleanset.start import MARK, PACKAGES, find_spec


def run_program(name: str, *words: str, path: Path) -> Ran:
    """Run a console script with a folder that is searched for modules before ours."""
    code = f"import sys; sys.argv[:1] = ['{name}']; from gleanset.start import {name}; {name}()"
    line: list[str | bytes] = [sys.executable, "-c", code, *words]
    environment = {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}"}
    return run_to_its_end(line, path, environment, 60)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder before ours in the search path, with another `baseline` package."""
    package = tmp_path / "site" / "baseline"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""Deep learning baselines."""\n')
    return package.parent


@pytest.mark.parametrize("words", [["baseline", "train"], ["gleanset", "doctor"]])
def test_replacing_distribution_is_named(site: Path, words: list[str]) -> None:
    about = site / "mead_baseline-2.4.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mead-baseline\nVersion: 2.4\n"
    )
    (about / "RECORD").write_text("baseline/__init__.py,,\n")
    ran = run_program(*words, path=site)
    error, hint = ran.stderr.splitlines()
    assert ran.code == 6
    assert (
        error == f"{words[0]}: in the place of Gleanset's package baseline is another: "
        "mead-baseline"
    )
    assert "uninstall mead-baseline && " in hint
    assert "--force-reinstall" in hint


def test_own_module_that_hides_a_package_is_named(tmp_path: Path) -> None:
    own = tmp_path / "harvest.py"
    own.write_text("print('mine')\n")
    ran = run_program("harvest", "folder", ".", path=tmp_path)
    assert (ran.code, ran.stdout) == (6, "")
    assert ran.stderr.splitlines() == [
        f"harvest: in the place of Gleanset's package harvest is another: {own}",
        "hint: rename it",
    ]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_is_marked(name: str) -> None:
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).read_bytes().startswith(MARK)

"""Every tutorial runs as printed, with stand-ins for the sites."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tools_for_tests import ROOT
from tutorial_home import at_tutorial, printed

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.mark.long
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_tutorial_runs_as_printed(page: Path, tmp_path: Path) -> None:
    if "google" in page.read_text() and shutil.which("certutil") is None:
        pytest.skip("needs certutil, so that Chromium trusts the stand-in: libnss3-tools")
    with at_tutorial(page, tmp_path / "home", tmp_path / "scratch") as shell:
        shell.follow(printed(page))
        assert len(shell.results) > 5
    assert shell.failed == []

"""What `docs/training.md` says of a new preset and of methods is so."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tools_for_tests import ROOT

from baseline import settings
from baseline.settings import METHODS, load_preset, preset_names
from baseline.train.methods.registry import method_named
from gleanset.errors import UsageError

PAGE = (ROOT / "docs" / "training.md").read_text("utf-8")
EXAMPLE = re.search(r"```toml (\S+)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of presets that may be written to, in place of the package's."""
    copied = shutil.copytree(ROOT / "baseline" / "presets", tmp_path / "presets")
    monkeypatch.setattr(settings.resources, "files", lambda package: tmp_path)
    return copied


def test_the_example_of_the_page_is_a_preset_as_soon_as_its_file_is_there(presets: Path) -> None:
    assert EXAMPLE is not None
    file, text = EXAMPLE.groups()
    (presets / Path(file).name).write_text(text)
    assert "quick" in preset_names()
    assert load_preset("quick", {"epochs": "2"}).preset == "quick"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("batch = 64", "", "missing required field `batch`"),
        ("batch = 64", "batsh = 64", "unknown field `batsh`"),
        ('method = "simple"', 'method = "simpel"', "no method 'simpel'"),
        ("size = 48", "size = ", "'quick' cannot be read"),
        ("size = 48", "size = 'big'", "'size' cannot be 'big'"),
    ],
)
def test_a_preset_that_is_not_whole_is_refused_by_name(
    presets: Path, before: str, after: str, message: str
) -> None:
    assert EXAMPLE is not None
    assert before in EXAMPLE[2]
    (presets / "quick.toml").write_text(EXAMPLE[2].replace(before, after))
    with pytest.raises(UsageError, match=message):
        load_preset("quick", {})


@pytest.mark.parametrize("method", METHODS)
def test_the_page_has_the_settings_of_every_method(method: str) -> None:
    file = ROOT / "baseline" / "presets" / f"{method}.toml"
    assert f"```toml\n{file.read_text(encoding='utf-8')}```" in PAGE


def test_every_method_has_its_module() -> None:
    assert [method_named(name).__name__ for name in METHODS] == [f"fit_{name}" for name in METHODS]


def test_the_page_names_only_what_is_there() -> None:
    for name in re.findall(r"`(baseline/[\w./]+)`", PAGE):
        assert (ROOT / name).exists(), name

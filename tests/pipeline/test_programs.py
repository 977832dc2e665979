"""The command line: programs, reference page, doctor."""

import os
import re
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest
from tools_for_tests import Ran, run_here

from gleanset.platform import has_display
from pipeline.cli import PROGRAMS
from tools.command_reference import render_reference


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_is_group_of_gleanset(program: str) -> None:
    group_help = run_here("pipeline.cli", program, "--help")
    program_help = run_here(f"{program}.cli", "--help")
    listed = run_here("pipeline.cli", "--help").stdout
    assert f"\n  {program}  " in listed
    assert (
        group_help.stdout.partition("Options")[2]
        == program_help.stdout.partition("Options")[2]
    )


def test_command_works_under_both_names(tmp_path: Path) -> None:
    words = ("classes", "add", "hana", "-d", tmp_path / "pets", "--json")
    run_here("pipeline.cli", "init", "-d", tmp_path / "pets")
    assert run_here("pipeline.cli", "labeler", *words).code == 0
    listed = run_here(
        "labeler.cli", "classes", "list", "-d", tmp_path / "pets", "--json"
    ).json
    assert [row["name"] for row in listed["classes"]] == ["hana"]


@pytest.mark.parametrize("program", ["pipeline", *PROGRAMS])
def test_help_lists_each_command_once_with_whole_summary(program: str) -> None:
    group = import_module(f"{program}.cli").commands
    help_text = run_here(f"{program}.cli", "--help").stdout
    for name in group.list_commands(click.Context(group)):
        (summary,) = re.findall(rf"^  {name} +(\S.*)$", help_text, re.MULTILINE)
        assert summary.endswith((".", ")")), summary
        assert not summary.endswith("..."), summary


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text(
    encoding="utf-8"
)


def test_reference_page_is_current() -> None:
    assert render_reference(PAGE) == PAGE, (
        "run: python -m tools.command_reference docs/commands.md"
    )


TOKEN = "a-secret-token"
Doctor = Callable[..., Ran]


@pytest.fixture
def no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings, keys and display of the user who runs the tests."""
    for name in list(os.environ):
        if name.startswith(("FLICKR_", "PIXIV_", "DISPLAY", "WAYLAND", "QT_")):
            monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


@pytest.fixture
def doctor(no_credentials: None, tmp_path: Path) -> Doctor:
    return partial(run_here, "pipeline.cli", "doctor", cwd=tmp_path)


def parts(done: Ran) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in done.json["parts"]}


@pytest.mark.slow
def test_components_have_status_and_hint(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor("--json").checked()
    result = parts(done)
    assert result["ffmpeg"]["ok"]
    assert result["drawnface"]["ok"]
    assert result["animeface"]["ok"] is (find_spec("animeface") is not None)
    assert "downloaded on first use" in result["cascade"]["finding"]
    assert result["flickr"]["hint"] == "harvest login flickr"
    assert result["window"]["ok"] is has_display()
    assert all(part["hint"] for part in result.values() if not part["ok"])
    assert list(tmp_path.iterdir()) == [], "nothing is written"


@pytest.mark.slow
def test_credentials_are_detected_but_not_printed(doctor: Doctor) -> None:
    done = doctor(PIXIV_REFRESH_TOKEN=TOKEN, DISPLAY=":7")
    lines = done.stdout.splitlines()
    assert any(line.split()[:2] == ["ok", "pixiv"] for line in lines)
    assert any(line.split()[:2] == ["ok", "window"] for line in lines)
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.slow
def test_missing_required_component_sets_exit_code(
    doctor: Doctor, tmp_path: Path
) -> None:
    done = doctor(
        "--json", PATH=str(tmp_path), IMAGEIO_FFMPEG_EXE="/nowhere/ffmpeg"
    ).refused(6)
    assert parts(done)["ffmpeg"]["needed"]
    assert "apt-get install ffmpeg" in parts(done)["ffmpeg"]["hint"]
    assert "apt-get install ffmpeg" in done.stderr


@pytest.mark.slow
def test_unwritable_disk_is_reported(doctor: Doctor) -> None:
    result = parts(doctor("--json", "-d", "/proc/nobody/here"))
    assert not result["disk"]["ok"]
    assert "-d" in result["disk"]["hint"]

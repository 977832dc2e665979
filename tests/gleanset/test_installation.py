"""Setting up, and install commands in messages."""

from __future__ import annotations

import json
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from tools_for_tests import ROOT

from gleanset.installation import install_command, restore_command, update_command

CLONE = str(ROOT)
COMMANDS = "install_command('train'), reinstall_command(), update_command()"


def hints(site: Path, direct_url: Mapping[str, object] | None) -> list[list[str]]:
    """Return the commands printed by a copy installed from that URL."""
    shutil.copytree(
        ROOT / "gleanset",
        site / "gleanset",
        ignore=shutil.ignore_patterns("__pycache__", "node_modules"),
    )
    about = site / "gleanset-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: gleanset\nVersion: 0.1.0\n")
    if direct_url is not None:
        (about / "direct_url.json").write_text(json.dumps(direct_url))
    script = f"from gleanset.installation import *; print({COMMANDS}, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=site,
        env={"PYTHONPATH": str(site), "PATH": str(Path(sys.executable).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [shlex.split(line) for line in done.stdout.splitlines()]


def test_hints_for_clone_name_its_folder() -> None:
    assert shlex.split(install_command("gui", "web"))[-2:] == ["-e", f"{CLONE}[gui,web]"]
    assert restore_command("datasets") == f"git -C {shlex.quote(CLONE)} restore datasets"
    assert update_command().startswith(f"git -C {shlex.quote(CLONE)} pull && ")


def test_hint_for_other_environment_names_its_python() -> None:
    command = shlex.split(install_command("litert", python="litert/bin/python"))
    assert command[:4] == ["litert/bin/python", "-m", "pip", "install"]


def test_hints_for_wheel_name_its_url(tmp_path: Path) -> None:
    wheel = tmp_path / "new wheels" / "gleanset-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    site = tmp_path / "site"
    install, reinstall, update = hints(site, {"url": wheel.as_uri(), "archive_info": {}})
    assert install[-1] == f"gleanset[train] @ {wheel.as_uri()}"
    assert reinstall[-2:] == ["--force-reinstall", f"gleanset @ {wheel.as_uri()}"]
    assert update[-1] == "gleanset-VERSION-py3-none-any.whl"


def test_hint_for_deleted_wheel_omits_folder(tmp_path: Path) -> None:
    url = (tmp_path / "gleanset-0.1.0-py3-none-any.whl").as_uri()
    install, *_ = hints(tmp_path / "site", {"url": url, "archive_info": {}})
    assert install[-1] == "./gleanset-0.1.0-py3-none-any.whl[train]"


def test_hint_for_repository_names_commit(tmp_path: Path) -> None:
    origin = {"url": "https://example.org/g.git", "vcs_info": {"vcs": "git", "commit_id": "4f0c"}}
    install, *_ = hints(tmp_path / "site", origin)
    assert install[-1] == "gleanset[train] @ git+https://example.org/g.git@4f0c"


def test_hint_for_index_package_is_its_name(tmp_path: Path) -> None:
    install, _, update = hints(tmp_path / "site", None)
    assert install[-1] == "gleanset[train]"
    assert update[-2:] == ["--upgrade", "gleanset"]


BOOTSTRAP = runpy.run_path(str(ROOT / "bootstrap.py"))
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def installed_by(command: str) -> set[str]:
    """Return the extras that a command installs, including nested ones."""
    result: set[str] = set()
    pending = BOOTSTRAP["EXTRAS"][command].strip(".[]").split(",")
    while pending:
        extra = pending.pop()
        result.add(extra)
        for needed in EXTRAS[extra]:
            if needed.startswith("gleanset["):
                pending += needed.removeprefix("gleanset[").strip("]").split(",")
    return result


def test_installed_extras_are_reused_if_sufficient() -> None:
    for command in BOOTSTRAP["EXTRAS"]:
        for other in BOOTSTRAP["EXTRAS"]:
            included = other in BOOTSTRAP["commands_including"](command)
            assert included == (installed_by(command) <= installed_by(other)), (command, other)


def test_tests_install_all_compatible_extras() -> None:
    assert installed_by("test") == set(EXTRAS) - {"litert"}


def test_download_size_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    BOOTSTRAP["print_download_size"]()
    output = capsys.readouterr().out
    assert "downloads about 1 GB" in output
    assert (BOOTSTRAP["PYTORCH_URL"] in output) == (sys.platform == "linux")

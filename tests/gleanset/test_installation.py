"""Setting up, and install commands in messages."""

from __future__ import annotations

import json
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tools_for_tests import ROOT

from gleanset.installation import install_command, restore_command, update_command

CLONE = str(ROOT)
ORIGINS = {
    "wheel": {"url": "file:///WHEELS/new%20wheels/gleanset-0.1.0-py3-none-any.whl"},
    "deleted wheel": {"url": "file:///nowhere/gleanset-0.1.0-py3-none-any.whl"},
    "repository": {
        "url": "https://example.org/g.git",
        "vcs_info": {"vcs": "git", "commit_id": "4f0c"},
    },
    "index": None,
}
SCRIPT = """
import json, sys
from pathlib import Path
from gleanset.installation import *
hints = {}
for name, origin in json.load(sys.stdin).items():
    Path(sys.argv[1]).unlink(missing_ok=True)
    if origin is not None:
        Path(sys.argv[1]).write_text(json.dumps(origin))
    hints[name] = install_command("train"), reinstall_command(), update_command()
print(json.dumps(hints))
"""


@pytest.fixture(scope="module")
def hints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    """Return the commands that a copy outside a clone prints, by where it was installed from."""
    site = tmp_path_factory.mktemp("site")
    ignored = shutil.ignore_patterns("__pycache__", "node_modules")
    shutil.copytree(ROOT / "gleanset", site / "gleanset", ignore=ignored)
    about = site / "gleanset-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: gleanset\nVersion: 0.1.0\n")
    (site / "new wheels").mkdir()
    (site / "new wheels" / "gleanset-0.1.0-py3-none-any.whl").touch()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(about / "direct_url.json")],
        cwd=site,
        env={"PYTHONPATH": str(site), "PATH": str(Path(sys.executable).parent)},
        input=json.dumps(ORIGINS).replace("/WHEELS", str(site)),
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        name: [shlex.split(line) for line in lines]
        for name, lines in json.loads(done.stdout).items()
    }


def test_hints_for_clone_name_its_folder() -> None:
    assert shlex.split(install_command("gui", "web"))[-2:] == ["-e", f"{CLONE}[gui,web]"]
    assert restore_command("datasets") == f"git -C {shlex.quote(CLONE)} restore datasets"
    assert update_command().startswith(f"git -C {shlex.quote(CLONE)} pull && ")


def test_hint_for_other_environment_names_its_python() -> None:
    command = shlex.split(install_command("litert", python="litert/bin/python"))
    assert command[:4] == ["litert/bin/python", "-m", "pip", "install"]


def test_hints_name_source_of_installation(hints: dict[str, list[list[str]]]) -> None:
    install, reinstall, update = hints["wheel"]
    assert install[-1].startswith("gleanset[train] @ file:///")
    assert install[-1].endswith("/new%20wheels/gleanset-0.1.0-py3-none-any.whl")
    assert reinstall[-2] == "--force-reinstall"
    assert update[-1] == "gleanset-VERSION-py3-none-any.whl"
    assert hints["deleted wheel"][0][-1] == "./gleanset-0.1.0-py3-none-any.whl[train]"
    repository = "gleanset[train] @ git+https://example.org/g.git@4f0c"
    assert hints["repository"][0][-1] == repository
    install, _, update = hints["index"]
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

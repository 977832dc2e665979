"""Workflow files of the hosted tests: their commands exist, and they publish nothing."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from harvest.secrets import VARIABLES
from harvest.source_names import SOURCES

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PROGRAMS = {name: place.partition(".")[0] for name, place in PROJECT["scripts"].items()}
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def jobs(file: Path) -> dict[str, dict[str, Any]]:
    result: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"]
    return result


def steps(file: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(file).values():
        yield from job["steps"]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of ours in a script."""
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] in PROGRAMS:
            ends = [n for n, word in enumerate(words) if word in ("||", "&&", ";") or ">" in word]
            yield words[: min(ends, default=len(words))]


def parse(words: list[str]) -> None:
    """Parse a command with click. Raises `UsageError`."""
    command: click.Command = import_module(f"{PROGRAMS[words[0]]}.cli").commands
    context, rest = click.Context(command), words[1:]
    while isinstance(command, click.Group):
        name, result, rest = command.resolve_command(context, rest)
        assert result is not None
        command, context = result, click.Context(result, info_name=name, parent=context)
    command.parse_args(context, list(rest))


def test_workflow_permissions() -> None:
    assert [file.stem for file in FILES] == ["sites", "tests"]
    for file in FILES:
        permissions = yaml.safe_load(file.read_text(encoding="utf-8"))["permissions"]
        job_permissions = [
            job["permissions"] for job in jobs(file).values() if "permissions" in job
        ]
        assert permissions == {"contents": "read"}
        assert job_permissions == (
            [permissions | {"issues": "write"}] if file.stem == "sites" else []
        )


@each_file
def test_commands_and_extras_exist(file: Path) -> None:
    for step in steps(file):
        for words in commands(step.get("run", "").replace("$SOURCE", "bing")):
            parse(words)
        for extras in re.findall(r"(?:\.|gleanset)\[([\w,-]+)\]", step.get("run", "")):
            assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
        for script in re.findall(r"python (\w+\.py)", step.get("run", "")):
            assert (ROOT / script).is_file()


@each_file
def test_workflows_publish_nothing(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"twine|publish|release|id-token", text.partition("jobs:")[2])
    for step in steps(file):
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", step["uses"])


def test_linux_packages_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    bootstrap = import_module("bootstrap")
    packages = {*bootstrap.NEEDED.values(), *bootstrap.TESTS.values()}
    [line] = [step["run"] for step in steps(FILES[1]) if "apt-get install" in step.get("run", "")]
    # The hosted machine has a browser and npm.
    assert packages - set(line.split()) == {"chromium", "chromium-driver", "npm"}
    del sys.modules["bootstrap"]


def test_site_checks_have_logins() -> None:
    [job] = jobs(FILES[0]).values()
    assert job["strategy"]["matrix"]["source"] == list(SOURCES)
    secrets = {name for name, value in job["env"].items() if "secrets." in value}
    assert secrets == set(VARIABLES.values())
    assert all(job["env"][name] == f"${{{{ secrets.{name} }}}}" for name in secrets)

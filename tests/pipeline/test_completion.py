"""TAB in real shells: what is offered, how it is written, where it is installed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tools_for_tests import Ran, eventually, python_path, run_here

from curation.snapshots import take_snapshot
from facecrop.detectors import DETECTORS
from facecrop.request import detector_names
from gleanset import Dataset
from harvest.request import source_names
from harvest.sources import SOURCES
from labeler.classes import ClassEditor
from pipeline.cli_completion import PROGRAMS
from pipeline.reference import GROUPS

NAMES = (
    "my class",
    "it's",
    "$(touch pwned)",
    "`touch pwned`",
    "a;touch pwned",
    "猫 и кот",
    "x=y!z",
)
SHELLS = ("bash", "zsh", "fish")


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here: apt-get install {shell}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the programs on the path, and a dataset with odd names of classes in it."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "bin").mkdir()
    for program in PROGRAMS:
        module = "pipeline" if program == "gleanset" else program
        path = folder / "bin" / program
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        path.chmod(0o755)
    with Dataset.create(folder / "data") as dataset:
        for name in NAMES:
            ClassEditor(dataset).add(name)
        dataset.runs.begin("20260101-120000-simple", "baseline", {})
        dataset.runs.end("20260101-120000-simple", "done", {})
        take_snapshot(dataset, "audited", "")
    return folder


def environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
    return {
        "LC_ALL": "C.UTF-8",
        **kept,
        "HOME": str(home),
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": python_path(),
        "TERM": "xterm",
        "GLEANSET_DATASET": str(home / "data"),
    }


class Terminal:
    """A shell on a terminal, into which a person types; `shown` is the line as it stands."""

    def __init__(self, shell: str, home: Path, words: list[str]) -> None:
        self.shell, self._out = shell, home / f"line-{shell}"
        self._here, there = pty.openpty()
        self._process = subprocess.Popen(
            words,
            stdin=there,
            stdout=there,
            stderr=there,
            cwd=home,
            env=environment(home),
            start_new_session=True,
        )
        os.close(there)

    def type(self, text: str) -> None:
        os.write(self._here, text.encode())

    def drain(self, seconds: float = 0.0) -> str:
        """What the shell has shown since."""
        said = b""
        while select.select([self._here], [], [], seconds)[0]:
            try:
                said += os.read(self._here, 65536)
            except OSError:
                break
        return said.decode(errors="replace")

    def completed(self, typed: str) -> str:
        """The line after TAB."""
        self._out.unlink(missing_ok=True)
        self.type(f"\x15{typed}\t\x07")

        def written() -> bool:
            self.drain()
            return self._out.is_file() and self._out.read_text().endswith("\n")

        assert eventually(written), self.drain()
        return self._out.read_text().removesuffix("\n")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._here)


def started(shell: str, home: Path) -> Terminal:
    out = home / f"line-{shell}"
    if shell == "bash":
        start = (
            'eval "$(gleanset completion bash)"\n'
            f'bind -x \'"\\C-g": printf "%s\\n" "$READLINE_LINE" > {out}\'\n'
        )
        (home / "rc").write_text(start)
        return Terminal(shell, home, ["bash", "--noprofile", "--rcfile", str(home / "rc"), "-i"])
    (home / ".zshrc").write_text(
        "autoload -Uz compinit && compinit -u -D\n"
        'eval "$(gleanset completion zsh)"\n'
        f'show() {{ print -r -- "$BUFFER" > {out} }}\n'
        "zle -N show\nbindkey '^G' show\nbindkey '^U' kill-whole-line\n"
    )
    return Terminal(shell, home, ["zsh", "-d", "-i"])


@pytest.fixture(scope="module", params=["bash", "zsh"])
def terminal(request: pytest.FixtureRequest, home: Path) -> Iterator[Terminal]:
    needs(request.param)
    made = started(request.param, home)
    yield made
    made.close()


def meant(line: str, home: Path) -> list[str]:
    """The words that a shell makes of a line."""
    done = subprocess.run(
        ["bash", "--norc", "-c", f"printf '%s\\0' {line}"],
        cwd=home,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("labeler accept h", ["labeler", "accept", "hints"]),
        ("labeler label it", ["labeler", "label", "it's"]),
        ("labeler label \\$", ["labeler", "label", "$(touch pwned)"]),
        ("labeler label 'a;", ["labeler", "label", "a;touch pwned"]),
        ("labeler label 猫", ["labeler", "label", "猫 и кот"]),
        ('labeler gallery --class "my', ["labeler", "gallery", "--class", "my class"]),
        ("labeler gallery --class=my", ["labeler", "gallery", "--class=my class"]),
        ("harvest keyword --source fl", ["harvest", "keyword", "--source", "flickr"]),
        ("baseline evaluate 2026", ["baseline", "evaluate", "20260101-120000-simple"]),
        ("gleanset restore au", ["gleanset", "restore", "audited"]),
        ("labeler split --dataset da", ["labeler", "split", "--dataset", "data/"]),
    ],
)
def test_tab_writes_what_is_meant(
    terminal: Terminal, home: Path, typed: str, words: list[str]
) -> None:
    if "=" in typed and terminal.shell == "bash":
        pytest.skip("for Bash an equals sign ends a word")
    line = terminal.completed(typed)
    if line.count("'") % 2 and "\\'" not in line:
        line += "'"  # zsh leaves a quote open for more
    if line.count('"') % 2:
        line += '"'
    assert meant(line, home) == words
    assert not list(home.rglob("pwned")), "nothing of a name is carried out"


def fish(home: Path, line: str, *options: str) -> list[str]:
    code = f"gleanset completion fish | source; complete {' '.join(options)} -C $argv[1]"
    done = subprocess.run(
        ["fish", "--no-config", "-c", code, line],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        check=True,
    )
    return [one.partition("\t")[0] for one in done.stdout.splitlines()]


def test_fish_is_told_the_same(home: Path) -> None:
    needs("fish")
    assert fish(home, "labeler label my") == ["my class"]
    assert fish(home, "labeler label '$(") == ["$(touch pwned)"]
    assert fish(home, "labeler label '$(", "--escape") == ["'$(touch pwned)'"]
    assert set(fish(home, "labeler label ")) == set(NAMES)
    assert fish(home, "harvest keyword --source=fl") == ["--source=flickr"]
    assert "data/" in fish(home, "labeler split -d da")
    assert not list(home.rglob("pwned"))


@pytest.mark.parametrize("shell", SHELLS)
def test_it_is_installed_where_the_shell_looks(tmp_path: Path, shell: str) -> None:
    where = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}
    where |= {"BASH_COMPLETION_USER_DIR": "", "ZDOTDIR": ""}

    def run(*options: str) -> Ran:
        return run_here("pipeline.cli", "completion", shell, "--json", *options, **where)

    first = run("--install").json
    folder = {
        "bash": ".local/share/bash-completion/completions",
        "zsh": ".local/share/zsh/site-functions",
        "fish": ".config/fish/completions",
    }[shell]
    assert {Path(path).parent for path in first["written"]} == {tmp_path / folder}
    assert run("--install").json == first
    made = {p for p in tmp_path.rglob("*") if p.is_file()}
    assert made == set(map(Path, first["written"])), "nobody's start-up files are written"
    theirs = Path(first["written"][0])
    theirs.write_text("# somebody else's\n")
    refused = run("--install")
    assert refused.code == 2
    assert "not ours" in refused.stderr
    assert theirs.read_text() == "# somebody else's\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_what_is_installed_is_found_by_the_shell(tmp_path: Path, home: Path, shell: str) -> None:
    needs(shell)
    where = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": "", "ZDOTDIR": ""}
    left = run_here("pipeline.cli", "completion", shell, "--install", "--json", **where).json
    lines = "\n".join(left.get("left_to_you", [])[1:])
    code = (
        f"{lines}\nprint -r -- $_comps[labeler]" if shell == "zsh" else "complete -C 'labeler acc'"
    )
    done = subprocess.run(
        [shell, "-c", code],
        env=environment(home) | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.partition("\t")[0].strip() == {"zsh": "_labeler", "fish": "accept"}[shell]


def test_names_are_those_there_are() -> None:
    assert source_names() == [source.name for source in SOURCES]
    assert detector_names() == [detector.name for detector in DETECTORS]


def test_every_name_that_the_dataset_knows_is_completed() -> None:
    wanted = {"--class", "--label", "--run", "--preset", "--detector", "--source", "--hint"}

    def commands(group: click.Group) -> Iterator[click.Command]:
        for found in group.commands.values():
            yield from commands(found) if isinstance(found, click.Group) else (found,)

    without = [
        (command.name, option.opts)
        for module in GROUPS
        for command in commands(module.commands)
        for option in command.params
        if wanted & set(option.opts) and option._custom_shell_complete is None
    ]
    assert without == []


def test_completing_loads_nothing_heavy(home: Path) -> None:
    code = (
        "import atexit, sys\n"
        "heavy = {'numpy', 'cv2', 'torch', 'PySide6', 'PIL', 'requests', 'lxml'}\n"
        "atexit.register(lambda: print(*sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "import {room}.cli\n{room}.cli.main()\n"
    )
    for program, line in (
        ("harvest", "keyword --source "),
        ("facecrop", "run --detector "),
        ("baseline", "evaluate "),
        ("labeler", "label "),
    ):
        asked = {
            f"_{program.upper()}_COMPLETE": "bash_complete",
            "COMP_WORDS": "\n".join([program, *line.split(), ""]),
            "COMP_CWORD": str(len(line.split()) + 1),
        }
        done = subprocess.run(
            [sys.executable, "-c", code.replace("{room}", program)],
            env=environment(home) | asked,
            capture_output=True,
            text=True,
        )
        assert done.stdout.startswith("plain,")
        assert done.stderr.strip() == ""

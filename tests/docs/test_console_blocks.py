"""Commands of pages and tutorials parse, and run as printed unless excluded with a reason."""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from console_blocks import Command, steps
from shell_session import CommandResult
from shown_output import describe_difference
from tools_for_tests import ROOT
from tutorial_home import (
    CASCADE,
    DrawnSites,
    at_home,
    at_tutorial,
    furnish_for_docs,
    printed,
)

from gleanset.cli import HELP
from tools.command_reference import GROUPS

PAGES = [
    ROOT / "README.md",
    *sorted(
        page for page in (ROOT / "docs").glob("*.md") if page.name != "commands.md"
    ),
]
PROGRAMS = {module.commands.name: module.commands for module in GROUPS}

# Commands that are not run: page, beginning of the command, reason.
EXCLUDED = [
    ("*", "python3 -m pip", "installs from the net"),
    ("*", "python3 bootstrap.py", "installs; what checks every change runs it"),
    ("*", "uv", "installs from the net"),
    ("add-a-source.md", "pytest", "of a source that the page writes"),
    ("detectors.md", "facecrop run --detector onnx", "a model of the reader's own"),
    ("detectors.md", "facecrop run --detector hub:", "fetches a model from a hub"),
    ("detectors.md", "python benchmarks/", "pictures with truth, and hours"),
    ("detectors.md", "pytest", "of a detector that the page writes"),
    ("episodes.md", "labeler label", "tracks and samples of the reader's own"),
    (
        "recipes.md",
        "gleanset run cats-vs-owls",
        "1,920 photos; test_case_recipes.py has fewer",
    ),
    (
        "recipes.md",
        "gleanset run memes.toml",
        "a folder of photos has to be filled in first",
    ),
    ("start.md", "labeler label", "clusters and images of the reader's own"),
    ("start.md", "rsync", "needs another computer"),
    ("webapp.md", "webapp reports accept", "numbers of reports that came in"),
    ("webapp.md", "webapp reports refuse", "numbers of reports that came in"),
    ("webapp.md", "gleanset forget --report", "numbers of reports that came in"),
]


def commands(page: Path) -> list[Command]:
    return [step for step in steps(page) if isinstance(step, Command)]


def parts(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in a shell line."""
    words = shlex.shlex(text, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    words.commenters = ""
    part: list[str] = []
    for word in [*words, ";"]:
        if word in ("do", "done") or set(word) <= set("|&;<>()"):
            yield part
            # A file follows `>`.
            part = ["file"] if ">" in word else []
        else:
            # The shell would insert a value, such as the number of a fold.
            part.append("1" if word.startswith("$") else word)


def iter_own_commands() -> Iterator[Any]:
    """Yield our commands in all pages, with their position."""
    for page in [*PAGES, *sorted((ROOT / "docs" / "tutorials").glob("*.md"))]:
        for command in commands(page):
            for words in parts(command.plain):
                if words and Path(words[0]).name in PROGRAMS:
                    yield pytest.param(
                        words, id=f"{page.name}:{command.line} {' '.join(words)}"
                    )


@pytest.mark.parametrize("words", list(iter_own_commands()))
def test_documented_commands_parse(words: list[str]) -> None:
    command: click.Command = PROGRAMS[Path(words[0]).name]
    rest = words[1:]
    above = None
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        above = click.Context(command, parent=above, **HELP)
        result = command.get_command(above, rest[0])
        assert result is not None
        command = result
        rest = rest[1:]
    if isinstance(command, click.Group):
        assert command.invoke_without_command
    with command.make_context(words[0], rest, parent=above) as context:
        assert context.params


def exclusion_reason(page: Path, command: Command) -> str | None:
    return next(
        (
            why
            for name, begins, why in EXCLUDED
            if name in ("*", page.name) and command.plain.startswith(begins)
        ),
        None,
    )


def test_skipped_commands_are_documented() -> None:
    unused = [
        (name, begins)
        for name, begins, _ in EXCLUDED
        if not any(
            command.plain.startswith(begins)
            for page in PAGES
            if name in ("*", page.name)
            for command in commands(page)
        )
    ]
    assert unused == []


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the demo dataset, which has a model."""
    from gleanset.work.progress import Progress
    from pipeline.demo import run_demo

    root = tmp_path_factory.mktemp("demo") / "my-dataset"
    run_demo(root, Progress(), lambda _: None)
    return root


@pytest.mark.long
@pytest.mark.parametrize(
    "page", [page for page in PAGES if commands(page)], ids=lambda page: page.stem
)
def test_page_runs_as_printed(page: Path, demo: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    names = furnish_for_docs(home, demo)
    if f"cascade={CASCADE.name}" in page.read_text():
        if not CASCADE.is_file():
            pytest.skip(f"needs a file of other people's: {CASCADE}")
        shutil.copy(CASCADE, home)
    sites = DrawnSites({"rin toyama": "hana", "owl": "owl"}, each=40)
    variables = {"GLEANSET_DATASET": str(home / "my-dataset")}
    with at_home(home, tmp_path / "scratch", sites, names, variables) as shell:
        shell.follow(
            command
            for command in commands(page)
            if exclusion_reason(page, command) is None
        )
    assert shell.failed == []


TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.mark.long
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_tutorial_runs_as_printed(page: Path, tmp_path: Path) -> None:
    if "google" in page.read_text() and shutil.which("certutil") is None:
        pytest.skip(
            "needs certutil, so that Chromium trusts the stand-in: libnss3-tools"
        )
    with at_tutorial(page, tmp_path / "home", tmp_path / "scratch") as shell:
        shell.follow(printed(page))
        assert len(shell.results) > 5
    assert shell.failed == []
    problems = [
        f"line {result.command.line}: {result.command.plain}\n{problem}"
        for result in shell.results
        if (problem := describe_difference(result, shell.home))
    ]
    assert problems == [], "\n\n".join(problems)


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_tutorial_shows_printed_output(page: Path) -> None:
    assert len([command for command in commands(page) if command.output]) >= 5


PRINTED = """\
images: 160, faces: 158
pairs to decide:
  see: labeler groups --doubtful -d .
  a.jpg at 0:36.7, 17cd9f98 (rei)
report:
  /home/me/shows/runs/20261130-095037-transfer/report.html
"""


@pytest.mark.parametrize(
    ("shown", "is_right"),
    [
        (PRINTED, True),
        ("images: 161, faces: 160\n…\n", True),
        ("…\n  see: labeler groups\n    --doubtful -d .\n…", True),
        ("…\nreport: /home/me/shows/runs/20261120-145203-transfer/report.html", True),
        ("… at 1:02.5, b84c6451 (rei)\n…", True),
        ("images: 160, faces: 158", False),
        ("images: 260, faces: 158\n…", False),
        ("pictures: 160, faces: 158\n…", False),
        ("…\nsee: labeler groups\n…\nimages: 160, faces: 158\n…", False),
        ("…\nreport: /home/me/shows/runs/20261120-145203-simple/report.html", False),
    ],
)
def test_output_of_a_page_is_compared(shown: str, is_right: bool) -> None:
    printed = PRINTED.replace("/home/me", "/tmp/x/home")
    result = CommandResult(Command(1, "x", shown), 0, printed)
    assert (describe_difference(result, Path("/tmp/x/home")) == "") == is_right

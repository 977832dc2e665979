"""What commands print for a person fits in 80 columns.

A line is longer only where one path, address or command stands on it alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools_for_tests import picture, run_here

from gleanset.terminal import WIDTH, columns, readable

CLASSES = (
    "a class of very many words, as they come from folders that somebody else has named once",
    "猫の写真を集めたとても長い名前のクラスで端末の一行には収まらないものをここに置く" * 2,
    "without_a_single_space_" * 4,
    *(f"class {number:02}" for number in range(20)),
)

LINES = (
    "harvest folder {tree} --hints-from-folders --class-level 2",
    "harvest folder {tree} --hints-from-folders",
    "facecrop run --detector whole --simulate",
    "facecrop run --detector whole",
    "labeler dedup",
    "labeler accept hints --simulate",
    "labeler accept hints",
    "labeler classes list",
    "labeler quality",
    "labeler split --folds 2",
    "labeler split --ratio 2:1:1",
    "labeler balance --method copies",
    "labeler audit",
    "labeler export {out}",
    "labeler import {tree} --simulate",
    "labeler import {other}",
    "labeler undo",
    "gleanset snapshot audited --note {note}",
    "gleanset snapshot",
    "gleanset status",
    "gleanset verify",
    "gleanset gc",
    "gleanset recipes",
    "gleanset report",
)


def too_long(text: str) -> Iterator[str]:
    """Lines beyond 80 columns on which more than one path, address or command stands."""
    for line in text.splitlines():
        alone = line.strip()
        if columns(line) > WIDTH and not alone.startswith(
            (
                "/",
                "https://",
                "gleanset ",
                "harvest ",
                "facecrop ",
                "labeler ",
                "baseline ",
            )
        ):
            yield line


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each command printed on stdout, in a dataset of long names in a deep folder."""
    folder = tmp_path_factory.mktemp("deep") / ("a long name of a folder " * 3).strip()
    tree, other = folder / "pictures", folder / "other"
    for place, start in ((tree, 0), (other, 500)):
        for number, name in enumerate(CLASSES):
            for each in range(2):
                path = place / name / f"{each}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(picture(start + 2 * number + each))
    words = {"tree": tree, "other": other, "out": folder / "out", "note": "words " * 30}
    told: dict[str, str] = {}
    for line in LINES:
        program, *rest = line.split()
        module = "pipeline.cli" if program == "gleanset" else f"{program}.cli"
        given = [one.format(**words) for one in rest]
        if line != "gleanset recipes":
            given += ["-d", str(folder / "dataset")]
        if line.startswith(("harvest folder", "labeler import")):
            given += ["--workers", "1"] if "status" not in line else []
        done = run_here(module, *given, COLUMNS="80")
        assert done.code == 0, (line, done.stderr)
        told[line] = done.stdout
    return told


@pytest.mark.slow  # some thirty commands, one after the other
def test_every_summary_fits_80_columns(said: dict[str, str]) -> None:
    assert {line: found for line, text in said.items() if (found := [*too_long(text)])} == {}
    assert [line for line, text in said.items() if not text.strip()] == []


@pytest.mark.slow
def test_a_split_shows_a_short_table(said: dict[str, str]) -> None:
    short = said["labeler split --ratio 2:1:1"]
    assert len(short.splitlines()) < 40
    assert "class train val test" in " ".join(short.split())
    assert "more: see --json" in short


def test_results_of_a_training_fit() -> None:
    figures = {"count": 38, "accuracy": 0.9123, "at_least": 0.81, "at_most": 0.97}
    figures |= {"log_loss": 0.301, "macro_f1": 0.9, "commonest_class": 0.2}
    report = Path("/work") / ("a folder with a long name " * 3).strip() / "report.html"
    shown = readable(
        {
            "run": "20261120-145203-transfer",
            "chosen": "transfer is level with triplet, and simple is behind both of them by more "
            "than luck would explain on these pictures",
            "val": figures,
            "report": str(report),
            "next": f"labeler export OUT -d {shlex.quote(str(report.parent))}",
        }
    )
    assert list(too_long("\n".join(shown))) == []
    assert f"  {report}" in shown

"""Summaries list disputed, conflicting and rejected files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from labelled_images import encoded, picture, run_labeler
from tools_for_tests import Ran, run_here

from gleanset import Dataset


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Six images, one in two classes and one with a copy, and two invalid files."""
    for number in range(6):
        file = tmp_path / "tree" / ("hana", "rei")[number % 2] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(picture(number, (360, 240))))
    rei = tmp_path / "tree" / "rei"
    (rei / "same.jpg").write_bytes((tmp_path / "tree" / "hana" / "0.jpg").read_bytes())
    (rei / "copy.jpg").write_bytes(encoded(picture(2, (360, 240)).resize((300, 200))))
    (rei / "no picture.jpg").write_bytes(b"x")
    (rei / "bad\x1b[31m.jpg").write_bytes(b"x")
    return tmp_path / "tree"


def printed_text(ran: Ran) -> str:
    assert ran.code == 0, ran.stderr
    assert "\x1b" not in ran.stdout
    # Commands and paths are not wrapped.
    unwrapped = ("gleanset ", "labeler ", "baseline ", "to: ", "dataset: ")
    lines = [
        line for line in ran.stdout.splitlines() if not any(start in line for start in unwrapped)
    ]
    lines = [line for line in lines if not Path(line.strip()).is_dir()]
    assert max(map(len, lines), default=0) <= 80
    return ran.stdout


def run_suggested_command(command: str) -> Sequence[dict[str, object]]:
    """Run a command of a summary; return its JSON lines."""
    program, *words = command.split()
    modules = {"gleanset": "pipeline.cli", "labeler": "labeler.cli"}
    ran = run_here(modules[program], *words)
    assert ran.code == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_import_lists_disputed_and_invalid_files(empty: Dataset, tree: Path) -> None:
    text = printed_text(run_labeler("import", tree, "-d", empty.root))
    assert "hana/0.jpg: hana, rei/same.jpg: rei" in text
    assert "rei/no picture.jpg: not an image" in text
    assert r"'rei/bad\x1b[31m.jpg': not an image" in text
    see = next(line for line in text.splitlines() if "gleanset list" in line)
    rows = {
        Path(str(row["item"])).name: row
        for row in run_suggested_command(see.removeprefix("  see:"))
    }
    assert {name: row["reason"] for name, row in rows.items()} == {
        "0.jpg": "disputed",
        "same.jpg": "disputed",
        "no picture.jpg": "not an image",
        "bad\x1b[31m.jpg": "not an image",
    }
    assert rows["same.jpg"]["detail"] == "label rei, hana/0.jpg: hana"


def test_settled_dispute_is_forgotten(empty: Dataset, tree: Path) -> None:
    line = ("import", tree, "-d", empty.root)
    run_labeler(*line)
    key = next(sample.key for sample in empty.samples.iter_by_key() if sample.status == "queue")
    run_labeler("label", "rei", key, "-d", empty.root)
    text = printed_text(run_labeler(*line))
    assert "hana/0.jpg: hana, decided: rei" in text
    (tree / "hana" / "0.jpg").unlink()
    assert "disputed files" not in printed_text(run_labeler(*line))


def test_conflicting_copies_are_listed(empty: Dataset, tree: Path, tmp_path: Path) -> None:
    dataset_option = ("-d", empty.root)
    run_labeler("import", tree, *dataset_option)
    pair = "hana/2.jpg is hana, rei/copy.jpg is rei"
    for words in (("dedup", "--simulate"), ("dedup",), ("dedup",)):
        assert pair in printed_text(run_labeler(*words, *dataset_option))
    for module, words in (
        ("labeler.cli", ("split",)),
        ("labeler.cli", ("export", tmp_path / "out")),
        ("pipeline.cli", ("status",)),
    ):
        text = printed_text(run_here(module, *words, *dataset_option))
        assert "hana/2.jpg is hana" in text
        assert f"labeler groups --conflicts -d {empty.root}" in text
    result = run_labeler("dedup", *dataset_option, "--json").json["labelled_differently"]
    assert result == {"see": f"labeler groups --conflicts -d {empty.root}", "files": [pair]}
    (group,) = run_suggested_command(result["see"])
    files = group["files"]
    assert isinstance(files, list)
    assert sorted(files) == [str(tree / "hana" / "2.jpg"), str(tree / "rei" / "copy.jpg")]
    run_labeler("label", "hana", group["kept"], *group["others"], *dataset_option)  # type: ignore[misc]
    for words in (("dedup",), ("split",)):
        assert "labelled differently" not in printed_text(run_labeler(*words, *dataset_option))

"""Commands that edit classes and label samples."""

from __future__ import annotations

from typing import Any

import pytest
from labeler_makers import add_faces, add_image
from tools_for_tests import run_here

from gleanset import Dataset, Origin
from gleanset.db.classes import list_aliases
from gleanset.db.journal import Choice
from gleanset.errors import UsageError
from labeler.acceptance import accept_hints, plan_hints
from labeler.classes import ClassEditor


def labelled(dataset: Dataset, **numbers: int) -> None:
    for label, number in numbers.items():
        for at in range(number):
            (key,) = add_faces(dataset, add_image(dataset, f"{label}-{at}"), [0])
            dataset.journal.apply("Label", [Choice(key, "label", label)])


def hinted(dataset: Dataset, name: str, hint: str) -> None:
    add_faces(dataset, add_image(dataset, name, Origin("folder", name, hint=hint)), [0])


def counted(dataset: Dataset) -> dict[str, int]:
    result = dict.fromkeys(dataset.classes.list_names(), 0)
    for sample in dataset.samples.iter_by_key():
        if sample.label is not None:
            result[sample.label] += 1
    return result


def test_each_class_edit_is_one_undo_step(empty: Dataset) -> None:
    labelled(empty, hana=2, rei=1)
    editor, before = ClassEditor(empty), counted(empty)
    for edit, after in (
        (lambda: editor.add("asuka"), {"asuka": 0, "hana": 2, "rei": 1}),
        (lambda: editor.rename("hana", "Hana M"), {"Hana M": 2, "rei": 1}),
        (lambda: editor.merge("rei", "hana"), {"hana": 3}),
        (lambda: editor.delete("hana"), {"rei": 1}),
    ):
        edit()
        assert counted(empty) == after
        empty.journal.undo()
        assert counted(empty) == before
        assert list_aliases(empty.db) == {}


def test_alias_resolves_to_class(empty: Dataset) -> None:
    labelled(empty, miku=1)
    editor = ClassEditor(empty)
    editor.add_alias("初音ミク", "miku")
    assert list_aliases(empty.db) == {"miku": ["初音ミク"]}
    hinted(empty, "a", "初音ミク")
    assert accept_hints(empty).result()["labels"] == {"miku": 1}
    editor.rename("初音ミク", "Hatsune Miku")
    assert counted(empty) == {"Hatsune Miku": 2}
    editor.remove_alias("初音ミク")
    assert list_aliases(empty.db) == {}
    hinted(empty, "b", "初音ミク")
    assert plan_hints(empty).result()["labels"] == {"初音ミク": 1}


def test_alias_may_contain_reserved_characters(empty: Dataset) -> None:
    labelled(empty, rezero=1)
    editor = ClassEditor(empty)
    editor.add_alias("Re:Zero", "rezero")
    hinted(empty, "a", "Re:Zero")
    assert accept_hints(empty).result()["labels"] == {"rezero": 1}
    # A class may not have such a name, even without the alias.
    editor.remove_alias("Re:Zero")
    for name in ("Re:Zero", "a:b"):
        with pytest.raises(UsageError, match="is not a class name"):
            editor.add(name)
        with pytest.raises(UsageError, match="is not a class name"):
            empty.classes.resolve(name)


def test_invalid_class_edits_raise_error(empty: Dataset) -> None:
    labelled(empty, hana=1, rei=1)
    editor, before = ClassEditor(empty), empty.journal.count()
    for edit, error in (
        (lambda: editor.add_alias("rei", "hana"), "'rei' is already a class"),
        (lambda: editor.add_alias("x", "nobody"), "there is no class 'nobody'"),
        (lambda: editor.remove_alias("hana"), "'hana' is not an alias"),
        (lambda: editor.remove_alias("nobody"), "'nobody' is not an alias"),
        (lambda: editor.delete("nobody"), "there is no class 'nobody'"),
    ):
        with pytest.raises(UsageError, match=error):
            edit()
        assert counted(empty) == {"hana": 1, "rei": 1}
        assert empty.journal.count() == before


def test_classes_command(empty: Dataset) -> None:
    labelled(empty, hana=1, hanna=2)

    def run(*words: str) -> Any:
        done = run_here("labeler.cli", "classes", *words, "--json", "-d", empty.root)
        assert done.code == 0, done.stderr
        return done.json

    assert run("merge", "hanna", "hana")["moved"] == 2
    run("add", "asuka")
    run("add", "hana", "--alias", "はな")
    run("add", "rei", "--alias", "Ayanami")
    run("add", "rei", "--show", "Eva")
    run("delete", "Ayanami")
    run("add", "rei", "--alias", "零")
    run("add", "misato")
    run("delete", "misato")
    run("rename", "asuka", "Asuka")
    result = {row["name"]: row for row in run("list")["classes"]}
    assert set(result) == {"hana", "Asuka", "rei"}
    row = {"name": "hana", "samples": 3, "show": None, "aliases": ["hanna", "はな"]}
    assert result["hana"] == row | {"key": result["hana"]["key"]}
    assert (result["rei"]["show"], result["rei"]["aliases"]) == ("Eva", ["零"])
    assert len({row["key"] for row in result.values()}) == 3
    add = ("classes", "add", "--from", "classes.txt", "-d", empty.root)
    refused = run_here("labeler.cli", *add)
    assert (refused.code, "xargs" in refused.stderr) == (2, True)


def test_deleted_class_leaves_splits_until_undo(empty: Dataset) -> None:
    labelled(empty, hana=3, rei=3)
    keys = [sample.key for sample in empty.samples.iter_by_key()]
    empty.samples.set_splits({key: (key, "test") for key in keys}, "by hand")
    before = {sample.key: sample for sample in empty.samples.iter_by_key()}
    root = ("-d", empty.root, "--json")
    done = run_here("labeler.cli", "classes", "delete", "hana", *root)
    assert done.json["back_in_queue"] == 3, done.stderr
    for sample in empty.samples.iter_by_key():
        placed = (sample.split, sample.split_group)
        wanted = ("test", sample.key) if sample.label == "rei" else (None, None)
        assert placed == wanted
    assert run_here("labeler.cli", "undo", *root).code == 0
    assert {sample.key: sample for sample in empty.samples.iter_by_key()} == before


@pytest.fixture
def keys(empty: Dataset) -> list[str]:
    return add_faces(empty, add_image(empty, "a"), (0, 30, 60))


def label(dataset: Dataset, *words: str) -> int:
    return run_here("labeler.cli", "label", *words, "-d", dataset.root).code


def test_label_reject_and_undo(empty: Dataset, keys: list[str]) -> None:
    assert label(empty, "hana", *keys[:2]) == 0
    assert label(empty, "--reject", keys[2]) == 0
    states = {s.key: (s.status, s.label) for s in empty.samples.iter_by_key()}
    assert states[keys[0]] == states[keys[1]] == ("labelled", "hana")
    assert states[keys[2]] == ("rejected", None)
    assert "Reject 1" in run_here("labeler.cli", "undo", "-d", empty.root).stdout
    assert "Label 2 as hana" in run_here("labeler.cli", "undo", "-d", empty.root).stdout
    assert {s.status for s in empty.samples.iter_by_key()} == {"queue"}


def test_misspelt_class_raises_error(empty: Dataset, keys: list[str]) -> None:
    assert label(empty, "hatsune_miku", keys[0]) == 0
    refused = run_here("labeler.cli", "label", "hatsune_mikuu", keys[1], "-d", empty.root)
    assert refused.code == 2
    assert "did you mean 'hatsune_miku'?" in refused.stderr
    assert "labeler classes add hatsune_mikuu" in refused.stderr
    assert empty.classes.list_names() == ["hatsune_miku"]
    assert label(empty, "rei", keys[1]) == 0, "unlike other names"
    add = ("classes", "add", "hatsune_mikuu", "-d", empty.root)
    assert run_here("labeler.cli", *add).code == 0
    assert label(empty, "hatsune_mikuu", keys[2]) == 0
    assert empty.classes.list_names() == ["hatsune_miku", "hatsune_mikuu", "rei"]


def test_alias_is_not_misspelt(empty: Dataset, keys: list[str]) -> None:
    assert label(empty, "hana", keys[0]) == 0
    add = ("classes", "add", "hana", "--alias", "hanna", "-d", empty.root)
    assert run_here("labeler.cli", *add).code == 0
    assert label(empty, "hanna", keys[1]) == 0
    assert empty.classes.list_names() == ["hana"]

"""`labeler label`, `reject` and `undo`: decisions without a window."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from labeler_makers import add_faces, add_image

from gleanset import Dataset

Labeler = Callable[..., "subprocess.CompletedProcess[str]"]


def test_label_reject_and_undo(tmp_path: Path, labeler: Labeler) -> None:
    root = tmp_path / "dataset"
    with Dataset.create(root) as dataset:
        keys = add_faces(dataset, add_image(dataset, "a"), (0, 30, 60))
    assert labeler("label", "hana", keys[0], keys[1], "-d", root).returncode == 0
    assert labeler("label", "--reject", keys[2], "-d", root).returncode == 0
    with Dataset.open(root) as dataset:
        states = {s.key: (s.status, s.label) for s in dataset.samples.iter_by_key()}
    assert states[keys[0]] == states[keys[1]] == ("labelled", "hana")
    assert states[keys[2]] == ("rejected", None)
    assert "Reject 1" in labeler("undo", "-d", root).stdout
    assert "Label 2 as hana" in labeler("undo", "-d", root).stdout
    with Dataset.open(root) as dataset:
        assert {s.status for s in dataset.samples.iter_by_key()} == {"queue"}


def test_misspelt_class_raises_error(empty: Dataset, labeler: Labeler) -> None:
    first, second, third = (add_faces(empty, add_image(empty, name))[0] for name in "abc")
    assert labeler("label", "hatsune_miku", first, "-d", empty.root).returncode == 0
    slip = labeler("label", "hatsune_mikuu", second, "-d", empty.root)
    assert slip.returncode == 2
    assert "did you mean 'hatsune_miku'?" in slip.stderr
    assert "labeler classes add hatsune_mikuu" in slip.stderr
    assert empty.classes.list_names() == ["hatsune_miku"]
    assert labeler("label", "rei", second, "-d", empty.root).returncode == 0, "like no other"
    assert labeler("classes", "add", "hatsune_mikuu", "-d", empty.root).returncode == 0
    assert labeler("label", "hatsune_mikuu", third, "-d", empty.root).returncode == 0
    assert empty.classes.list_names() == ["hatsune_miku", "hatsune_mikuu", "rei"]


def test_alias_is_not_misspelt(empty: Dataset, labeler: Labeler) -> None:
    first, second = (add_faces(empty, add_image(empty, name))[0] for name in "ab")
    assert labeler("label", "hana", first, "-d", empty.root).returncode == 0
    assert labeler("classes", "add", "hana", "--alias", "hanna", "-d", empty.root).returncode == 0
    assert labeler("label", "hanna", second, "-d", empty.root).returncode == 0
    assert empty.classes.list_names() == ["hana"]

"""A person's own files: sorted into class folders, brought back, and read back when moved about."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from tempfile import gettempdir

import pytest
from labelled_pictures import encoded, picture
from tools_for_tests import run_cli, run_here

from gleanset import Dataset
from gleanset.db.images import note_moved
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.store import sha256_of_file
from gleanset.work.progress import Progress
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.export.own_files import (
    MovePlan,
    carry_out,
    checked_place,
    note_places,
    plan_moves,
    plan_return,
)
from labeler.export.plan import plan_export
from labeler.importing.job import import_labelled
from labeler.importing.request import ImportRequest

QUIET = Progress(quiet=True)
UNSPLIT = ExportOptions(no_split=True)
SHARED = Path("/dev/shm")
CLASSES = {0: "hana", 1: "rei", 2: "hana", 3: "other", 4: "rei"}


@pytest.fixture
def inbox(empty: Dataset, tmp_path: Path) -> Path:
    """Five pictures of a camera, of three classes, taken in; two of them have one name."""
    inbox = tmp_path / "inbox"
    for number, label in CLASSES.items():
        folder = inbox / label / f"day {number}"
        folder.mkdir(parents=True)
        (folder / f"img{number // 2}.jpg").write_bytes(encoded(picture(number)))
        os.utime(folder / f"img{number // 2}.jpg", (1_000_000 + number, 1_000_000 + number))
    take(empty, inbox)
    other = next(s for s in empty.samples.by_key() if s.label == "other")
    # A name that folders of splits have, too.
    empty.journal.step("relabel", [Choice(other.key, "label", "test")])
    return inbox


def take(dataset: Dataset, place: Path) -> dict[str, object]:
    return import_labelled(dataset, ImportRequest(path=str(place), workers=1))


def tree(root: Path) -> dict[str, tuple[str, float]]:
    """What lies where, with content and time."""
    files = (path for path in root.rglob("*") if path.is_file() and path.name[0] != ".")
    return {
        path.relative_to(root).as_posix(): (sha256_of_file(path), path.stat().st_mtime)
        for path in files
    }


def moved(dataset: Dataset, out: Path) -> MovePlan:
    plan = plan_moves(dataset, checked_place(dataset, out), UNSPLIT)
    list(carry_out(dataset, plan, QUIET))
    note_places(dataset, out)
    return plan


def returned(dataset: Dataset, out: Path) -> MovePlan:
    plan = plan_return(dataset, checked_place(dataset, out))
    list(carry_out(dataset, plan, QUIET))
    note_places(dataset, out)
    return plan


def labels(dataset: Dataset) -> Counter[str]:
    return Counter(str(s.label) for s in dataset.samples.by_key() if s.status == "labelled")


def test_files_are_moved_and_all_are_brought_back(
    empty: Dataset, inbox: Path, tmp_path: Path
) -> None:
    before, out = tree(inbox), tmp_path / "sorted"
    assert len(moved(empty, out).moves) == 5
    assert not tree(inbox)
    assert {name.split("/")[0] for name in tree(out)} == {"hana", "rei", "test"}
    assert sorted(tree(out).values()) == sorted(before.values())
    places = {str(o.path) for image in empty.images.each() for o in image.origins}
    assert places == {str(out / name) for name in tree(out)}
    again = moved(empty, out)
    assert (again.moves, again.in_place, again.left) == ([], 5, {})
    assert len(returned(empty, out).moves) == 5
    assert tree(inbox) == before
    assert not tree(out)


def test_two_of_one_name_and_strangers_are_never_replaced(
    empty: Dataset, inbox: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sorted"
    (out / "rei").mkdir(parents=True)
    (out / "rei" / "IMG0.jpg").write_bytes(b"of somebody else")
    (out / "rei" / "img0.jpg").write_bytes(b"of somebody else")
    before = tree(inbox)
    assert not moved(empty, out).left
    assert (out / "rei" / "img0.jpg").read_bytes() == b"of somebody else"
    assert {sha for sha, _ in before.values()} < {sha for sha, _ in tree(out).values()}
    occupied = inbox / "rei" / "day 1" / "img0.jpg"
    occupied.write_bytes(b"new")
    plan = returned(empty, out)
    assert list(plan.left.values()) == ["its old place is taken"]
    assert occupied.read_bytes() == b"new"
    assert len(plan.moves) == 4


def test_what_has_changed_is_gone_or_undecided_stays(
    empty: Dataset, inbox: Path, tmp_path: Path
) -> None:
    edited, gone, link = (
        next((inbox / label / f"day {n}").glob("*")) for n, label in list(CLASSES.items())[:3]
    )
    with edited.open("ab") as file:
        file.write(b"edited")
    gone.unlink()
    link.rename(tmp_path / "elsewhere.jpg")
    link.symlink_to(tmp_path / "elsewhere.jpg")
    undecided = next(s for s in empty.samples.by_key() if s.label == "test")
    empty.journal.step("back", [Choice(undecided.key, "add")])
    plan = moved(empty, tmp_path / "sorted")
    assert plan.left == {
        str(edited): "changed since it was taken in",
        str(gone): "not there any more",
        str(link): "a link",
    }
    assert link.is_symlink()
    assert list(tree(tmp_path / "sorted")) == ["rei/img2.jpg"]


def leave_as_killed(dataset: Dataset, out: Path) -> None:
    """One file is moved; of two others a kill left the row alone, and the file alone."""
    first, second, third, *_ = plan_moves(dataset, out, UNSPLIT).moves
    assert list(carry_out(dataset, MovePlan([first]), QUIET)) == [first]
    note_moved(dataset.db, second.sha256, second.key, (second.source, second.target))
    third.target.parent.mkdir(parents=True, exist_ok=True)
    third.source.rename(third.target)


def test_killed_between_a_file_and_its_row_nothing_is_lost(
    empty: Dataset, inbox: Path, tmp_path: Path
) -> None:
    before, out = tree(inbox), tmp_path / "sorted"
    leave_as_killed(empty, out)
    moved(empty, out)
    assert not tree(inbox)
    assert sorted(tree(out).values()) == sorted(before.values())
    returned(empty, out)
    assert tree(inbox) == before


def test_undone_from_such_a_state_all_is_where_it_was(
    empty: Dataset, inbox: Path, tmp_path: Path
) -> None:
    before, out = tree(inbox), tmp_path / "sorted"
    leave_as_killed(empty, out)
    returned(empty, out)
    assert tree(inbox) == before


def test_killed_on_the_way_back_a_file_with_another_name_is_found(
    empty: Dataset, inbox: Path, tmp_path: Path
) -> None:
    before, out = tree(inbox), tmp_path / "sorted"
    for label in ("hana", "rei", "test"):
        (out / label).mkdir(parents=True)
        for number in range(3):
            (out / label / f"img{number}.jpg").write_bytes(encoded(picture(50 + number)))
    moved(empty, out)
    for move in plan_return(empty, out).moves:
        assert len(move.source.stem) > len("img0-")
        note_moved(empty.db, move.sha256, move.key, (move.source, move.target))
    assert len(returned(empty, out).moves) == 5
    assert tree(inbox) == before


def test_a_later_decision_moves_a_file_on(empty: Dataset, inbox: Path, tmp_path: Path) -> None:
    before, out = tree(inbox), tmp_path / "sorted"
    moved(empty, out)
    one = next(s for s in empty.samples.by_key() if s.label == "test")
    empty.journal.step("relabel", [Choice(one.key, "label", "rei")])
    assert [move.target for move in moved(empty, out).moves] == [out / "rei" / "img1.jpg"]
    returned(empty, out)
    assert tree(inbox) == before


@pytest.mark.skipif(
    not SHARED.is_dir() or SHARED.stat().st_dev == Path(gettempdir()).stat().st_dev,
    reason="needs a second disk",
)
def test_to_another_disk_and_back(empty: Dataset, inbox: Path, tmp_path: Path) -> None:
    before, out = tree(inbox), SHARED / f"gleanset-{os.getpid()}"
    try:
        moved(empty, out)
        assert sorted(tree(out).values()) == sorted(before.values())
        assert not tree(inbox)
        returned(empty, out)
        assert tree(inbox) == before
    finally:
        shutil.rmtree(out, ignore_errors=True)


def test_what_is_moved_about_outside_comes_back_as_decisions(
    empty: Dataset, inbox: Path, tmp_path: Path
) -> None:
    before, out = tree(inbox), tmp_path / "sorted"
    moved(empty, out)
    shutil.move(out / "hana" / "img1.jpg", out / "rei" / "renamed.jpg")
    (out / "test" / "new.jpg").write_bytes(encoded(picture(9)))
    found = take(empty, out)
    assert (found["relabelled"], found["new_files"], found["disputed"]) == (1, 1, 0)
    assert labels(empty) == {"hana": 1, "rei": 3, "test": 2}
    assert moved(empty, out).moves == []
    # Decided anew in the window, the old place outside does not come up again.
    one = next(s for s in empty.samples.by_key() if s.label == "test")
    empty.journal.step("relabel", [Choice(one.key, "label", "hana")])
    assert take(empty, out)["relabelled"] == 0
    returned(empty, out)
    assert set(before.items()) <= set(tree(inbox).items())


def test_decided_here_and_otherwise_outside_is_a_dispute(
    empty: Dataset, inbox: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sorted"
    moved(empty, out)
    one = next(s for s in empty.samples.by_key() if s.label == "test")
    empty.journal.step("relabel", [Choice(one.key, "label", "hana")])
    shutil.move(out / "test" / "img1.jpg", out / "rei" / "img1.jpg")
    found = take(empty, out)
    assert (found["relabelled"], found["disputed"]) == (0, 1)
    assert labels(empty) == {"hana": 3, "rei": 2}
    [rejection] = empty.rejections.each()
    assert (rejection.reason, rejection.detail) == ("disputed", "it says rei, decided is hana")


def test_sorted_where_they_lie_the_unsorted_stay_what_they_are(empty: Dataset, inbox: Path) -> None:
    one = next(s for s in empty.samples.by_key() if s.label == "test")
    empty.journal.step("back", [Choice(one.key, "add")])
    moved(empty, inbox)
    assert {"hana/img0.jpg", "rei/img2.jpg", "other/day 3/img1.jpg"} <= set(tree(inbox))
    found = take(empty, inbox)
    assert (found["relabelled"], found["new_files"], found["unknown"]) == (0, 0, 1)
    sample = empty.samples.get(one.key)
    assert sample is not None
    assert sample.label is None


def test_places_that_are_not_for_your_files(empty: Dataset, inbox: Path, tmp_path: Path) -> None:
    with pytest.raises(InputUnusable, match="lies in the dataset"):
        checked_place(empty, empty.root / "exports" / "mine")
    export(empty, tmp_path / "out", UNSPLIT, workers=1)
    with pytest.raises(InputUnusable, match="is an export"):
        checked_place(empty, tmp_path / "out")
    moved(empty, tmp_path / "sorted")
    with pytest.raises(InputUnusable, match="not from an export"):
        export(empty, tmp_path / "sorted", UNSPLIT, workers=1)
    assert len(tree(tmp_path / "sorted")) == 5


def test_copies_without_a_split_are_class_folders_that_come_back(
    empty: Dataset, inbox: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = export(empty, out, UNSPLIT, workers=1)
    assert done["exported"] == 5
    assert "splits" not in done
    folders = {path.name for path in out.iterdir() if path.is_dir()}
    assert folders == {"hana", "rei", "test"}
    assert len(tree(inbox)) == 5
    card = (out / "README.md").read_text()
    assert "| class | all |" in card
    assert 'ImageFolder(".")' in card
    assert take(empty, out)["unchanged"] == 5
    shutil.move(next((out / "test").glob("*")), out / "rei")
    assert take(empty, out)["relabelled"] == 1
    assert labels(empty) == {"hana": 2, "rei": 3}
    linked = tmp_path / "linked"
    export(empty, linked, ExportOptions(no_split=True, link=True), workers=1)
    assert all(path.stat().st_nlink > 1 for path in linked.rglob("*.jpg"))
    with pytest.raises(UsageError, match="read by its splits"):
        ExportOptions(no_split=True, format="yolo-detect")
    with pytest.raises(InputUnusable, match="no labelled sample has a split"):
        plan_export(empty)


def test_the_command_asks_first(empty: Dataset, inbox: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    words = ("export", out, "-d", empty.root)
    before = tree(inbox)
    asked = run_cli("labeler.cli", *words, "--no-split", "--move")
    assert asked.code == 2
    assert "nothing was moved" in asked.stderr
    shown = run_here("labeler.cli", *words, "--no-split", "--move", "--simulate")
    assert len(shown.stdout.splitlines()) == 5
    assert tree(inbox) == before
    for wrong in (["--move"], ["--undo", "--no-split"], ["--no-split", "--move", "--link"]):
        assert run_here("labeler.cli", *words, *wrong, "-y").code == 2
    done = run_here("labeler.cli", *words, "--no-split", "--move", "-y", "--json").json
    assert (done["moved"], done["left"]) == (5, 0)
    assert run_here("labeler.cli", *words, "--undo", "-y", "--json").json["moved_back"] == 5
    assert tree(inbox) == before
    assert list(out.iterdir()) == []

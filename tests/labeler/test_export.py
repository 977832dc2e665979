"""Exporting to folders: names, replacing, and interruptions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from labelled_images import encoded, kill_export, mixed, picture, put, run_export, run_labeler
from PIL import Image

from gleanset import Box, Dataset, Origin
from gleanset.db.classes import Placement, Placements
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable
from labeler.export.plan import original_name, plan_export
from labeler.export.tree import MARKER

CARD = ("README.md", "LICENSES.csv", "croissant.json")


def read_tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in CARD
    }


def planned_paths(dataset: Dataset) -> list[str]:
    return sorted(item.path for item in plan_export(dataset))


def export(dataset: Dataset, out: Path) -> dict[str, bytes]:
    run_export(dataset, out)
    return read_tree(out)


def test_tree_layout_and_face_numbers(empty: Dataset, tmp_path: Path) -> None:
    left, middle, right = Box(5, 40, 20, 20), Box(45, 5, 20, 20), Box(80, 20, 20, 20)
    keys = put(empty, encoded(picture(0)), "Group Photo.jpg", [right, left, middle])
    put(empty, encoded(picture(1)), "alone.png", label="rei", split="test")
    result = export(empty, tmp_path / "out")
    assert set(result) == {
        "train/hana/Group Photo_1.jpg",
        "train/hana/Group Photo_2.jpg",
        "train/hana/Group Photo_3.jpg",
        "test/rei/alone.jpg",
        MARKER,
    }
    for number, key in enumerate((keys[1], keys[2], keys[0]), start=1):
        expected = empty.crop_path(key).read_bytes()
        assert result[f"train/hana/Group Photo_{number}.jpg"] == expected
    with Image.open(tmp_path / "out/test/rei/alone.jpg") as image:
        assert image.size == (120, 80)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("花子 写真.jpg", "花子 写真"),
        ("Zoe\u0308.jpg", "Zo\u00eb"),
        ("हिन्दी.jpg", "हिन्दी"),
        ("CON.jpg", "_CON"),
        ("lpt1.tar.jpg", "_lpt1.tar"),
        ("a/../b:c?.jpg", "b_c_"),
        ("x\\y\u202e\tz.jpg", "x_y__z"),
        (" (1) [a] & #b%.jpg", "(1) [a] & #b%"),
        ("....jpg", "_"),
        ("🎉.jpg", "🎉"),
        ("x" * 300 + ".jpg", "x" * 200),
    ],
)
def test_file_names_are_portable(title: str, expected: str) -> None:
    assert original_name([Origin("folder", "1", title=title)]) == expected


def test_colliding_file_names_stay_distinct(empty: Dataset) -> None:
    for number, title in enumerate(["Photo.jpg", "photo.jpg", "photo.png", "photo.jpg"]):
        origin = Origin("folder", str(number), title=title)
        put(empty, encoded(picture(number)), title, origin=origin)
    paths = planned_paths(empty)
    assert len({path.casefold() for path in paths}) == 4
    assert {path[:16].lower() for path in paths} == {"train/hana/photo"}


def test_export_is_reproducible_without_crops(empty: Dataset, tmp_path: Path) -> None:
    mixed(empty)
    first = export(empty, tmp_path / "one")
    shutil.rmtree(empty.root / "crops")
    assert export(empty, tmp_path / "two") == first


@pytest.mark.parametrize("foreign", ["notes.txt", "train/hana/mine.jpg"])
def test_foreign_files_are_not_replaced(empty: Dataset, tmp_path: Path, foreign: str) -> None:
    put(empty, encoded(picture(0)), "a.jpg")
    out = tmp_path / "out"
    if foreign != "notes.txt":
        export(empty, out)
    (out / foreign).parent.mkdir(parents=True, exist_ok=True)
    (out / foreign).write_text("mine")
    before = read_tree(out)
    done = run_labeler("export", out, "-d", empty.root)
    assert done.code == 3
    assert foreign in done.stderr
    assert "Traceback" not in done.stderr
    assert read_tree(out) == before


@pytest.mark.damages("an image is removed")
def test_unreadable_images_exit_with_code_3(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encoded(picture(0)), "kept.jpg")
    put(empty, encoded(picture(1)), "lost.jpg")
    next(i for i in plan_export(empty) if "lost" in i.path).original.unlink()
    ran = run_labeler("export", tmp_path / "out", "-q", "-d", empty.root)
    assert (ran.code, ran.stdout) == (3, "")
    assert "left out 1 unreadable images" in ran.stderr
    assert "gleanset verify" in ran.stderr
    assert read_tree(tmp_path / "out")


def test_failed_export_keeps_previous_one(empty: Dataset, tmp_path: Path) -> None:
    mixed(empty)
    before = export(empty, tmp_path / "out")
    shutil.rmtree(empty.root / "crops")
    (empty.root / "images").rename(tmp_path / "unplugged")
    with pytest.raises(InputUnusable, match="none of"):
        run_export(empty, tmp_path / "out", grayscale=True)
    assert read_tree(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir() if "gleanset" in path.name] == []


def test_simulate_counts_without_writing(empty: Dataset, tmp_path: Path) -> None:
    mixed(empty)
    words = ("export", tmp_path / "out", "--simulate", "-d", empty.root)
    result = run_labeler(*words, "--json").json
    assert result["would_export"] == 16
    assert sorted(result["paths"]) == planned_paths(empty)
    assert sum(sum(row.values()) for row in result["classes"].values()) == 16
    assert set(result["classes"]) == {"hana", "rei"}
    shown = run_labeler(*words).stdout
    assert "hana" in shown
    assert ".jpg" not in shown
    assert run_labeler(*words, "-v").stdout.count(".jpg") == 16
    assert not (tmp_path / "out").exists()


def test_left_out_samples_are_counted_by_reason(empty: Dataset, tmp_path: Path) -> None:
    keys = [put(empty, encoded(picture(n)), f"{n}.jpg")[0] for n in range(6)]
    licensed = Origin("folder", "6", title="6.jpg", licence="CC0")
    put(empty, encoded(picture(6)), "6.jpg", origin=licensed)
    queued, unsplit, duplicate, queued_duplicate = keys[:4]
    step = empty.journal.apply("back", [Choice(queued, "add"), Choice(queued_duplicate, "add")])
    rows = Pairs(empty.db).get_ids([duplicate, queued_duplicate])
    Placements(empty.db).apply(step, [Placement(row, False, keys[4], "copy") for row in rows])
    splits = {s.key: (s.key, s.split) for s in empty.samples.iter_by_key() if s.key != unsplit}
    empty.samples.set_splits(splits, "by hand")
    words = ("export", tmp_path / "out", "--licence", "cc0", "-d", empty.root)
    for also in (["--simulate"], []):
        summary = run_labeler(*words, *also, "--json").json
        assert summary["left_out"] == {
            "not labelled yet": 1,
            "duplicates": 2,
            "labelled, without a split": 1,
            "of another licence": 2,
        }
    assert summary["exported"] == empty.samples.count() - 6 == 1


@pytest.mark.slow
def test_kill_keeps_previous_export(empty: Dataset, tmp_path: Path) -> None:
    for number in range(40):
        put(empty, encoded(picture(number, (1100, 800)), quality=60), f"{number}.jpg")
    out, partial = tmp_path / "out", tmp_path / ".out.gleanset-partial"
    exported_keys = [item.sample.key for item in plan_export(empty)][:3]
    all_splits = {s.key: (s.key, s.split) for s in empty.samples.iter_by_key()}
    empty.samples.set_splits({key: (key, "train") for key in exported_keys}, "by hand")
    before = export(empty, out)
    empty.samples.set_splits(all_splits, "by hand")
    kill_export(empty, out, when=lambda: len(list(partial.rglob("*.jpg"))) >= 2)
    assert len(list(partial.rglob("*.jpg"))) < 40, "it was killed too late"
    assert read_tree(out) == before
    assert len(export(empty, out)) == 41
    assert [path.name for path in tmp_path.iterdir() if "gleanset" in path.name] == []
    assert not list((empty.cache / "scratch").iterdir())


def test_kill_between_renames_restores_previous_export(empty: Dataset, tmp_path: Path) -> None:
    put(empty, encoded(picture(0)), "a.jpg")
    before = export(empty, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / ".out.gleanset-old")
    empty.journal.undo()
    with pytest.raises(InputUnusable, match="nothing to export"):
        export(empty, tmp_path / "out")
    assert read_tree(tmp_path / "out") == before
    assert not (tmp_path / ".out.gleanset-old").exists()

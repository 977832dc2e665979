"""Comparing detectors on annotated pictures, and contact sheets."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from facecrop_scenes import face_at, scene
from PIL import Image
from tools_for_tests import Ran

from facecrop.annotations import AnnotatedImage, read_annotations
from facecrop.compare import (
    CRITERIA,
    Criterion,
    DetectorResult,
    TimedDetection,
    compare_all,
    match_faces,
    table,
)
from facecrop.detectors import DetectorSpec
from gleanset.errors import GleansetError, InputUnusable
from gleanset.records import Box, Face
from gleanset.work.progress import Progress

Cli = Callable[..., Ran]
HALF, THIRD, CENTRE = CRITERIA


def face(*box: int, sure: float = 0.9) -> Face:
    return Face("animeface", Box(*box), sure)


@pytest.mark.parametrize(
    ("box", "fitting"),
    [
        ((0, 0, 100, 100), {"0.5", "0.3", "centre"}),
        ((0, 0, 100, 200), {"0.5", "0.3", "centre"}),
        ((-25, -25, 150, 150), {"0.3", "centre"}),
        ((-50, -50, 200, 200), {"centre"}),
        ((60, 0, 100, 100), set()),
        ((0, 60, 50, 100), set()),
    ],
)
def test_criteria(box: tuple[int, int, int, int], fitting: set[str]) -> None:
    truth = Box(0, 0, 100, 100)
    found = {one.name for one in CRITERIA if one.fits(Box(*box), truth)}
    assert found == fitting


def test_every_face_is_found_once() -> None:
    truth = [Box(0, 0, 100, 100), Box(200, 0, 100, 100), Box(400, 0, 100, 100)]
    twice = [face(0, 0, 100, 100), face(5, 5, 100, 100, sure=0.5)]
    tally = match_faces([*twice, face(210, 0, 100, 100), face(800, 0, 50, 50)], truth, HALF)
    assert (tally.hits, tally.false, tally.missed) == (2, 2, [truth[2]])
    assert [alarm.box.x for alarm in tally.false_alarms] == [800, 5]
    assert (tally.recall, tally.precision, tally.f1) == pytest.approx((2 / 3, 1 / 2, 4 / 7))


def test_the_best_box_of_two_faces_is_taken() -> None:
    near = [Box(0, 0, 100, 100), Box(40, 0, 100, 100)]
    tally = match_faces([face(38, 0, 100, 100)], near, CENTRE)
    assert tally.missed == [near[0]]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_nothing_to_find_and_nothing_found_is_perfect(criterion: Criterion) -> None:
    assert match_faces([], [], criterion).f1 == 1
    assert match_faces([face(0, 0, 9, 9)], [], criterion).f1 == 0


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two kinds of picture with drawn faces, one without, one that is broken; as JSON."""
    folder = tmp_path_factory.mktemp("annotated")
    scene(20).save(folder / "one_a.png")
    scene(20, 220).save(folder / "two_b.png")
    Image.new("RGB", (200, 200), (90, 120, 90)).save(folder / "two_none.png")
    (folder / "two_broken.png").write_bytes((folder / "one_a.png").read_bytes()[:500])
    entries = [
        {"file": "one_a.png", "boxes": [face_at(20)], "source": "x"},
        {"file": "two_b.png", "boxes": [face_at(20), face_at(220), [0, 0, 40, 40]]},
        {"file": "two_none.png", "boxes": []},
        {"file": "two_broken.png", "boxes": [[1, 1, 9, 9]]},
    ]
    (folder / "faces.json").write_text(json.dumps(entries))
    return folder / "faces.json"


def test_a_list_of_pictures_is_read(annotated: Path) -> None:
    one, two, *_ = read_annotations(annotated)
    assert (one.path, one.kind, one.boxes) == (annotated.parent / "one_a.png", "one", [face_at(20)])
    assert (two.kind, len(two.boxes)) == ("two", 3)
    assert [entry.kind for entry in read_annotations(annotated, by="source")][:2] == ["x", "other"]


def test_coco_is_read(annotated: Path, tmp_path: Path) -> None:
    coco = {
        "images": [
            {"id": 7, "file_name": "a/one_a.png", "width": 420, "height": 300},
            {"id": 8, "file_name": "two_none.png"},
        ],
        "categories": [{"id": 1, "name": "Face"}, {"id": 2, "name": "hand"}],
        "annotations": [
            {"image_id": 7, "bbox": [1.4, 2, 30.6, 40], "category_id": 1},
            {"image_id": 7, "bbox": [5, 5, 5, 5], "category_id": 2},
            {"image_id": 7, "bbox": [0, 0, 99, 99], "category_id": 1, "iscrowd": 1},
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    with pytest.raises(InputUnusable, match="none of the 2 pictures") as error:
        read_annotations(tmp_path / "coco.json")
    assert "--images" in error.value.mend
    one, none = read_annotations(tmp_path / "coco.json", annotated.parent)
    assert (one.kind, one.boxes) == ("a", [Box(1, 2, 31, 40)])
    assert (none.kind, none.boxes) == ("two", [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[]",
        "3",
        '["a"]',
        '[{"file": "a"}]',
        '{"images": []}',
        "[" * 100_000,
        '[{"file": "a", "boxes": [[1, 2, 3]]}]',
        '[{"file": "a", "boxes": [[1, 2, -3, 4]]}]',
        '[{"file": "a", "boxes": [[1, 2, NaN, 4]]}]',
        '[{"file": "a", "boxes": [["x", 2, 3, 4]]}]',
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(InputUnusable) as error:
        read_annotations(tmp_path / "truth.json")
    assert "docs/detectors.md" in error.value.mend


@pytest.mark.posix("how much memory a process had")
def test_detectors_side_by_side(annotated: Path, tmp_path: Path, run_cli: Cli) -> None:
    sheet = tmp_path / "mistakes.png"
    ran = run_cli(
        "facecrop.cli",
        "compare",
        "--truth",
        annotated,
        "--sheet",
        sheet,
        "--json",
        "animeface",
        "whole",
    )
    assert ran.code == 0, ran.stderr
    detectors: dict[str, Any] = ran.json["detectors"]
    animeface = detectors["animeface"]
    assert (ran.json["pictures"], ran.json["faces"]) == (4, 5)
    found = {kind: figures["0.5"]["found"] for kind, figures in animeface["kinds"].items()}
    assert found == {"one": 1, "two": 2, "all": 3}
    assert animeface["kinds"]["all"]["centre"]["recall"] == 0.75
    assert animeface["kinds"]["all"]["faces"] == 4, "those of the broken picture do not count"
    assert animeface["settings"] == "threshold=0.5"
    assert animeface["pictures_per_second"] > 0
    assert animeface["memory_mb"] > 20
    [broken] = animeface["rejected"]
    assert broken.endswith("two_broken.png")
    assert detectors["whole"]["kinds"]["all"]["0.5"]["false"] == 3
    assert ran.json["mistakes"] == 1 + (4 + 3)
    with Image.open(sheet) as drawn:
        assert drawn.size[0] > 1000


def whole(truth: Sequence[AnnotatedImage]) -> DetectorResult:
    """The detector that finds no face, asked in this process."""
    ask = TimedDetection(DetectorSpec.of("whole"))
    return DetectorResult("whole", [(entry, ask(str(entry.path))) for entry in truth])


def test_the_table_has_a_line_for_every_kind(annotated: Path) -> None:
    truth = read_annotations(annotated)
    result = whole(truth[:3])
    result.rejected["two_broken.png"] = "truncated"
    lines = list(table([result]))
    kinds = [line.split()[0] for line in lines]
    assert kinds[0] == "whole"
    assert [kind for kind in kinds if kind in {"one", "two", "all"}] == ["one", "two", "all"]
    assert "1 images could not be searched" in lines[-1]


def test_detectors_that_cannot_run_here_are_told(annotated: Path, tmp_path: Path) -> None:
    truth = read_annotations(annotated)[:1]
    specs = {"lbpcascade": DetectorSpec.of("lbpcascade", cascade=str(tmp_path / "none.xml"))}
    results, missing = compare_all(specs, truth, Progress(), skip=True)
    assert results == []
    assert "there is no file" in missing["lbpcascade"]
    with pytest.raises(GleansetError):
        compare_all(specs, truth, Progress(), skip=False)

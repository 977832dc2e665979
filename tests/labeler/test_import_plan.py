"""What the window makes of the results of commands, and of the names of dropped folders."""

from pathlib import Path

import pytest

from labeler.sorting.import_plan import CommandFacts, SimulatedImport


@pytest.mark.parametrize(
    ("folders", "are_classes"),
    [
        (("Miku", "Rin"), True),
        (("涼風 花", "Valerie 2"), True),
        (("faces", "Miku"), False),
        (("New Folder (2)", "New Folder"), False),
        (("2019", "2020-05"), False),
        (("train", "val"), False),
        (("新しいフォルダー", "写真"), False),
        (("Miku",), False),
    ],
)
def test_folders_with_names_are_classes(
    folders: tuple[str, ...], are_classes: bool
) -> None:
    report = SimulatedImport()
    hints = dict.fromkeys(folders, 3)
    report.add(Path("in"), CommandFacts(candidates=3 * len(folders), hints=hints))
    assert report.has_class_folders == are_classes


def test_images_outside_of_folders_are_not_classes() -> None:
    report = SimulatedImport()
    hints = {"Miku": 3, "Rin": 3, "none": 1}
    report.add(Path("in"), CommandFacts(candidates=7, hints=hints))
    assert not report.has_class_folders

"""Groups of files by folder, name and table; suggestions for names that look like crops."""

from pathlib import Path
from typing import Any

import pytest

from gleanset import Origin
from gleanset.errors import InputUnusable, UsageError
from gleanset.file_groups import FileGroups, validate_group_by
from gleanset.source_table import SourceTableRow, SourceTables

NUMBERED = r"(.+)-\d+\."


def summarize(names: list[str], group_by: str | None = None) -> dict[str, Any]:
    """Return the summary of files, in some folders, without a group."""
    groups = FileGroups(group_by)
    for name in names:
        groups.note(Origin("folder", name, title=Path(name).name))
    return groups.summary()


def test_regex_group_names_the_group() -> None:
    names = ["X-1.jpg", "X-2.jpg", "a.b-12.png", "other.jpg", "-1.jpg", " -3.jpg"]
    groups = FileGroups(NUMBERED, names)
    result = {name: groups.get_group(name, "/p", ("cat",), 1) for name in names}
    assert result == dict(zip(names, ["X", "X", "a.b", None, None, None], strict=True))


def test_unicode_forms_give_same_group() -> None:
    names = ["Zoe\u0308-1.jpg", "Zo\u00eb-2.jpg"]
    groups = FileGroups(NUMBERED, names)
    assert {groups.get_group(name, "", (), None) for name in names} == {"Zo\u00eb"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(.+", "is not a regular expression: missing )"),
        ("(a{99999999999})", "is not a regular expression"),
        (".+", "has no group in round brackets"),
        ("(?:x)", "has no group in round brackets"),
        ("Folder", "has no group in round brackets"),
    ],
)
def test_invalid_group_by_raises_error_with_example(text: str, message: str) -> None:
    with pytest.raises(UsageError) as result:
        validate_group_by(text)
    assert message in str(result.value)
    assert "--group-by" in str(result.value)


def test_regex_without_match_raises_error() -> None:
    with pytest.raises(
        UsageError, match=r"finds nothing in any of 2 file names, such as 'a\.jpg'"
    ):
        FileGroups(NUMBERED, ["a.jpg", "b.jpg"])


def test_catastrophic_regex_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gleanset.file_groups.SEARCH_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(UsageError, match="takes too long, on names such as 'aaaa"):
        FileGroups("((a+)+)+!", ["a" * 60 + ".jpg"])


def test_long_names_are_truncated_before_matching() -> None:
    long = "x" * 254 + "y" + "z" * 5000
    assert FileGroups("(x+.+)", [long]).get_group(long, "", (), None) == long[:255]


@pytest.mark.parametrize(
    ("folders", "level", "is_group"),
    [
        (("cat", "tom"), 1, True),
        (("train", "cat", "tom"), 1, True),
        (("cat",), 1, False),
        (("train", "cat"), 1, False),
        (("a", "cat"), 2, False),
        ((), 1, False),
        (("cat",), 0, False),
        (("train", "a", "cat"), 0, False),
        (("session 1",), None, True),
        ((), None, True),
        (("train",), None, False),
    ],
)
def test_folder_is_a_group_unless_class_or_split(
    folders: tuple[str, ...], level: int | None, is_group: bool
) -> None:
    groups = FileGroups("folder")
    assert groups.get_group("a.jpg", "/p/x", folders, level) == (
        "/p/x" if is_group else None
    )


def test_summary_suggests_group_by_for_numbered_parts() -> None:
    cut = [
        f"{folder}/{stem}-{n}.jpg" for folder in "ab" for stem in "xyz" for n in (1, 2)
    ]
    result = summarize([*cut, "a/alone-1.jpg", "b/plain.jpg"])[
        "maybe_parts_of_one_image"
    ]
    assert result == {
        "files": 6,
        "names": "x-1.jpg, x-2.jpg",
        "then": r"run it again with --group-by '(.+)[-_]\d+\.'",
    }
    underscored = summarize([name.replace("-", "_") for name in cut])
    assert underscored["maybe_parts_of_one_image"]["names"] == "x_1.jpg, x_2.jpg"


def test_suggested_pattern_groups_the_parts() -> None:
    stems = ("x-", "y_", "z-")
    names = [f"{stem}{n}.jpg" for stem in stems for n in (1, 2)]
    pattern = summarize(names)["maybe_parts_of_one_image"]["then"].split("'")[1]
    groups = FileGroups(pattern, names)
    assert [groups.get_group(name, "", (), None) for name in names] == [*"xxyyzz"]


@pytest.mark.parametrize(
    "names",
    [
        [
            f"{cat}/{cat}_{n}.jpg"
            for cat in ("cat", "owl", "dog", "cow")
            for n in range(1, 9)
        ],
        [f"all/img_{n:02}.jpg" for n in range(90)],
        [f"all/{n}.jpg" for n in range(90)],
        [f"all/{n}-1.jpg" for n in range(90)],
        [f"all/x-{n}.jpg" for n in range(1, 3)] + [f"all/y{n}.jpg" for n in range(9)],
        [f"all/{s}-{n}.jpg" for s in "xyz" for n in (1, 2)]
        + [f"all/{n}.jpg" for n in range(90)],
        [],
    ],
)
def test_plain_numbering_gives_no_suggestion(names: list[str]) -> None:
    assert summarize(names) == {}


def test_summary_counts_groups_and_ungrouped_files() -> None:
    groups = FileGroups("folder")
    for name, group in (("1", "a"), ("2", "a"), ("3", "b"), ("4", None)):
        groups.note(Origin("folder", name, title=name, post=group))
    assert groups.summary() == {"groups": 2, "without_group": 1}
    assert (
        "no folders below the class folders" in summarize(["a/1.jpg"], "folder")["note"]
    )


def test_source_tables_give_credit_and_group(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "sources.csv").write_text(
        "file,group\nin/a.jpg,far\nin/b.jpg,both\nc.jpg, \n"
    )
    (tmp_path / "in" / "sources.csv").write_text(
        "file,author,Group\na.jpg,Ann,near\nb.jpg,Bea,\n"
    )
    tables = SourceTables(tmp_path)
    result = [
        tables.get_row(tmp_path / name) for name in ("in/a.jpg", "in/b.jpg", "c.jpg")
    ]
    assert [(row.credit.author, row.group) for row in result] == [
        ("Ann", "near"),
        ("Bea", "both"),
        (None, None),
    ]
    below = SourceTables(tmp_path / "in")
    assert below.get_row(tmp_path / "in" / "b.jpg").group is None
    assert below.get_row(tmp_path / "c.jpg") == SourceTableRow(), (
        "above the folder that was named"
    )
    (tmp_path / "in" / "sources.csv").write_bytes(b"\xff\xfe")  # UTF-16 without a line
    with pytest.raises(InputUnusable, match="no column named file"):
        SourceTables(tmp_path).get_row(tmp_path / "in" / "a.jpg")

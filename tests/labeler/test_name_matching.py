"""Tests of completing and matching class names."""

from __future__ import annotations

import pytest
from labeler_makers import add_image

from gleanset import Dataset, Origin
from labeler.sorting.name_matching import (
    KnownName,
    complete_name,
    fold_name,
    list_known_names,
    match_exact_name,
)
from labeler.sorting.session import SortingSession


def test_known_names_with_aliases_and_weak_labels(empty: Dataset) -> None:
    for number, hint in enumerate(("rin", "rin", "hana/..", "aoi")):
        add_image(empty, f"picture-{number}", Origin("folder", f"{number}", hint=hint))
    session = SortingSession(empty)
    session.add_class("Miku")
    session.add_class("初音ミク")
    session.rename_class("初音ミク", "Miku")
    assert list_known_names(empty) == [
        KnownName("Miku", "Miku"),
        KnownName("初音ミク", "Miku"),
        KnownName("rin", "rin"),
        KnownName("aoi", "aoi"),
    ]


def test_completion_ignores_width_case_and_kana() -> None:
    names = [KnownName(n, n) for n in ("Suzukaze Aoba", "アスナ", "Asuka", "Réne", "aoi")]

    def complete(typed: str) -> list[str]:
        return [name.text for name in complete_name(typed, names)]

    assert complete("suz") == complete("ＳＵＺ") == ["Suzukaze Aoba"]
    assert complete("あす") == complete("ｱｽ") == ["アスナ"]
    assert complete("ao") == ["aoi", "Suzukaze Aoba"]
    assert complete("ren") == ["Réne"]
    assert complete("") == complete("?") == complete("xyz") == []
    match = match_exact_name("ａｏｉ", names)
    assert match is not None
    assert match.label == "aoi"
    assert match_exact_name("new", names) is None is match_exact_name("??", names)
    assert fold_name("Ｍｉｋｕ_01") == fold_name("miku 01") == "miku01"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("タイキ", "ダイキ"),
        ("はな", "ばな"),
        ("はる", "ぱる"),
        ("ﾀｲｷ", "ﾀﾞｲｷ"),
        ("कमल", "कमला"),
        ("दिन", "दान"),
        ("ปี", "ปู"),
        ("שָׁם", "שֵׁם"),
        ("தமிழ்", "தமழ"),
    ],
)
def test_combining_marks_distinguish_names(first: str, second: str) -> None:
    assert fold_name(first) != fold_name(second)
    names = [KnownName(second, second)]
    assert match_exact_name(first, names) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Réne", "rene"),
        ("Άννα", "αννα"),
        ("Ёлка", "елка"),
        ("だいき", "ﾀﾞｲｷ"),
        ("ダイキ", "\u30bf\u3099イキ"),
        ("葛\U000e0100城", "葛城"),
        ("Nguyễn", "nguyen"),
    ],
)
def test_fold_name_ignores_accents_and_width(first: str, second: str) -> None:
    assert fold_name(first) == fold_name(second)


def test_combining_marks_in_completion() -> None:
    names = [KnownName(name, name) for name in ("ダイキ", "タイキ", "कमला", "हिल")]
    assert [name.text for name in complete_name("タ", names)] == ["タイキ"]
    assert [name.text for name in complete_name("タイキ", names)] == ["タイキ"]
    assert complete_name("ल", names) == [], "a mark does not end a word"

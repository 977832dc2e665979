"""How many gestures sorting costs: a scripted person at the real window, with real keys."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from drawn_faces import FaceSet, add_classes, copied, drawn_once, hint, labels, real_set
from person import Key, Opened, Person, settle
from tools_for_tests import run_cli


def sorted_by_pages(opened: Opened, faces: FaceSet) -> float:
    """Sort everything by class pages; gestures per 1,000. Ends with every label right."""
    person = Person(opened(faces.root, "pages"), faces)
    person.sort_pages()
    return ended(person, faces)


def ended(person: Person, faces: FaceSet) -> float:
    """All labels are right; gestures per 1,000."""
    number, total = len(faces.truth), sum(person.gestures.values())
    person.window.close()
    assert labels(faces.root) == faces.truth
    letters = person.gestures["name"] * 1000 / number
    told = f"{total} for {number}, {total * 1000 / number:.0f} per 1,000 ({letters:.0f} letters)"
    print(f"{told}: {dict(person.gestures)}")  # noqa: T201
    return total * 1000 / number


def one_by_one(opened: Opened, faces: FaceSet, how: str) -> None:
    """The grid, face by face: a gesture each, no more and no fewer."""
    person = Person(opened(faces.root), faces)
    person.one_by_one(how)
    assert dict(person.gestures) == {how: len(faces.truth)}
    assert ended(person, faces) == 1000


@pytest.mark.parametrize("how", ["drag", "send"])
def test_one_by_one_costs_a_gesture_each(opened: Opened, few: FaceSet, how: str) -> None:
    one_by_one(opened, few, how)


@pytest.mark.slow
def test_pages_without_a_model(opened: Opened, few: FaceSet) -> None:
    assert sorted_by_pages(opened, few) < 600


@pytest.mark.parametrize(("right", "budget"), [(0.9, 250), (0.97, 160)])
def test_pages_of_a_small_set(opened: Opened, few: FaceSet, right: float, budget: int) -> None:
    hint(few, right)
    assert sorted_by_pages(opened, few) <= budget


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    return drawn_once(tmp_path_factory, 1000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("frames", "right", "budget"), [(1, 0.9, 40), (1, 0.97, 25), (3, 0.9, 25), (3, 0.97, 15)]
)
@pytest.mark.long
def test_a_thousand_drawn_faces_or_frames_in_stacks(
    opened: Opened,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    frames: int,
    right: float,
    budget: int,
) -> None:
    faces = copied(drawn_once(tmp_path_factory, 1000, frames=frames), tmp_path / "d")
    hint(faces, right, together=frames)
    assert sorted_by_pages(opened, faces) <= budget


@pytest.mark.slow
@pytest.mark.long
def test_a_thousand_without_a_model(opened: Opened, thousand: FaceSet, tmp_path: Path) -> None:
    """From zero labels, no classes: names are typed, letter by letter."""
    assert sorted_by_pages(opened, copied(thousand, tmp_path / "d", named=False)) < 200


@pytest.mark.slow
@pytest.mark.parametrize("how", ["drag", "send"])
@pytest.mark.long
def test_a_thousand_one_by_one(opened: Opened, thousand: FaceSet, tmp_path: Path, how: str) -> None:
    one_by_one(opened, copied(thousand, tmp_path / "d"), how)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["drag", "send"])
@pytest.mark.long
def test_real_characters_one_by_one(
    opened: Opened, shared_data: Path, tmp_path: Path, how: str
) -> None:
    faces = real_set(tmp_path / "d", shared_data / "characters")
    add_classes(faces.root, faces.names)
    one_by_one(opened, faces, how)


@pytest.mark.slow
@pytest.mark.parametrize(("right", "budget"), [(0.9, 80), (0.97, 40)])
@pytest.mark.long
def test_real_characters(
    opened: Opened, shared_data: Path, tmp_path: Path, right: float, budget: int
) -> None:
    faces = real_set(tmp_path / "d", shared_data / "characters")
    add_classes(faces.root, faces.names)
    hint(faces, right)
    assert sorted_by_pages(opened, faces) <= budget


FIRST = 80
"""So many real characters are sorted at least, and everybody met, before a model is asked."""


@pytest.mark.slow
@pytest.mark.long
def test_real_characters_from_nothing(opened: Opened, shared_data: Path, tmp_path: Path) -> None:
    """No classes, no model, names typed letter by letter: still cheaper than a key for each."""
    faces = real_set(tmp_path / "d", shared_data / "characters")
    assert sorted_by_pages(opened, faces) < 800


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sklearn") is None, reason="a presort needs the extra [transfer]")
@pytest.mark.long
def test_real_characters_from_nothing_with_our_own_presort(
    opened: Opened, shared_data: Path, tmp_path: Path
) -> None:
    """Without a model until all were met, then `baseline presort` beside the window, then on."""
    faces = real_set(tmp_path / "d", shared_data / "characters")
    person = Person(opened(faces.root, "pages"), faces)
    person.sort_pages(enough=FIRST)
    while set(person.keys) != set(faces.names):  # a model proposes nobody whom it has not met
        person.one_page()
    first, before = person.sorted, sum(person.gestures.values())
    ran = run_cli("baseline.cli", "presort", "-d", faces.root, "--json", timeout=1000)
    assert ran.code == 0, ran.stderr
    # The page that is shown was made without the model: on to the next.
    person.press(Key.Key_PageDown, "skip")
    settle(person.window)
    person.sort_pages()
    after = sum(person.gestures.values()) - before
    print(f"{before} for the first {first}, {after} for the rest")  # noqa: T201
    assert after <= 0.4 * (len(faces.truth) - first)
    assert ended(person, faces) < 700

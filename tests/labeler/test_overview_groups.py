"""Groups of look-alikes, and what a pair of a class and a group asks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from labeler_makers import add_faces, add_image

from curation.likeness.grouping import grouped
from gleanset import Dataset
from gleanset.errors import UsageError
from labeler.classes import ClassEditor
from labeler.likeness import Vectors
from labeler.sorting.groups import LikenessGroup, divided, likeness_groups, moved, overview
from labeler.sorting.page_layout import ClassPage, PageKind, PageTile, Stack
from labeler.sorting.pages import Pages
from labeler.sorting.proposals import NO_IDEA, ClassProposal
from labeler.sorting.session import SortingSession
from labeler.sorting.ties import Ties, questions


def people(sizes: tuple[int, ...], spread: float = 0.3, seed: int = 0) -> Vectors:
    """So many rows of each person, near a middle of their own, of unit length."""
    dice = np.random.default_rng(seed)
    middles = np.eye(len(sizes), 12)
    rows = np.repeat(middles, sizes, axis=0) + spread * dice.normal(size=(sum(sizes), 12)) / 3
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def stacks_for(count: int, proposal: ClassProposal = NO_IDEA) -> list[Stack]:
    return [Stack(n, (n + 1,), proposal) for n in range(count)]


def test_clusters_are_the_people_and_equal_rows_end() -> None:
    sizes = (9, 7, 5, 7)
    rows = people(sizes)
    found = grouped(rows, 4)
    starts = np.cumsum((0, *sizes))
    wanted = [list(range(a, b)) for a, b in itertools.pairwise(starts)]
    assert sorted(sorted(cluster) for cluster in found) == wanted
    same = np.ones((6, 2), np.float32) / 2**0.5
    assert [len(cluster) for cluster in grouped(same, 1)] == [6]
    assert grouped(rows[:1], 1) == [[0]]
    apart = grouped(same[:2], 1, may_join=lambda one, other: False)
    assert apart == [[0], [1]]


def test_an_overview_has_the_largest_groups_of_whom_nobody_is_decided() -> None:
    rows = people((14, 8, 7, 6))
    stacks = stacks_for(28)
    groups = likeness_groups(stacks, rows[:28], rows[28:])
    page = overview(groups, rows, 96)
    assert page is not None
    assert page.kind is PageKind.GROUPS
    assert sum(page.groups) == len(page.tiles) == page.of
    assert page.groups[0] == max(page.groups)
    shown = [row - 1 for tile in page.tiles for row in tile.rows]
    first = 0
    for size in page.groups:  # nobody is in a group with somebody else
        mine = shown[first : first + size]
        assert len({int(np.digitize(n, (14, 22))) for n in mine}) == 1
        first += size
    small = overview(groups, rows, room=10)
    assert small is not None
    assert len(small.groups) == 1
    decided = likeness_groups(stacks[22:], rows[:28], rows[22:28])
    assert all(group.decided for group in decided)
    assert overview(decided, rows, 96) is None


def test_a_group_of_whom_hardly_anybody_is_decided_is_named_rather_than_proposed() -> None:
    """Thirty of somebody with five decided faces are taken for a look-alike with thirty of them."""
    rows, stacks = people((24,)), stacks_for(24)
    hardly = [LikenessGroup(tuple(stacks[:20]), 2), LikenessGroup(tuple(stacks[20:]), 30)]
    page = overview(hardly, rows, 96)
    assert page is not None
    assert page.groups == (20,)
    known = [hardly[0]._replace(decided=3), hardly[1]]
    assert overview(known, rows, 96) is None


def test_a_group_is_divided_by_likeness_and_nothing_is_lost() -> None:
    stacks = stacks_for(12)
    page = overview([LikenessGroup(tuple(stacks), 0)], people((7, 5)), 96)
    assert page is not None
    rows = people((7, 5))[[tile.rows[0] - 1 for tile in page.tiles]]
    parted = divided(page, 0, rows)
    assert parted.groups == (7, 5)
    assert {row - 1 for tile in parted.tiles[:7] for row in tile.rows} == set(range(7))
    assert sorted(parted.rows) == sorted(page.rows)


def test_of_very_many_decided_some_of_each_class_are_beside_what_waits() -> None:
    rows = people((10 + 500, 500))  # class by class, as they come
    groups = likeness_groups(stacks_for(10), rows[:10], rows[10:])
    assert sum(len(group.stacks) for group in groups) == 10
    assert not any(group.hardly_met for group in groups)


def pair(dataset: Dataset) -> tuple[SortingSession, Ties, ClassPage, list[int]]:
    """Five of Miku, and four that may be her."""
    keys = [key for n in range(9) for key in add_faces(dataset, add_image(dataset, f"image-{n}"))]
    session = SortingSession(dataset)
    rows = [session.tiles.rows_of(keys)[key] for key in keys]
    session.file(rows[:5], "Miku")
    maybe = ClassProposal((("Miku", 0.5),))
    stacks = tuple(Stack(n, (row,), maybe) for n, row in enumerate(rows[5:]))
    ties = Ties(session)
    page = ties.page([LikenessGroup(stacks, 0)], people((4,)))
    assert page is not None
    assert page.groups == (5, 4)
    return session, ties, page, rows[5:]


def test_the_same_gets_the_class_and_one_undo_takes_it_back(empty: Dataset) -> None:
    session, ties, page, asked = pair(empty)
    done = ties.answer(page, [5], same=True)
    assert (done.count, done.name) == (3, "3 faces to Miku")
    assert session.tiles.of(asked)[asked[0]].status == "queue"
    session.undo()
    assert session.tiles.counts().waiting == 4


@pytest.mark.parametrize("same", [True, False])
def test_no_answer_brings_a_class_back(empty: Dataset, same: bool) -> None:
    session, ties, page, asked = pair(empty)
    ClassEditor(empty).delete("Miku")
    with pytest.raises(UsageError, match="Miku is no class any more"):
        ties.answer(page, [], same=same)
    assert empty.classes.names() == []
    assert session.tiles.of(asked)[asked[0]].status == "queue"


def test_different_is_kept_and_not_asked_again(empty: Dataset) -> None:
    session, ties, page, asked = pair(empty)
    miku = session.classes.id_of("Miku")
    assert ties.answer(page, [], same=False).name == "4 faces not of Miku"
    assert all(session.changes.refused(asked)[row] == {miku} for row in asked)
    assert SortingSession(empty).progress().undo is not None
    session.undo()
    assert session.changes.refused(asked) == {}


def test_what_is_asked_is_what_settles_most_and_a_skipped_question_does_not_come_back(
    empty: Dataset,
) -> None:
    _session, ties, page, _ = pair(empty)
    ties.skip(page)
    half, sure = (stacks_for(n, ClassProposal((("Miku", c),))) for n, c in ((6, 0.5), (9, 0.95)))
    both = [LikenessGroup(tuple(half), 0), LikenessGroup(tuple(sure), 0)]
    asked = questions(both, people((15,)))
    assert [(question.label, len(question.group.stacks)) for question in asked] == [("Miku", 6)]
    again = [Stack(0, page.tiles[5].rows, ClassProposal((("Miku", 0.5),)))] * 4
    assert ties.page([LikenessGroup(tuple(again), 0)], people((4,))) is None


def test_what_nobody_would_confuse_is_asked_last_however_much_it_is() -> None:
    """Three of Miku by half a chance come before thirty of whom one in six would be her."""
    few, many = (stacks_for(n, ClassProposal((("Miku", c),))) for n, c in ((3, 0.5), (30, 1 / 6)))
    both = [LikenessGroup(tuple(many), 0), LikenessGroup(tuple(few), 0)]
    asked = questions(both, people((33,)))
    assert [len(question.group.stacks) for question in asked] == [3, 30]


def unnamed(dataset: Dataset) -> tuple[SortingSession, list[int], Vectors, list[LikenessGroup]]:
    """Twelve faces of two people who have no name, in three groups."""
    keys = [key for n in range(12) for key in add_faces(dataset, add_image(dataset, f"image-{n}"))]
    session = SortingSession(dataset)
    rows = [session.tiles.rows_of(keys)[key] for key in keys]
    stacks = [Stack(n, (row,), NO_IDEA) for n, row in enumerate(rows)]
    groups = [LikenessGroup(tuple(stacks[a:b]), 0) for a, b in ((0, 4), (4, 8), (8, 12))]
    return session, rows, people((8, 4), spread=0.6), groups


def test_two_groups_without_a_name_are_asked_about_and_bound(empty: Dataset) -> None:
    session, rows, vectors, groups = unnamed(empty)
    ties = Ties(session)
    page = ties.page(groups, vectors)
    assert page is not None
    assert (page.kind, page.label, page.groups[0], page.groups[1]) == ("pair", None, 4, 4)
    assert {row for tile in page.tiles for row in tile.rows} == set(rows[:8])
    assert ties.answer(page, [0], same=True).name == "7 faces of one person"
    bonds = SortingSession(empty).bonds.now()  # it is there tomorrow
    bound = [row for tile in page.tiles[1:] for row in tile.rows]
    assert {bonds.person(row) for row in bound} == {min(bound)}
    assert bonds.person(page.tiles[0].rows[0]) == page.tiles[0].rows[0]
    stacks = [stack for group in groups for stack in group.stacks]
    scattered = people((1,) * 12)  # nobody looks like anybody else
    found = likeness_groups(stacks, scattered, scattered[:0], bonds)
    together = next(g for g in found if any(s.rows[0] == bound[0] for s in g.stacks))
    assert {row for s in together.stacks for row in s.rows} >= set(bound)
    session.undo()
    assert session.bonds.now().persons == {}


def test_what_is_somebody_else_never_comes_together_again(empty: Dataset) -> None:
    session, rows, vectors, groups = unnamed(empty)
    ties = Ties(session)
    page = ties.page(groups, vectors)
    assert page is not None
    assert ties.answer(page, [], same=False).name == "4 faces of another person than 4"
    bonds = session.bonds.now()
    assert all(bonds.not_with([row]) >= set(rows[4:8]) for row in rows[:4])
    again = ties.page(groups, vectors)
    assert again is None or set(again.rows) != set(page.rows)
    stacks = [stack for group in groups for stack in group.stacks]
    alike = people((12,))
    wanted = likeness_groups(stacks, alike, alike[:0], bonds)
    for group in wanted:
        here = {row for stack in group.stacks for row in stack.rows}
        assert not (here & set(rows[:4]) and here & set(rows[4:8]))
    # Whoever is named later is proposed for what is bound to him, and not for somebody else.
    session.bind(rows[:4])
    session.file(rows[:1], "Miku")
    miku = session.classes.id_of("Miku")
    bonds = session.bonds.now()
    assert all(bonds.classes_of(row) == {miku} for row in rows[1:4])
    assert all(bonds.not_classes_of(row) == {miku} for row in rows[4:8])
    found = {p.rows[0]: p.proposal.label for p in _tiles_of(Pages(session))}
    assert [found.get(row) for row in rows[1:4]] == ["Miku"] * 3
    assert not {found.get(row) for row in rows[4:8]} & {"Miku"}


def _tiles_of(pages: Pages) -> list[PageTile]:
    """What is on the pages, filing none of them."""
    found: list[PageTile] = []
    while (page := pages.next()) is not None and not set(page.tiles) <= set(found):
        found += page.tiles
        pages.skip(page)
    return found


def test_tiles_of_one_group_come_to_another(empty: Dataset) -> None:
    page = overview([LikenessGroup(tuple(stacks_for(12)), 0)], people((12,)), 96)
    assert page is not None
    parted = divided(page, 0, people((7, 5)))
    back = moved(parted, list(range(7, 12)), 0)
    assert back.groups == (12,)
    one = moved(parted, [0], 8)
    assert one.groups == (6, 6)
    assert sorted(one.rows) == sorted(page.rows)
    assert one.tiles[-1] == parted.tiles[0]

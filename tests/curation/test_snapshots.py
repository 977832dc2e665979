"""Snapshots: what they keep, what differs between them, and a random walk of restoring them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from catalogue_rows import add_image, add_sample, cut, sha
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tools_for_tests import examples

from curation.snapshots import (
    decided_otherwise,
    difference,
    made_from,
    rehearse_restore,
    restore,
    restore_settings,
    snapshot_words,
    take_snapshot,
)
from gleanset import Dataset
from gleanset.db import restoring
from gleanset.db.changes import Change, Changes, Curation, Placement
from gleanset.db.journal import Choice
from gleanset.db.maintenance import Maintenance, contradictions
from gleanset.db.restoring import Restoring, cut_short
from gleanset.db.samples import Balances, SampleWeight
from gleanset.db.snapshots import Move, Snapshots, snapshot_name
from gleanset.db.sorting import SampleTiles
from gleanset.db.watch import CatalogueWatch
from gleanset.errors import UsageError
from gleanset.settings import FILE, CropSettings, Settings, write_settings


def label(dataset: Dataset, name: str, *keys: str) -> None:
    dataset.journal.step(f"to {name}", [Choice(key, "label", name) for key in keys])


@pytest.fixture
def keys(dataset: Dataset) -> list[str]:
    """Six samples: two cats, two owls, one rejected, one in the queue; split by number."""
    keys = [add_sample(dataset, number) for number in range(6)]
    label(dataset, "cat", *keys[:2])
    label(dataset, "owl", *keys[2:4])
    dataset.journal.step("no face", [Choice(keys[4], "reject")])
    dataset.samples.set_splits({key: (key, "train") for key in keys[:4]}, "seed 0")
    return keys


def test_a_snapshot_says_what_there_was(dataset: Dataset, keys: list[str]) -> None:
    made = take_snapshot(dataset, "v1", "as the folders say")
    assert (made.name, made.note) == ("v1", "as the folders say")
    assert (made.images, made.samples, made.labelled, made.rejected) == (6, 6, 4, 1)
    assert (made.classes, made.train, made.val, made.test) == (2, 4, 0, 0)
    assert list(Snapshots(dataset.db).each()) == [made]
    assert difference(dataset, "v1").empty
    assert made_from(dataset) == {"name": "v1"}


def test_names_are_unique_tidy_and_told_where_they_are_wrong(dataset: Dataset) -> None:
    take_snapshot(dataset, "審査.v1")
    with pytest.raises(UsageError, match="already"):
        take_snapshot(dataset, "審査.v1")
    for wrong, said in (("before audit!", "before-audit"), ("now", "not 'now'"), ("", "letters")):
        with pytest.raises(UsageError) as caught:
            take_snapshot(dataset, wrong)
        assert said in caught.value.mend
    with pytest.raises(UsageError, match="no snapshot 'v2'") as caught:
        difference(dataset, "v2")
    assert "gleanset snapshot" in caught.value.mend
    assert snapshot_name("e\u0301te") == "\u00e9te"


def test_what_differs_is_told_by_kind(dataset: Dataset, keys: list[str]) -> None:
    take_snapshot(dataset, "v1")
    label(dataset, "owl", keys[0])
    label(dataset, "dog", keys[4])
    new = add_sample(dataset, 6)
    dataset.samples.set_splits({keys[0]: ("m", "test"), keys[1]: ("n", "train")}, "seed 1")
    write_settings(dataset.root, Settings(crop=CropSettings(margin=0.5)))
    found = difference(dataset, "v1", limit=2)
    assert found.pictures == (1, 0, 0, [sha(6)], [])
    assert found.labels.moves == [
        Move("cat", "owl", 1),
        Move("new", "queue", 1),
        Move("rejected", "dog", 1),
    ]
    assert {one.sample for one in found.labels.samples} == {keys[0], keys[4]}, "the new one last"
    assert found.splits.moves == [Move("train", "none", 2), Move("train", "test", 1)]
    assert found.classes == ["dog is new"]
    assert [(one.key, one.before, one.after) for one in found.settings] == [
        ("crop.margin", 0.3, 0.5),
        ("split in force", "seed 0", "seed 1"),
    ]
    assert made_from(dataset) == {
        "name": "v1",
        "samples": 5,
        "classes": 1,
        "settings": ["crop.margin", "split in force"],
    }
    back = difference(dataset, "now", "v1")
    assert back.pictures == (0, 1, 0, [], [sha(6)])
    assert Move("queue", "new", 1) in back.labels.moves
    assert back.classes == ["dog is gone"]
    assert new not in {one.sample for one in back.splits.samples}


def test_who_said_so_comes_back_with_a_label(dataset: Dataset, keys: list[str]) -> None:
    dataset.journal.step("hints", [Choice(keys[5], "label", "cat", "hint")])
    take_snapshot(dataset, "v1")
    label(dataset, "owl", keys[5])
    restore(dataset, "v1")
    assert list(dataset.journal.each())[-1].provenance == "hint"


def test_other_names_of_a_class_are_told_and_put_back(dataset: Dataset, keys: list[str]) -> None:
    take_snapshot(dataset, "v1")
    with dataset.db.write():
        step = dataset.journal.step("kitty", [])
        dataset.classes.find_or_make("kitty")
        dataset.classes.merge(step, "kitty", "cat")
    take_snapshot(dataset, "v2")
    assert difference(dataset, "v1").classes == ["kitty stands for cat"]
    restore(dataset, "v1")
    assert difference(dataset, "v1").empty
    assert difference(dataset, "v2").classes == ["kitty stands for cat no more"]
    restore(dataset, "v2")
    assert dataset.classes.resolved("kitty") == "cat"


def test_a_rehearsal_changes_nothing(dataset: Dataset, keys: list[str]) -> None:
    take_snapshot(dataset, "v1")
    label(dataset, "dog", keys[0], keys[5])
    before, steps = seen(dataset), dataset.db.number("SELECT count(*) FROM step")
    found, changed = rehearse_restore(dataset, "v1")
    assert changed == 2
    assert found.labels.moves == [Move("dog", "cat", 1), Move("dog", "queue", 1)]
    assert (seen(dataset), dataset.db.number("SELECT count(*) FROM step")) == (before, steps)
    assert [one.name for one in Snapshots(dataset.db).each()] == ["v1"]


def test_only_what_differs_takes_room(dataset: Dataset, keys: list[str]) -> None:
    def rows() -> int:
        return dataset.db.number("SELECT count(*) FROM snapshot_sample")

    take_snapshot(dataset, "v1")
    take_snapshot(dataset, "v2")
    assert rows() == 6
    label(dataset, "owl", keys[0])
    take_snapshot(dataset, "v3")
    assert rows() == 7
    label(dataset, "cat", keys[0])
    take_snapshot(dataset, "v4")
    assert difference(dataset, "v2").empty
    assert made_from(dataset) == {"name": "v4"}
    assert difference(dataset, "v2", "v3").labels.moves == [Move("cat", "owl", 1)]
    Snapshots(dataset.db).remove("v3")
    assert rows() == 7, "v1 and v2 share a row of that sample, v4 has its own"
    Snapshots(dataset.db).remove("v4")
    take_snapshot(dataset, "v5")
    assert difference(dataset, "v1", "v5").empty
    for name in ("v1", "v2", "v5"):
        Snapshots(dataset.db).remove(name)
    assert rows() == 0


def test_an_older_snapshot_that_is_the_same_is_named(dataset: Dataset, keys: list[str]) -> None:
    take_snapshot(dataset, "v1")
    label(dataset, "dog", keys[0])
    take_snapshot(dataset, "v2")
    restore(dataset, "v1")
    assert made_from(dataset) == {"name": "v1"}
    label(dataset, "owl", keys[1])
    told = made_from(dataset)
    assert told == {"name": "v2", "samples": 2, "classes": 1}
    assert snapshot_words(told) == "v2, but for 2 samples, 1 class changed since"
    assert snapshot_words({}) == ""


def test_settings_are_put_back_by_themselves(dataset: Dataset) -> None:
    text = '# mine\n[crop]\nmargin = 0.4\n[net]\ncontact = "me"\n[store]\nimages = "old"\n'
    (dataset.root / FILE).write_text(text)
    take_snapshot(dataset, "v1")
    assert restore_settings(dataset, "v1") is None
    (dataset.root / FILE).write_text(text.replace("0.4", "0.2"))
    restore(dataset, "v1")
    assert "0.2" in (dataset.root / FILE).read_text(), "no part of the step"
    assert restore_settings(dataset, "v1") == "dataset.toml.before-v1"
    assert (dataset.root / FILE).read_text() == text
    assert "0.2" in (dataset.root / "dataset.toml.before-v1").read_text()
    # How the net is used is not what the dataset is.
    (dataset.root / FILE).write_text('[net]\ncontact = "you"\n[store]\ncrops = "new"\n')
    assert restore_settings(dataset, "v1") is not None
    with Dataset.open(dataset.root) as again:
        assert (again.settings.crop.margin, again.settings.net.contact) == (0.4, "you")
        assert (again.settings.store.images, again.settings.store.crops) == ("images", "new")
    assert restore_settings(dataset, "v1") is None


def test_who_follows_notices(dataset: Dataset, keys: list[str]) -> None:
    take_snapshot(dataset, "v1")
    label(dataset, "dog", keys[0])
    with Dataset.open(dataset.root) as other:
        watch = CatalogueWatch(other.db)
        state, version, marks = watch.state(), other.db.version(), watch.marks()
        restore(dataset, "v1")
        assert other.db.version() != version
        assert watch.state() != state
        assert watch.touched(marks) is None, "a class is hidden again: all is to be read"


class Seen(NamedTuple):
    """What a person sees of a dataset."""

    labels: dict[str, str | None]
    statuses: dict[str, str]
    rest: dict[str, tuple[object, ...]]
    classes: list[str]
    plan: str
    balance: dict[str, SampleWeight]


def seen(dataset: Dataset) -> Seen:
    samples = list(dataset.samples.by_key())
    marks = {
        row[0]: tuple(row)[1:]
        for row in dataset.db.rows(
            "SELECT s.key, m.mark, m.bond FROM sorting_note m JOIN sample s ON s.id=m.sample "
            "WHERE m.mark IS NOT NULL OR m.bond IS NOT NULL"
        )
    }
    return Seen(
        {s.key: s.label for s in samples},
        {s.key: s.status for s in samples},
        {s.key: (s.kept, s.group, s.split, s.fold, s.moment, marks.get(s.key)) for s in samples},
        dataset.classes.names(),
        dataset.samples.split_settings(),
        Balances(dataset.db).shares(),
    )


def as_restored(then: Seen, dataset: Dataset) -> Seen:
    """What is to be seen after restoring: what came later is new, what was forgotten is gone."""
    there = {sample.key: sample.status for sample in dataset.samples.by_key()}
    undecided = ("queue", "retired")
    return Seen(
        {key: then.labels.get(key) for key in there},
        {
            # A face that nobody decided on is found or not, whatever was before.
            key: now
            if then.statuses.get(key, "queue") in undecided and now in undecided
            else then.statuses.get(key, "queue")
            for key, now in there.items()
        },
        {key: then.rest.get(key, (True, None, None, None, None, None)) for key in there},
        then.classes,
        then.plan,
        {key: share for key, share in then.balance.items() if key in there},
    )


class Walk:
    """Whoever does anything with a dataset; what makes no sense there does nothing."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.then: dict[str, Seen] = {}
        self.forgotten: set[str] = set()
        self.pictures = 0

    def do(self, what: str, a: int, b: int) -> None:
        keys = [sample.key for sample in self.dataset.samples.by_key()]
        if what == "add" or not keys:
            self.pictures += 1
            add_sample(self.dataset, self.pictures)
        elif (act := getattr(self, f"_{what}")) is not None:
            with suppress(UsageError):
                act(keys[a % len(keys)], keys[b % len(keys)], a, b)
        for key in self.forgotten:
            assert self.dataset.samples.get(key) is None

    def _label(self, key: str, other: str, a: int, b: int) -> None:
        label(self.dataset, ("cat", "owl", "dog")[b % 3], key)

    def _reject(self, key: str, other: str, a: int, b: int) -> None:
        self.dataset.journal.step("reject", [Choice(key, "reject")])

    def _clear(self, key: str, other: str, a: int, b: int) -> None:
        self.dataset.journal.step("clear", [Choice(key, "clear")])

    def _copies(self, key: str, other: str, a: int, b: int) -> None:
        rows = [
            self.dataset.db.number("SELECT id FROM sample WHERE key=?", (k,)) for k in (key, other)
        ]
        with self.dataset.db.write():
            step = self.dataset.journal.step("copies", [])
            places = {row: Placement(row, bool(n), key, "look") for n, row in enumerate(rows)}
            Curation(self.dataset.db).place(step, list(places.values()))

    def _mark(self, key: str, other: str, a: int, b: int) -> None:
        row = self.dataset.db.number("SELECT id FROM sample WHERE key=?", (key,))
        with self.dataset.db.write():
            step = self.dataset.journal.step("mark", [])
            what = Change("mark", row, ("later", None)[b % 2]) if b % 3 else Change("bond", row, b)
            Changes(self.dataset.db).make(step, [what])

    def _split(self, key: str, other: str, a: int, b: int) -> None:
        plan = {key: (key, "train"), other: (key, "test")}
        self.dataset.samples.set_splits(plan, f"seed {b}", {other: 1 + b} if b % 2 else {})

    def _balance(self, key: str, other: str, a: int, b: int) -> None:
        shares = {key: SampleWeight(b % 3, 0.5), other: SampleWeight(1, 1.0)}
        Balances(self.dataset.db).replace(shares, f"method {b}")

    def _rename(self, key: str, other: str, a: int, b: int) -> None:
        names = self.dataset.classes.names()
        with self.dataset.db.write():
            step = self.dataset.journal.step("rename", [])
            self.dataset.classes.rename(step, names[a % len(names)] if names else "", f"n{b % 3}")

    def _merge(self, key: str, other: str, a: int, b: int) -> None:
        one, *rest = self.dataset.classes.names() or [""]
        into = rest[b % len(rest)] if rest else one
        moved = [k for k, name in seen(self.dataset).labels.items() if name == one]
        with self.dataset.db.write():
            step = self.dataset.journal.step("merge", [Choice(k, "label", into) for k in moved])
            self.dataset.classes.merge(step, one, into)

    def _lose(self, key: str, other: str, a: int, b: int) -> None:
        number = 1 + a % self.pictures
        if self.dataset.images.buried(sha(number)) is None:
            found = [cut(number)] if b % 2 else []
            self.dataset.faces.record(sha(number), "test", "", found)

    def _undo(self, key: str, other: str, a: int, b: int) -> None:
        self.dataset.journal.undo()

    def _forget(self, key: str, other: str, a: int, b: int) -> None:
        image = self.dataset.samples.get(key)
        if b == 0 and image is not None:
            Maintenance(self.dataset.db).forget(image.image, "asked to")
            self.forgotten.add(key)

    def _snapshot(self, key: str, other: str, a: int, b: int) -> None:
        name = f"s{b}"
        if name in self.then:
            Snapshots(self.dataset.db).remove(name)
        take_snapshot(self.dataset, name)
        self.then[name] = seen(self.dataset)

    def _restore(self, key: str, other: str, a: int, b: int) -> None:
        if (name := f"s{b}") not in self.then:
            return
        before = seen(self.dataset)
        done = restore(self.dataset, name)
        assert seen(self.dataset) == as_restored(self.then[name], self.dataset)
        assert made_from(self.dataset).keys() == {"name"}
        left = difference(self.dataset, name)
        rest = (left.splits.moves, left.copies.moves, left.others, left.classes)
        assert rest == ([], [], {}, [])
        assert {move.origin for move in left.labels.moves} <= {"new", "queue", "retired"}
        if done is not None and a % 2:
            assert self.dataset.journal.undo().changed_since == 0
            assert seen(self.dataset) == before


KINDS = [name[1:] for name in vars(Walk) if name.startswith("_") and name[1] != "_"]
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["add", "label", "label", "snapshot", "restore", "restore", *KINDS]),
        st.integers(0, 7),
        st.integers(0, 3),
    ),
    min_size=10,
    max_size=40,
)


@settings(max_examples=examples(25, 300), suppress_health_check=list(HealthCheck), deadline=None)
@given(acts=ACTS)
def test_restoring_gives_what_was_and_undoing_it_what_is(
    monkeypatch: pytest.MonkeyPatch, acts: list[tuple[str, int, int]]
) -> None:
    monkeypatch.setattr(restoring, "PART", 2)
    with tempfile.TemporaryDirectory() as folder, Dataset.create(Path(folder, "d")) as dataset:
        walk = Walk(dataset)
        for number in range(1, 5):
            walk.do("add", number, 0)
        for what, a, b in acts:
            walk.do(what, a, b)
        assert not contradictions(dataset.db)["orphan_rows"].cases


Acts = list[Callable[[], object]]


@pytest.fixture
def meanwhile(dataset: Dataset, keys: list[str], monkeypatch: pytest.MonkeyPatch) -> Acts:
    """What others do while all that became a dog since a snapshot is restored, in parts of two
    samples: after the first one, one thing between what a part has read and what it writes.
    """
    take_snapshot(dataset, "v1")
    label(dataset, "dog", *keys)
    acts: Acts = []
    parts: list[Restoring] = []
    find, write = Restoring._found, Restoring._restored

    def found(self: Restoring, *asked: Any) -> Any:
        read = find(self, *asked)
        if parts and acts:
            acts.pop(0)()
        return read

    def restored(self: Restoring, *read: Any) -> bool:
        parts.append(self)
        return write(self, *read)

    monkeypatch.setattr(restoring, "PART", 2)
    monkeypatch.setattr(Restoring, "_found", found)
    monkeypatch.setattr(Restoring, "_restored", restored)
    return acts


def test_a_window_decides_while_a_snapshot_is_restored(
    dataset: Dataset, keys: list[str], meanwhile: Acts
) -> None:
    dataset.samples.set_splits({key: (key, "val") for key in keys}, "seed 2")
    before = seen(dataset)
    with Dataset.open(dataset.root) as window:
        # One that was put back already and one that is to come; then one of the first part.
        meanwhile += [lambda: label(window, "fox", keys[0], keys[4])]
        meanwhile += [lambda: label(window, "dog", keys[1])]
        assert restore(dataset, "v1") == 5
    assert not meanwhile
    labels = [sample and sample.label for sample in map(dataset.samples.get, keys)]
    assert labels == ["fox", "dog", "owl", "owl", "fox", None]
    assert decided_otherwise(dataset, "v1") == 3
    assert dataset.classes.names() == ["cat", "dog", "fox", "owl"]
    assert restore(dataset, "v1") == 3
    assert decided_otherwise(dataset, "v1") == 0
    for _ in range(4):
        dataset.journal.undo()
    assert seen(dataset) == before


def test_splits_that_are_made_meanwhile_are_no_mixture(
    dataset: Dataset, keys: list[str], meanwhile: Acts
) -> None:
    with Dataset.open(dataset.root) as other:
        plan = {key: (key, "val") for key in keys}
        meanwhile.append(lambda: other.samples.set_splits(plan, "seed 2"))
        restore(dataset, "v1")
    assert difference(dataset, "v1").empty


def test_a_restore_that_is_undone_meanwhile_ends(dataset: Dataset, meanwhile: Acts) -> None:
    before = seen(dataset)
    with Dataset.open(dataset.root) as other:
        meanwhile.append(lambda: other.journal.undo())
        with pytest.raises(UsageError, match="undone while it was under way"):
            restore(dataset, "v1")
    assert seen(dataset) == before
    assert not cut_short(dataset.db)


def test_one_that_was_cut_short_goes_on_as_the_same_step(dataset: Dataset, meanwhile: Acts) -> None:
    before = seen(dataset)

    def killed() -> None:
        raise KeyboardInterrupt

    meanwhile.append(killed)
    with pytest.raises(KeyboardInterrupt):
        restore(dataset, "v1")
    assert seen(dataset) != before
    (step,) = cut_short(dataset.db).values()
    assert restore(dataset, "v1") == 6
    assert difference(dataset, "v1").empty
    assert not cut_short(dataset.db)
    assert SampleTiles(dataset.db).steps(step - 1)[0].name == "Restore snapshot v1: 6 changed"
    assert dataset.journal.undo().restored == 6
    assert seen(dataset) == before


def test_what_was_forgotten_is_gone_from_snapshots_too(dataset: Dataset, keys: list[str]) -> None:
    take_snapshot(dataset, "v1")
    label(dataset, "dog", keys[0])
    Maintenance(dataset.db).forget(sha(0), "asked to")
    assert dataset.db.number("SELECT count(*) FROM snapshot_sample") == 5
    restore(dataset, "v1")
    assert dataset.samples.get(keys[0]) is None
    found = difference(dataset, "v1")
    assert (found.pictures.forgotten, found.labels.moves) == (1, [])
    dataset.journal.undo()
    assert dataset.samples.get(keys[0]) is None


def test_images_without_a_sample_count(dataset: Dataset) -> None:
    add_image(dataset, 1)
    take_snapshot(dataset, "v1")
    add_image(dataset, 2)
    assert difference(dataset, "v1").pictures == (1, 0, 0, [sha(2)], [])

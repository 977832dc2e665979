"""The journal of decisions: steps, undo, redo, and a random walk against a model."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from catalogue_rows import add_sample, cut, sha
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gleanset import Dataset
from gleanset.db.classes import normalize_class_name
from gleanset.db.journal import Choice, UndoResult
from gleanset.db.sorting import SampleTiles
from gleanset.errors import UsageError
from gleanset.images.cropping import make_sample_key
from gleanset.operations import NAMED, make_operation, make_undo
from gleanset.records import Box, Face, FaceCrop

State = tuple[str, str | None]
# Removing a box undoes decisions made while the face was lost.
STATUS = {"label": "labelled", "reject": "rejected", "clear": "queue"}


def states(dataset: Dataset) -> list[State]:
    return [(s.status, s.label) for s in dataset.samples.iterate()]


@pytest.fixture
def keys(dataset: Dataset) -> list[str]:
    return [add_sample(dataset, number) for number in range(3)]


def test_apply_updates_samples_and_journal(dataset: Dataset, keys: list[str]) -> None:
    step = dataset.journal.apply(
        "First look",
        [Choice(keys[0], "label", "cat"), Choice(keys[1], "reject", provenance="rule")],
    )
    assert states(dataset) == [("labelled", "cat"), ("rejected", None), ("queue", None)]
    first, second = dataset.journal.iterate()
    assert (first.step, first.name, first.sample) == (step, "First look", keys[0])
    assert (first.action, first.value) == ("label", "cat")
    assert (second.action, second.value, second.provenance) == ("reject", None, "rule")
    assert first.user
    assert first.at.endswith("Z")
    assert dataset.journal.count() == 2


def test_step_with_unknown_sample_is_rolled_back(
    dataset: Dataset, keys: list[str]
) -> None:
    with pytest.raises(UsageError, match="no sample 'gone'"):
        dataset.journal.apply(
            "x", [Choice(keys[0], "label", "cat"), Choice("gone", "reject")]
        )
    assert (states(dataset), dataset.journal.count()) == ([("queue", None)] * 3, 0)
    assert dataset.classes.list_names() == []


def test_undo_of_older_step_skips_changed_samples(
    dataset: Dataset, keys: list[str]
) -> None:
    first = dataset.journal.apply("Cats", [Choice(key, "label", "cat") for key in keys])
    dataset.journal.apply("Dog", [Choice(keys[0], "label", "dog")])
    assert dataset.journal.undo(first) == UndoResult(
        make_operation(NAMED, name="Cats"), 2, 1
    )
    assert states(dataset) == [("labelled", "dog"), ("queue", None), ("queue", None)]
    with pytest.raises(UsageError):
        dataset.journal.undo(first)
    assert dataset.journal.undo().name == "Dog"
    with pytest.raises(UsageError):
        dataset.journal.undo(999)


def test_last_choice_for_a_sample_wins(dataset: Dataset, keys: list[str]) -> None:
    dataset.journal.apply(
        "Twice", [Choice(keys[0], "label", "cat"), Choice(keys[0], "label", "dog")]
    )
    assert states(dataset)[0] == ("labelled", "dog")
    assert dataset.journal.undo() == UndoResult(
        make_operation(NAMED, name="Twice"), 1, 0
    )
    assert states(dataset)[0] == ("queue", None)


@pytest.mark.parametrize(
    ("name", "normalized"),
    [
        ("  two   words ", "two words"),
        ("tab\tand\nline", "tab and line"),
        ("e\u0301", "\u00e9"),
        ("涼風青葉", "涼風青葉"),
        ("日" * 60, "日" * 60),
        ("Mr. Cat's (1st)", "Mr. Cat's (1st)"),
        ("x" * 100, "x" * 100),
        ("\u05d3\u05d5\u05d2\u200f", "\u05d3\u05d5\u05d2\u200f"),
    ],
)
def test_class_names_are_normalized(name: str, normalized: str) -> None:
    assert normalize_class_name(name) == normalized
    assert normalize_class_name(normalized) == normalized


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "x" * 101,
        "..",
        ".hidden",
        "a/b",
        "a\\b",
        "a?",
        "a\0b",
        "\u200b",
        "a\u202eb",
    ],
)
def test_invalid_class_name_raises_error(name: str) -> None:
    with pytest.raises(UsageError, match="is not a class name"):
        normalize_class_name(name)


def test_undo_removes_class_made_by_step(dataset: Dataset, keys: list[str]) -> None:
    journal = dataset.journal
    journal.apply("a", [Choice(keys[0], "label", "hana")])
    assert dataset.classes.list_names() == ["hana"]
    assert journal.undo() == UndoResult(make_operation(NAMED, name="a"), 1, 0)
    assert dataset.classes.list_names() == []
    journal.undo(dataset.db.fetch_int("SELECT max(id) FROM step"))
    assert dataset.classes.list_names() == ["hana"], "a redo brings it back"
    redone = dataset.db.fetch_int("SELECT max(id) FROM step")
    journal.apply("b", [Choice(keys[1], "label", "hana")])
    assert journal.undo(redone).changed_since == 0
    assert dataset.classes.list_names() == ["hana"], "another sample has it"
    journal.undo()
    assert dataset.classes.list_names() == ["hana"], "that step did not make it"


def test_undo_shows_hidden_class(dataset: Dataset, keys: list[str]) -> None:
    journal = dataset.journal
    first = journal.apply("a", [Choice(keys[0], "label", "hana")])
    second = journal.apply("b", [Choice(keys[0], "label", "rei")])
    journal.undo(first)
    assert dataset.classes.list_names() == ["rei"]
    journal.undo(second)
    assert dataset.classes.list_names() == ["hana"]


def rescan(dataset: Dataset, number: int, *, is_detected: bool) -> None:
    """Repeat the face search on an image of `add_sample`."""
    dataset.faces.replace(sha(number), "test", "", [cut(number)] if is_detected else [])


def test_undo_does_not_restore_removed_box(dataset: Dataset) -> None:
    """Only a detection revives samples: a box that a user removed stays removed."""
    add_sample(dataset, 0)
    box = Box(100, 0, 10, 10)
    key = make_sample_key(sha(0), box)
    dataset.faces.add_manual(sha(0), FaceCrop(Face("hand", box, 1.0), key, box, 0, 1.0))
    dataset.journal.apply("Add", [Choice(key, "add")])
    dataset.journal.apply("Label", [Choice(key, "label", "cat")])
    cleared = dataset.journal.apply("Clear", [Choice(key, "clear")])
    dataset.journal.apply("Remove", [Choice(key, "remove")])
    assert dataset.journal.undo(cleared) == UndoResult(
        make_operation(NAMED, name="Clear"), 0, 1
    )
    assert dataset.journal.undo() == UndoResult(
        make_operation(NAMED, name="Remove"), 1, 0
    )
    rescan(dataset, 0, is_detected=False)
    assert states(dataset)[1] == ("queue", None)


@dataclass
class ModelStep:
    """A step of the model: its samples' states before and after."""

    number: int
    before: dict[int, State]
    after: dict[int, State]
    undo: bool
    undone: bool = False


class JournalWalk(RuleBasedStateMachine):
    """A random walk of labels, rejections, clears, undos and re-detections."""

    initial_folder: Path
    """A dataset of four samples that each walk copies."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        shutil.copytree(self.initial_folder, self.folder.name, dirs_exist_ok=True)
        self.dataset = Dataset.open(self.folder.name)
        self.keys = [sample.key for sample in self.dataset.samples.iterate()]
        self.model: list[State] = [("queue", None)] * 4
        self.is_detected = [True] * 4
        self.steps: list[ModelStep] = []

    @rule(index=st.integers(0, 3), is_detected=st.booleans())
    def search(self, index: int, is_detected: bool) -> None:
        self.is_detected[index] = is_detected
        rescan(self.dataset, index, is_detected=is_detected)

    @rule(
        decisions=st.dictionaries(
            st.integers(0, 3),
            st.tuples(
                st.sampled_from(["label", "reject", "clear"]), st.sampled_from("abc")
            ),
            min_size=1,
        )
    )
    def step(self, decisions: dict[int, tuple[str, str]]) -> None:
        choices = []
        after = {}
        for index, (action, label) in decisions.items():
            named = label if action == "label" else None
            choices.append(Choice(self.keys[index], action, named))
            after[index] = (STATUS[action], named)
        number = self.dataset.journal.apply("Step", choices)
        self._carried_out(number, after, undo=False)

    @precondition(lambda self: any(not step.undone for step in self.steps))
    @rule(data=st.data())
    def undo_any(self, data: st.DataObject) -> None:
        done = data.draw(
            st.sampled_from([step for step in self.steps if not step.undone])
        )
        self._undo(done, self.dataset.journal.undo(done.number))

    @rule()
    def undo_last(self) -> None:
        open_ = [step for step in self.steps if not step.undone and not step.undo]
        if not open_:
            with pytest.raises(UsageError):
                self.dataset.journal.undo()
            return
        self._undo(open_[-1], self.dataset.journal.undo())

    def _undo(self, done: ModelStep, result: UndoResult) -> None:
        same = [i for i, state in done.after.items() if self.model[i] == state]
        assert (result.restored, result.changed_since) == (
            len(same),
            len(done.after) - len(same),
        )
        done.undone = True
        [number] = self.dataset.db.fetch_one("SELECT max(id) FROM step") or [0]
        self._carried_out(number, {i: done.before[i] for i in same}, undo=not done.undo)

    def _carried_out(self, number: int, after: dict[int, State], *, undo: bool) -> None:
        before = {i: self.model[i] for i in after}
        self.steps.append(ModelStep(number, before, after, undo))
        for index, state in after.items():
            self.model[index] = state

    @invariant()
    def the_catalogue_agrees(self) -> None:
        assert states(self.dataset) == [
            ("retired", None) if state[0] == "queue" and not result else state
            for state, result in zip(self.model, self.is_detected, strict=True)
        ]

    @invariant()
    def the_journal_alone_tells_the_state(self) -> None:
        result = dict.fromkeys(self.keys, ("queue", None))
        for decision in self.dataset.journal.iterate():
            result[decision.sample] = (STATUS[decision.action], decision.value)  # type: ignore[assignment]
        assert list(result.values()) == self.model

    def teardown(self) -> None:
        self.dataset.close()
        self.folder.cleanup()


@pytest.mark.parametrize(
    ("walks", "steps"), [(15, 12), pytest.param(150, 20, marks=pytest.mark.long)]
)
def test_random_walk_keeps_journal_and_catalogue_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, walks: int, steps: int
) -> None:
    with Dataset.create(tmp_path) as dataset:
        for number in range(4):
            add_sample(dataset, number)
    monkeypatch.setattr(JournalWalk, "initial_folder", tmp_path, raising=False)
    run_state_machine_as_test(
        JournalWalk,
        settings=settings(
            max_examples=walks,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_step_stores_its_operation(dataset: Dataset, keys: list[str]) -> None:
    did = make_operation("label", count=1, label="2 faces to B")
    dataset.journal.apply(did, [Choice(keys[0], "label", "2 faces to B")])
    assert dataset.journal.undo().operation == did
    first, undone = SampleTiles(dataset.db).list_steps()
    assert (first.operation, undone.operation) == (did, make_undo(did))
    assert [decision.name for decision in dataset.journal.iterate()] == [
        "Label 1 sample as 2 faces to B",
        "Undo: Label 1 sample as 2 faces to B",
    ]

"""Sorting sessions without a window, also with random gestures, two windows and kill -9."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from labeler_makers import add_faces, add_image
from sorting_model import SortingModel, carry_out, ids_of, random_gesture, read_state
from tools_for_tests import examples

from gleanset import Dataset
from gleanset.db.journal import MODEL, Choice
from gleanset.errors import UsageError
from gleanset.operations import AUTOMATIC, NAMED, make_operation
from gleanset.settings import SETTINGS_FILE
from labeler.review import confirm_labels
from labeler.sorting.session import ALREADY_THERE, BY_SWEEP, SortingSession, StepResult

SAMPLES = 6


def make(root: Path) -> list[str]:
    with Dataset.create(root) as dataset:
        return [
            add_faces(dataset, add_image(dataset, f"p{n}"))[0] for n in range(SAMPLES)
        ]


def test_random_gestures_match_model(tmp_path: Path) -> None:
    """In one window, which is often closed and opened again."""
    keys = make(tmp_path)
    dice = random.Random(5)
    model = SortingModel(dict.fromkeys(range(SAMPLES), ":queue"))
    for _ in range(examples(9, 36)):
        with Dataset.open(tmp_path) as dataset:
            session = SortingSession(dataset)
            for _ in range(dice.randint(1, 15)):
                gesture = random_gesture(dice, SAMPLES)
                if model.can_play(gesture):
                    carry_out(session, keys, gesture)
                    model.play(gesture)
                else:
                    with pytest.raises(UsageError, match="nothing to"):
                        carry_out(session, keys, gesture)
                assert read_state(dataset, keys) == model.state
                progress = session.progress()
                assert progress.counts.total == SAMPLES
                assert (progress.undo is not None) == bool(model.undo_stack)
                assert bool(session.history.redoable) == bool(model.redo_stack)


def test_two_windows_with_random_gestures(tmp_path: Path) -> None:
    """Each sample is where its latest gesture, of either window, has put it."""
    keys = make(tmp_path)
    dice = random.Random(11)
    with Dataset.open(tmp_path) as first, Dataset.open(tmp_path) as second:
        sessions = (SortingSession(first), SortingSession(second))
        state = dict.fromkeys(range(SAMPLES), ":queue")
        for _ in range(examples(30, 120)):
            gesture = random_gesture(dice, SAMPLES)
            session = dice.choice(sessions)
            before = read_state(first, keys)
            try:
                carry_out(session, keys, gesture)
            except UsageError:
                assert gesture.kind != "to"
                continue
            if gesture.kind == "to":
                state |= dict.fromkeys(gesture.samples, gesture.target)
            else:
                # An undo changes only samples that no later gesture has changed.
                after = read_state(first, keys)
                state |= {n: after[n] for n in after if after[n] != before[n]}
            assert read_state(second, keys) == state


def play_until_killed(
    root: Path, keys: list[str], seed: int, pipe: int, model: SortingModel
) -> None:
    """Play random gestures without end; write a byte after each that is saved."""
    dice = random.Random(seed)
    with Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        os.write(pipe, b"!")
        while True:
            gesture = model.next_gesture(dice)
            carry_out(session, keys, gesture)
            model.play(gesture)
            os.write(pipe, b".")


def kill_child(
    root: Path, keys: list[str], seed: int, model: SortingModel, seconds: float
) -> int:
    """Return the number of gestures that were certainly saved before the kill."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            play_until_killed(root, keys, seed, writer, model)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as saved:
        assert saved.read(1) == b"!"
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        return len(saved.read())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.slow
def test_gestures_survive_random_kills(tmp_path: Path) -> None:
    """The catalogue has all gestures that were saved, and at most the one under way.

    On a busy machine, which plays few gestures between kills, there are more kills.
    """
    kills = 6
    keys = make(tmp_path)
    model = SortingModel(dict.fromkeys(range(SAMPLES), ":queue"))
    dice = random.Random(0)
    seed = 0
    while seed < kills or model.played <= kills:
        before = model.played
        saved = kill_child(tmp_path, keys, seed, model, dice.uniform(0, 0.05))
        with Dataset.open(tmp_path) as dataset:
            # Every gesture is one step.
            recorded = SortingSession(dataset).history.last
            assert saved <= recorded - before <= saved + 1
            model.replay(random.Random(seed), recorded - before)
            assert read_state(dataset, keys) == model.state
        seed += 1


@pytest.fixture
def keys(empty: Dataset) -> list[str]:
    return [add_faces(empty, add_image(empty, f"p{n}"))[0] for n in range(6)]


@pytest.fixture
def session(empty: Dataset, keys: list[str]) -> SortingSession:
    return SortingSession(empty)


@pytest.fixture
def rows(session: SortingSession, keys: list[str]) -> list[int]:
    return ids_of(session, keys)


def places(session: SortingSession) -> dict[str, int]:
    counts = session.tiles.get_counts()
    return {
        "queue": counts.pending,
        "later": counts.later,
        "other": counts.other,
        "rejected": counts.rejected,
        **{c.name: c.count for c in counts.classes},
    }


def test_undo_and_redo_return_step_name(
    session: SortingSession, rows: list[int]
) -> None:
    session.decide(rows[:3], "Miku")
    session.decide(rows[3:], "Mio")

    def names() -> tuple[str | None, str | None]:
        redoable = session.history.redoable
        steps = session.progress().undo, next(reversed(redoable), None)
        undo, redo = (step and step.operation.text() for step in steps)
        return undo, redo

    assert names() == ("Label 3 samples as Mio", None)
    undone = session.undo()
    assert (undone.kind, undone.operation.text()) == ("undo", "Label 3 samples as Mio")
    assert names() == ("Label 3 samples as Miku", "Label 3 samples as Mio")
    session.undo()
    assert (names(), session.redo().root) == ((None, "Label 3 samples as Miku"), 1)
    assert (session.redo().root, names()) == (
        undone.root,
        ("Label 3 samples as Mio", None),
    )
    session.undo()
    session.decide([rows[5]], "Mai")
    assert names() == ("Label 1 sample as Mai", None)
    with pytest.raises(UsageError, match="nothing to redo"):
        session.redo()


def test_only_corrected_class_is_hidden(
    session: SortingSession, rows: list[int]
) -> None:
    """A class disappears with its last sample if the only labelling as it has created it."""
    session.decide(rows[:2], "Mikku")
    session.decide(rows[:1], "Miku")
    assert (places(session)["Mikku"], session.progress().keys["Mikku"]) == (1, "1")
    session.decide(rows[1:2], "Miku")
    assert "Mikku" not in places(session)
    session.undo()
    assert (places(session)["Mikku"], places(session)["Miku"]) == (1, 1)
    session.redo()
    assert "Mikku" not in places(session)
    session.add_class("Rin")
    session.decide(rows[2:3], "Rin")
    session.decide(rows[3:4], "Mai")
    session.decide(rows[4:5], "Mai")
    session.decide(rows[2:5], "Miku")
    assert (
        places(session)["Rin"],
        places(session)["Mai"],
        places(session)["Miku"],
    ) == (0, 0, 5)
    session.decide(rows[5:], "Mikku")
    assert places(session)["Mikku"] == 1


def test_decisions_survive_unreadable_settings(
    session: SortingSession, rows: list[int]
) -> None:
    settings = session.dataset.root / "dataset.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text('name = "half', encoding="utf-8")
    assert session.decide(rows[:2], "Miku").step
    settings.unlink()
    assert session.decide(rows[2:3], "Mio").step
    assert session.progress().keys == {"Miku": "1", "Mio": "2"}
    session.dataset.classes.get_id("Miku")
    session.poll()
    settings.write_text(text, encoding="utf-8")
    session.decide(rows[3:4], "Rin")
    assert 'Miku = "1"' in settings.read_text(encoding="utf-8")
    assert len(list(session.dataset.journal.iterate())) == 4


def test_undo_skips_steps_of_another_window(
    session: SortingSession, rows: list[int]
) -> None:
    with Dataset.open(session.dataset.root) as dataset:
        other = SortingSession(dataset)
        session.decide(rows[:2], "Miku")
        assert other.poll()
        assert not other.poll()
        other.decide(rows[1:3], "Mio")
        assert session.poll()
        # Our step is undone except where theirs came after it.
        undone = session.undo()
        assert undone.changed_since == 1
        assert places(session) == {
            "queue": 4,
            "later": 0,
            "other": 0,
            "rejected": 0,
            "Mio": 2,
        }
        with pytest.raises(UsageError):
            session.undo()
        assert other.undo().operation.text() == "Label 2 samples as Mio"


def test_decisions_record_provenance(session: SortingSession, rows: list[int]) -> None:
    session.decide([rows[0]], "Miku")
    session.decide([rows[1]], "Miku", BY_SWEEP)
    filed, lifted = rows[2:4]
    session.label_each({filed: "Mio"}, "a page", refused={lifted: "Mio"})
    provenance = [d.provenance for d in session.dataset.journal.iterate()]
    assert provenance == ["by hand", "by sweep", "with page"]
    refused = {lifted: frozenset([session.classes.get_id("Mio")])}
    assert session.changes.get_refused_classes([lifted]) == refused
    session.undo()
    assert session.changes.get_refused_classes([lifted]) == {}


def test_decision_that_changes_nothing_makes_no_step(
    session: SortingSession, keys: list[str], rows: list[int]
) -> None:
    session.decide(rows[:2], "Miku")
    session.decide(rows[2:3], ":other")
    before = session.progress()
    repeated = ((rows[:2], " Miku"), (rows[2:3], ":other"), (rows[3:], ":queue"))
    assert [session.decide(*decision) for decision in repeated] == [ALREADY_THERE] * 3
    assert (session.rename_class("Miku", " Miku ").step, session.progress()) == (
        0,
        before,
    )
    # Of several samples those are decided that change, or whose label no person gave.
    session.dataset.journal.apply(
        "elsewhere", [Choice(keys[3], "label", "Miku", MODEL)]
    )
    assert (
        session.decide(rows[:5], "Miku").operation.text() == "Label 3 samples as Miku"
    )
    session.undo()
    assert (places(session)["Miku"], places(session)["other"]) == (3, 1)


def test_add_rename_and_merge_classes(session: SortingSession, rows: list[int]) -> None:
    session.add_class("Miku")
    assert session.progress().keys == {"Miku": "1"}
    with pytest.raises(UsageError, match="already"):
        session.add_class(" Miku ")
    session.decide(rows[:2], "Miku")
    session.rename_class("Miku", "涼宮ハルヒ")
    assert session.progress().keys == {"涼宮ハルヒ": "1"}
    session.decide(rows[2:4], "Mio")
    session.rename_class("Mio", " 涼宮ハルヒ")
    assert (session.progress().keys, places(session)["涼宮ハルヒ"]) == (
        {"涼宮ハルヒ": "1"},
        4,
    )
    session.undo()
    assert places(session)["Mio"] == places(session)["涼宮ハルヒ"] == 2
    assert session.progress().keys == {"涼宮ハルヒ": "1", "Mio": "2"}
    session.undo()
    session.undo()
    assert session.progress().keys["Miku"] == "1"
    session.undo()
    assert session.progress().keys == {"Miku": "1"}
    session.undo()
    assert session.progress().keys == {}
    session.redo()
    assert session.progress().keys == {"Miku": "1"}


def test_old_class_name_resolves_in_another_window(
    session: SortingSession, rows: list[int]
) -> None:
    """Another window that still uses the old name creates no class."""
    with Dataset.open(session.dataset.root) as dataset:
        other = SortingSession(dataset)
        session.decide(rows[:1], "Miku")
        session.decide(rows[1:2], "Mio")
        session.rename_class("Miku", "Hatsune Miku")
        labelled = other.decide(rows[2:3], "Miku")
        assert labelled.operation.text() == "Label 1 sample as Hatsune Miku"
        session.rename_class("Mio", "hatsune miku")  # as if it were typed for a face
        other.decide(rows[3:4], "Mio")
    assert places(session)["Hatsune Miku"] == 4
    assert [c.name for c in session.tiles.get_counts().classes] == ["Hatsune Miku"]


@pytest.mark.parametrize("hidden_by", ["undo", "delete"])
def test_class_gets_name_of_hidden_class(
    session: SortingSession, rows: list[int], hidden_by: str
) -> None:
    session.add_class("Emilia")
    session.undo() if hidden_by == "undo" else session.delete_class("Emilia")
    session.decide(rows[:2], "Emila")
    for _ in range(2):  # the second time to a name of its own
        session.rename_class("Emila", "Emilia")
        assert places(session)["Emilia"] == 2
        session.decide(rows[2:3], "Emila")
        assert places(session)["Emilia"] == 3, "the old name means the class"
        session.undo()
        session.rename_class("Emilia", "Emila")
    for _ in range(4):
        session.undo()
    assert ([*session.progress().keys], places(session)["Emila"]) == (["Emila"], 2)


def test_undo_of_rename_to_taken_name_raises_error(session: SortingSession) -> None:
    session.add_class("A")
    session.rename_class("A", "B")
    before = session.progress().undo
    with Dataset.open(session.dataset.root) as dataset:
        SortingSession(dataset).add_class("A")
    with pytest.raises(UsageError, match="Create class A"):
        session.undo()
    assert session.progress().undo == before
    assert {c.name for c in session.tiles.get_counts().classes} == {"A", "B"}


def test_automatic_step_does_not_block_undo(
    session: SortingSession, keys: list[str], rows: list[int]
) -> None:
    """No user could undo that step first."""
    session.decide(rows[:1], "A")
    session.decide(rows[1:2], "B")
    session.dataset.journal.apply(
        make_operation(AUTOMATIC, count=1), [Choice(keys[1], "clear")]
    )
    session.undo()
    assert session.tiles.get_counts().total_labelled
    session.undo()
    assert not session.tiles.get_counts().total_labelled


def test_class_keys_are_stable_and_saved(session: SortingSession) -> None:
    for name in ("b", "a", "c"):
        session.add_class(name)
    assert session.progress().keys == {"b": "1", "a": "2", "c": "3"}
    session.rename_class("b", "c")
    assert list(session.progress().keys) == ["a", "c"]
    session.undo()
    session.rename_class("b", "z")
    assert list(session.progress().keys) == ["z", "a", "c"]
    session.undo()
    assert list(session.progress().keys.items()) == [("b", "1"), ("a", "2"), ("c", "3")]
    file = session.dataset.root / SETTINGS_FILE
    file.write_text(file.read_text().replace('c = "3"', 'c = "w"'))
    session.keys.follow()
    session.add_class("d")
    assert list(session.progress().keys.items()) == [
        ("b", "1"),
        ("a", "2"),
        ("d", "3"),
        ("c", "w"),
    ]
    with Dataset.open(session.dataset.root) as dataset:
        assert SortingSession(dataset).progress().keys == session.progress().keys
        assert dataset.settings.keys == session.progress().keys


def test_invalid_keys_in_settings_are_ignored(session: SortingSession) -> None:
    session.add_class("a")
    session.add_class("b")
    file = session.dataset.root / SETTINGS_FILE
    file.write_text('[keys]\na = "ä"\nb = "1"\ngone = "2"\n')
    session.keys.follow()
    assert session.progress().keys == {"a": "2", "b": "1"}


def test_adopted_step_can_be_undone(session: SortingSession, keys: list[str]) -> None:
    step = session.dataset.journal.apply("Elsewhere", [Choice(keys[0], "reject")])
    assert session.adopt(step) == StepResult(
        step, make_operation(NAMED, name="Elsewhere"), root=step
    )
    assert session.undo().operation.text() == "Elsewhere"
    with Dataset.open(session.dataset.root) as dataset:
        step = dataset.journal.apply("Beside us", [Choice(keys[1], "reject")])
    assert session.poll()
    assert session.progress().undo is None
    session.adopt(step)
    assert session.undo().operation.text() == "Beside us"


def test_invalid_target_raises_error(session: SortingSession, rows: list[int]) -> None:
    with pytest.raises(UsageError, match="no place"):
        session.decide(rows[:1], ":nowhere")
    with pytest.raises(UsageError, match="not a class name"):
        session.decide(rows[:1], "a/b")
    with pytest.raises(UsageError, match="none of these samples"):
        session.decide([10**6], "Miku")
    assert session.progress().undo is None


def test_confirm_skips_labels_changed_meanwhile(
    session: SortingSession, keys: list[str], rows: list[int]
) -> None:
    session.decide(rows[:2], "Mio")
    shown_labels = dict.fromkeys(rows[:2], "Mio")
    with Dataset.open(session.dataset.root) as dataset:
        dataset.journal.apply("Elsewhere", [Choice(keys[0], "label", "Rin")])
    assert confirm_labels(session, shown_labels).step
    assert [decision.sample for decision in session.dataset.journal.iterate()][
        -1
    ] == keys[1]
    with pytest.raises(UsageError, match="have changed"):
        confirm_labels(session, {rows[0]: "Mio"})

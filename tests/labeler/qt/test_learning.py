"""The window learns from what is sorted, and says in its status bar what it is at."""

from __future__ import annotations

import json

import pytest
from drawn_faces import FaceSet
from person import Opened, Stand, settle, until

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.proposals import Presort, Proposals
from labeler.qt.learning import LearningButton, LearningState
from labeler.qt.window import LabelerWindow


def button_of(window: LabelerWindow) -> LearningButton:
    found = window.statusBar().findChildren(LearningButton)
    assert len(found) == 1
    return found[0]


TELLS = f"""
import json, sys
for told in {json.dumps([{"stage": "features", "done": 120, "total": 3000}])}:
    print(json.dumps(told), file=sys.stderr, flush=True)
sys.stdin.read()
"""


def test_the_status_bar_says_what_learning_is_at(
    few: FaceSet, opened: Opened, stand_in: Stand
) -> None:
    stand_in(baseline=TELLS)
    window = opened(few.root)
    settle(window)
    button = button_of(window)
    assert button.text() == "Learning is off"
    assert button.switch.isChecked()
    assert button.now.isEnabled()
    window.learning.begin()
    until(lambda: window.learning.state is LearningState.LOOKING)
    assert button.text() == "Looking at faces: 120 of 3,000"
    assert button.accessibleName() == button.text()
    assert not button.now.isEnabled()
    # Switched off, it stays off in windows to come.
    button.switch.trigger()
    assert not window.learning.at_work
    assert button.text() == "Learning is off"
    other = opened(few.root)
    other.learning.begin()
    settle(other)
    assert not other.learning.at_work
    assert not button_of(other).switch.isChecked()


STANDS_BY = """
import json, sys, time
for told in ({"stage": "standby", "done": 0}, {"stage": "standby", "done": 0, "ended": True}):
    print(json.dumps(told), file=sys.stderr, flush=True)
    time.sleep(0.5)
sys.stdin.read()
"""


def test_a_second_window_says_when_it_takes_over(
    few: FaceSet, opened: Opened, stand_in: Stand
) -> None:
    stand_in(baseline=STANDS_BY)
    window = opened(few.root)
    said: list[str] = []
    window.worker.message.connect(lambda text, bad: said.append(text))
    window.learning.begin()
    until(lambda: window.learning.state is LearningState.WAITING)
    assert button_of(window).text() == "Another window learns"
    until(lambda: window.learning.state is not LearningState.WAITING)
    assert button_of(window).text() == "Learning begins"
    assert said == ["The other window has ended: this one learns from here on"]


def test_what_is_missing_is_said_once_with_what_it_would_bring(
    few: FaceSet, opened: Opened, stand_in: Stand
) -> None:
    stand_in(baseline="print('baseline: no torch', file=sys.stderr)\nsys.exit(6)\n")
    said: list[str] = []
    for _ in range(2):
        window = opened(few.root)
        window.worker.message.connect(lambda text, bad: said.append(text))
        window.learning.begin()
        until(lambda shown=window: shown.learning.state is LearningState.MISSING)
        button = button_of(window)
        assert button.text() == "Cannot learn"
        assert "gleanset[transfer]" in button.toolTip()
    assert [text for text in said if "Proposals would improve" in text] == said
    assert len(said) == 1


STAGES = (
    {"stage": "features", "done": 120, "total": 3000},
    {"stage": "learning", "done": 0, "total": 1},
    {"stage": "learning", "done": 1, "total": 1, "ended": True},
)


def test_who_learns_in_the_middle_of_looking_has_not_seen_all(
    few: FaceSet, opened: Opened, stand_in: Stand
) -> None:
    tell = f"for told in {STAGES!r}:\n    print(json.dumps(told), file=sys.stderr, flush=True)"
    stand_in(baseline=f"import json, sys\n{tell}\nsys.stdin.read()\n")
    window = opened(few.root)
    states: list[LearningState] = []
    window.learning.changed.connect(lambda: states.append(window.learning.state))
    window.learning.begin()
    until(lambda: LearningState.SOLVING in states and states[-1] is not LearningState.SOLVING)
    assert states[-1] is LearningState.LOOKING
    assert button_of(window).text() == "Looking at faces: 120 of 3,000"


@pytest.mark.slow
def test_a_window_learns_by_itself(few: FaceSet, opened: Opened) -> None:
    """The real command, its features and all: a person sorts, and the rest is proposed for."""
    pytest.importorskip("sklearn")
    with Dataset.open(few.root) as dataset:
        samples = [one.key for one in dataset.samples.by_key()]
        before = Proposals(dataset.db).newest() or Presort(0, "", {})
        window = opened(few.root, "pages")
        settle(window)
        shown = list(window.view.model._ids)  # type: ignore[attr-defined]
        window.learning.begin()
        dataset.journal.step("Page", [Choice(key, "label", few.truth[key]) for key in samples[:24]])

        def learnt() -> bool:
            newest = Proposals(dataset.db).newest()
            return newest is not None and newest.id > before.id and "classes" in newest.facts

        until(learnt, 240)  # it takes only what others leave of the machine
        told = {one.sample: one.proposals for one in Proposals(dataset.db).each()}
        right = [told[key][0].label == few.truth[key] for key in samples[24:]]
        assert sum(right) > 0.8 * len(right)
        # Nothing that is shown has moved; the next page knows better.
        assert list(window.view.model._ids) == shown  # type: ignore[attr-defined]
        until(lambda: button_of(window).text() == "Has learnt", 180)
        assert window.learning.state is LearningState.RESTING
        window.close()
        assert not window.learning.at_work

"""The window learns from what is sorted, and says in its status bar what it is at."""

from __future__ import annotations

import json

import pytest
from drawn_faces import FaceSet
from person import Opened, Stand, settle, until

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.proposals import Proposals
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
    until(lambda: window.learning.total == 3000)
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
        assert "[transfer]" in button.toolTip()
    assert [text for text in said if "Proposals would improve" in text] == said
    assert len(said) == 1


def test_why_it_cannot_learn_is_said(few: FaceSet, opened: Opened, stand_in: Stand) -> None:
    stand_in(baseline="print('baseline: disk full', file=sys.stderr)\nsys.exit(3)\n")
    window = opened(few.root)
    said: list[str] = []
    window.worker.message.connect(lambda text, bad: said.append(text))
    window.learning.begin()
    until(lambda: window.learning.state is LearningState.FAILED)
    assert said == ["Cannot learn: baseline: disk full"]
    assert button_of(window).toolTip() == "baseline: disk full"


@pytest.mark.slow
def test_a_window_learns_by_itself(few: FaceSet, opened: Opened) -> None:
    """Vectors by the real command, then from each step: the rest is suggested, nothing moves."""
    pytest.importorskip("sklearn")
    with Dataset.open(few.root) as dataset:
        samples = [one.key for one in dataset.samples.by_key()]
        window = opened(few.root, "pages")
        settle(window)
        window.learning.begin()
        until(lambda: button_of(window).text() == "Faces were looked at", 240)
        settle(window)
        shown = list(window.view.model._ids)  # type: ignore[attr-defined]
        before = Proposals(dataset.db).newest()
        assert before is not None
        assert not any(one.proposals for one in Proposals(dataset.db).each())

        dataset.journal.step("Page", [Choice(key, "label", few.truth[key]) for key in samples[:24]])
        until(lambda: any(one.proposals for one in Proposals(dataset.db).each()), 60)
        suggested = {one.sample: one.proposals for one in Proposals(dataset.db).each()}
        right = [suggested[key][0].label == few.truth[key] for key in samples[24:]]
        assert sum(right) > 0.8 * len(right)
        until(lambda: button_of(window).text() == "Up to date", 60)
        assert list(window.view.model._ids) == shown  # type: ignore[attr-defined]
        window.close()
        assert not window.learning.at_work

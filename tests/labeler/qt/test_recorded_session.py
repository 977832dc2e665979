"""A person's run in the window, recorded as events, and replayed without a window."""

import random
from bisect import bisect_right

from person import Person, class_pages, settle, wait_for_enter
from sorting_model import by_id

from gleanset import Dataset
from labeler.sorting import page_state
from labeler.sorting.page_layout import PageKind
from labeler.sorting.page_parts import Decide, File
from labeler.sorting.page_state import (
    Event,
    PageState,
    file_page,
    press,
    revert_step,
    step,
)
from labeler.sorting.session import SortingSession, StepKind

NAMES = {"rei": "ayanami", "hana": "uzaki", "sora": "ao", "mio": "akiyama"}


def record_run(person: Person) -> list[Event]:
    """Name clusters, correct and accept pages, undo and redo; return the events."""
    view = class_pages(person)
    events: list[Event] = []
    view.happened.connect(events.append)
    for _ in range(4):
        if view.page is None:
            break
        if view.page.kind is PageKind.CLUSTERS:
            for members in view.page.cards[:3]:
                person.point(members[0])
                person.type_name(NAMES.get(person.true_class(members[0]), "who"))
                settle(person.window)
        person.click(0)
        person.undo()
        person.undo()
        person.redo()
        wait_for_enter(view)
        person.scroll_through()
        person.enter()
    return events


def labels_of(command: Decide | File) -> dict[int, str]:
    """Return the labels that a command gives, by sample."""
    if isinstance(command, Decide):
        return dict.fromkeys(command.samples, command.target)
    shown = command.shown
    labels = {}
    for number, tile in enumerate(shown.page.tiles):
        name = command.label or tile.prediction.label
        if name and number not in {*shown.lifted, *shown.sent}:
            labels |= dict.fromkeys(tile.rows, name)
    return labels


def test_recorded_run_replays_to_same_labels(clusters_person: Person) -> None:
    person = clusters_person
    first = class_pages(person).state
    events = record_run(person)
    assert len(events) > 50

    # The state when the recording began is the only thing that is not an event.
    state = first
    labels: dict[int, str] = {}
    steps: list[dict[int, str]] = []
    undone: list[dict[int, str]] = []
    states = [first]
    for event in events:
        if event.act is revert_step:
            is_undo = event.arguments[1] is StepKind.UNDO
            source, other = (steps, undone) if is_undo else (undone, steps)
            other.append(labels)
            labels = source.pop()
        state, commands = step(state, event)
        states.append(state)
        for command in commands:
            if isinstance(command, Decide | File) and (new := labels_of(command)):
                steps.append(labels)
                labels = labels | new
    assert state == class_pages(person).state
    with Dataset.open(person.window.worker.root) as dataset:
        saved = by_id(SortingSession(dataset), person.labels)
    assert {n: name for n, name in labels.items() if name[0] != ":"} == saved
    assert saved

    check_enter_at_random_times(events, states)


def check_enter_at_random_times(events: list[Event], states: list[PageState]) -> None:
    """Enter at any moment labels only faces that were on the screen for a while."""
    times = [event.at for event in events]
    rng = random.Random(5)
    filed = 0
    for _ in range(1000):
        moment = rng.uniform(times[0], times[-1])
        before = states[bisect_right(times, moment)]
        _, commands = step(before, Event(press, (file_page,), moment))
        for command in commands:
            if isinstance(command, File):
                filed += 1
                seen = [
                    before.seen_at[tile] for tile in range(len(before.shown.page.tiles))
                ]
                assert moment - max(seen) >= page_state.MIN_LOOK_SECONDS
    assert filed

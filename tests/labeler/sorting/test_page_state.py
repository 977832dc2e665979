"""Properties of class pages for any gestures of a person and any answers of the thread."""

from collections import deque
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from tools_for_tests import examples

from labeler.sorting.page_layout import ClassPage, PageKind, Stack
from labeler.sorting.page_parts import (
    Ask,
    Command,
    Decide,
    File,
    Message,
    Say,
    Shown,
    TakeBack,
)
from labeler.sorting.page_state import (
    Event,
    PageState,
    Result,
    accept_name,
    click_heading,
    drop,
    end_name,
    enter,
    file_page,
    lift,
    look_for_better,
    note_others,
    note_painted,
    note_saved,
    offer_better,
    part,
    point_at,
    press,
    reject,
    revert_step,
    send,
    send_page,
    send_to_others,
    show_earlier,
    show_next,
    show_prepared,
    show_rest,
    split,
    step,
    suggest_again,
    type_name,
    undo,
)
from labeler.sorting.predictions import NO_PREDICTION, ClassPrediction
from labeler.sorting.session import MIN_LOOK_SECONDS, UNDECIDED, StepKind

Act = Callable[..., Result]
PERSON: set[Act] = {
    drop,
    enter,
    file_page,
    lift,
    click_heading,
    accept_name,
    end_name,
    send_page,
    point_at,
    press,
    send,
    type_name,
    undo,
}
"""Events that a person causes; the others are answers, paintings and timers."""

ASKED: set[Act] = {show_prepared, show_rest, revert_step}
"""Answers that only come after a person has asked for another page."""

KEY_ACTIONS = (
    file_page,
    show_next,
    show_earlier,
    reject,
    send_to_others,
    split,
    lift,
    suggest_again,
)
KINDS = [*PageKind]
NAMES = ("Miku", "Rin", "Mio")


def make_page(number: int) -> ClassPage:
    """Return a page of twelve faces, of any kind."""
    kind = KINDS[number % len(KINDS)]
    tiles = []
    for n in range(12):
        label = NAMES[0] if kind is PageKind.CLASS else NAMES[n // 4]
        prediction = NO_PREDICTION
        if kind in (PageKind.CLASS, PageKind.MIXED):
            prediction = ClassPrediction(((label, 0.9),))
        tiles.append(Stack(n, (100 * number + n,), prediction))
    sizes = {PageKind.CLUSTERS: (5, 4, 3), PageKind.MIXED: (4, 4, 4)}.get(kind, ())
    label = NAMES[0] if kind is PageKind.CLASS else None
    return ClassPage(kind, label, tuple(tiles), 0, 12, sizes)


class Window:
    """A window without pixels, and a thread that answers when it is told to."""

    def __init__(self, first: int) -> None:
        self.state = PageState()
        self.now = 0.0
        self.labels: dict[int, str] = {}
        self.answers = deque[tuple[object, ...]]()
        self._pages = first
        self._steps = 0
        self._done: list[tuple[int, dict[int, str]]] = []
        self._undone: list[tuple[int, dict[int, str]]] = []
        self.take(enter)

    def take(self, act: Act, *arguments: object) -> tuple[Command, ...]:
        last = self._done[-1][0] if self._done else 0
        before = self.state
        self.state, commands = step(before, Event(act, arguments, self.now, last))
        check(before, self.state, act, commands, self.now)
        for command in commands:
            self._obey(command)
        return commands

    def _obey(self, command: Command) -> None:
        if isinstance(command, Ask):
            self.answers.append(
                (command.then, *command.arguments, self._answer(command))
            )
        elif isinstance(command, Decide):
            self._save(command.serial, dict.fromkeys(command.samples, command.target))
        elif isinstance(command, File):
            self._save(command.serial, filed_labels(command))
        elif isinstance(command, TakeBack):
            self._take_back(command.kind)

    def _answer(self, question: Ask) -> object:
        if question.then is show_prepared:
            self._pages += 1
            return make_page(self._pages)
        if question.then is show_rest:
            return question.arguments[0]
        if question.then is offer_better:
            return make_page(self._pages + 1)
        *_, tiles = question.arguments
        return tiles[: len(tiles) // 2]  # type: ignore[index]

    def _save(self, serial: int, labels: dict[int, str]) -> None:
        if labels:
            self._steps += 1
            self._done.append((self._steps, dict(self.labels)))
            self._undone.clear()
            self.labels |= labels
        self.answers.append((note_saved, serial, self._steps if labels else 0))

    def _take_back(self, kind: StepKind) -> None:
        is_undo = kind is StepKind.UNDO
        stack, other = (
            (self._done, self._undone) if is_undo else (self._undone, self._done)
        )
        if stack:
            root, labels = stack.pop()
            other.append((root, dict(self.labels)))
            self.labels = labels
            self.answers.append((revert_step, root, kind))

    def answer(self) -> None:
        if self.answers:
            self.take(*self.answers.popleft())  # type: ignore[arg-type]

    def settle(self) -> None:
        """Deliver all answers, and look at the page for a while."""
        while self.answers:
            self.answer()
        self.take(note_painted, range(12))
        self.now += 1


def filed_labels(command: File) -> dict[int, str]:
    """Return the labels that filing a page gives."""
    shown = command.shown
    labels = {}
    for number, tile in enumerate(shown.page.tiles):
        name = command.label or tile.prediction.label
        if name and number not in shown.lifted and number not in shown.sent:
            labels |= dict.fromkeys(tile.rows, name)
    return labels


def check(
    before: PageState,
    after: PageState,
    act: Act,
    commands: tuple[Command, ...],
    now: float,
) -> None:
    """Check what must hold for every event."""
    check_labels(before, act, commands, now)
    check_page(before, after, act)
    check_letters(before, after, act, commands)


def check_labels(
    before: PageState, act: Act, commands: tuple[Command, ...], now: float
) -> None:
    """Nothing is labelled but what a person has pressed a key for, and has seen."""
    labelled: set[int] = set()
    for command in commands:
        if isinstance(command, Decide) and command.target not in UNDECIDED:
            labelled |= {*command.samples}
        elif isinstance(command, File):
            labelled |= filed_labels(command).keys()
    assert not labelled or act in PERSON
    for tile, stack in enumerate(before.shown.page.tiles):
        if labelled & {*stack.rows}:
            assert now - before.seen_at[tile] >= MIN_LOOK_SECONDS
            labelled -= {*stack.rows}
    assert not labelled, "they were not on the screen"


def check_page(before: PageState, after: PageState, act: Act) -> None:
    """A page changes by a person alone, unless it labels nothing and was not touched."""
    if act in PERSON | ASKED or not before.is_ready:
        return
    is_preview = before.shown.page.kind is PageKind.PLAIN and before.is_untouched
    assert after.shown.page is before.shown.page or is_preview
    if act not in (part, note_saved, offer_better):
        assert content(after.shown) == content(before.shown)


def check_letters(
    before: PageState,
    after: PageState,
    act: Act,
    commands: tuple[Command, ...],
) -> None:
    """Letters stay, become a label, are deleted by the person, or are reported."""
    text = before.name.text if before.name is not None else ""
    if act is type_name or not text or after.name == before.name:
        return
    if after.name is not None and after.name.text == text:
        return
    is_used = act is accept_name and any(
        isinstance(command, Decide | File) for command in commands
    )
    assert not (is_used and Say(Message.UNUSED_NAME, text) in commands)
    is_offered = before.name is not None and text == before.name.offered
    assert is_used or is_offered or Say(Message.UNUSED_NAME, text) in commands


TILES = st.integers(0, 11)
LABELS = st.sampled_from((*NAMES, ":later", ":not a face"))


def some(tile: int) -> tuple[int, ...]:
    return (tile, (tile + 1) % 12)


GESTURES: st.SearchStrategy[Callable[[Window], object]] = st.one_of(
    st.builds(
        lambda tile: lambda window: window.take(point_at, tile, tile),
        st.integers(-1, 11),
    ),
    st.builds(
        lambda tile, label: lambda window: window.take(send, some(tile), label),
        TILES,
        LABELS,
    ),
    st.builds(
        lambda key, tile: (
            lambda window: window.take(press, key, some(tile) if key is lift else ())
        ),
        st.sampled_from(KEY_ACTIONS),
        TILES,
    ),
    st.builds(
        lambda tile, onto: (
            lambda window: (
                window.state.shown.cards and window.take(drop, some(tile), onto)
            )
        ),
        TILES,
        TILES,
    ),
    st.builds(
        lambda letter: (
            lambda window: window.take(
                type_name,
                (window.state.name.text if window.state.name else "") + letter,
            )
        ),
        st.sampled_from("abc"),
    ),
    st.builds(lambda label: lambda window: window.take(send_page, label), LABELS),
    st.builds(
        lambda label: (
            lambda window: (
                window.state.name
                and window.take(accept_name, window.state.name.text or label)
            )
        ),
        st.sampled_from(NAMES),
    ),
    st.builds(lambda tile: lambda window: window.take(click_heading, tile), TILES),
    st.builds(
        lambda act: lambda window: window.take(act),
        st.sampled_from((end_name, enter, look_for_better)),
    ),
    st.builds(
        lambda kind: lambda window: window.take(undo, kind, bool(window.answers)),
        st.sampled_from((StepKind.UNDO, StepKind.REDO)),
    ),
)
TIME: st.SearchStrategy[Callable[[Window], object]] = st.one_of(
    st.just(Window.answer),
    st.just(Window.settle),
    st.builds(
        lambda tiles: lambda window: window.take(note_painted, tiles),
        st.frozensets(TILES),
    ),
    st.builds(
        lambda tiles: lambda window: window.take(note_others, tiles),
        st.frozensets(TILES, max_size=2),
    ),
    st.builds(
        lambda seconds: lambda window: setattr(window, "now", window.now + seconds),
        st.sampled_from((0.01, 0.1, 0.4)),
    ),
)


@settings(max_examples=examples(150, 2000), deadline=None)
@given(st.integers(0, 3), st.lists(GESTURES | TIME, max_size=40))
def test_random_events(first: int, actions: list[Callable[[Window], object]]) -> None:
    """`check` holds for any events in any order, and a state is a value."""
    window = Window(first)
    for act in actions:
        act(window)
    assert hash(window.state.point) is not None


def content(shown: Shown) -> tuple[object, ...]:
    return (shown.page, shown.cards, shown.lifted, dict(shown.sent))


@settings(max_examples=examples(150, 2000), deadline=None)
@given(st.integers(0, 3), st.lists(GESTURES, max_size=12))
def test_undo_of_each_step_gives_state_before(
    first: int, gestures: list[Callable[[Window], object]]
) -> None:
    window = Window(first)
    window.settle()
    for act in gestures:
        before = window.state
        labels = dict(window.labels)
        act(window)
        window.settle()
        if len(window.state.changes) == len(before.changes) + 1:
            after = content(window.state.shown)
            window.take(undo, StepKind.UNDO)
            window.settle()
            assert content(window.state.shown) == content(before.shown)
            assert window.labels == labels
            window.take(undo, StepKind.REDO)
            window.settle()
            is_left = window.state.changes[-1].after is None
            assert is_left or content(window.state.shown) == after


def clusters_window() -> Window:
    """Return a window that has shown a clusters page for a while."""
    window = Window(KINDS.index(PageKind.CLUSTERS) - 1)
    window.settle()
    assert window.state.shown.has_clusters
    return window


def test_del_rejects_only_a_lit_cluster() -> None:
    window = clusters_window()
    window.take(point_at, 6, 6)
    assert window.take(press, reject) == (Say(Message.JUST_APPEARED),)
    window.now += MIN_LOOK_SECONDS
    window.take(press, reject)
    assert {*window.labels} == {*window.state.shown.samples(range(5, 9))}


def test_class_key_goes_on_to_next_card() -> None:
    window = clusters_window()
    window.take(point_at, 2)
    window.take(send, window.state.targets(), "Miku", True)
    assert window.state.targets() == tuple(range(5, 9))
    # A second press by mistake labels nothing, nor does the mouse matter that rests.
    again = (send, window.state.targets(), "Miku", True)
    assert window.take(*again) == (Say(Message.JUST_APPEARED),)
    window.take(type_name, "Rin")
    window.take(accept_name, "Rin")
    names = dict.fromkeys(window.state.shown.samples(range(5)), "Miku")
    names |= dict.fromkeys(window.state.shown.samples(range(5, 9)), "Rin")
    assert window.labels == names
    window.now += MIN_LOOK_SECONDS
    window.take(send, window.state.targets(), "Miku", True)
    assert window.state.targets() == ()


def test_part_of_a_split_card_is_named_next() -> None:
    window = clusters_window()
    window.take(point_at, 5, -1, False)
    window.take(part, window.state.shown.page, (5, 6, 7, 8), (6, 7))
    window.now += MIN_LOOK_SECONDS
    for name, tiles in (("Miku", (5, 8)), ("Rin", (6, 7)), ("Mio", (9, 10, 11))):
        assert window.state.targets() == tiles
        window.take(type_name, name)
        window.take(accept_name, name)


def test_name_typed_ahead_takes_one_enter() -> None:
    window = clusters_window()
    window.take(press, show_next)
    for text in ("M", "Mi", "Miku"):
        window.take(type_name, text)
    while not window.state.is_ready or not window.state.shown.has_clusters:
        window.settle()
        if not window.state.shown.has_clusters:
            window.take(press, suggest_again)
            window.take(type_name, "Miku")
    assert window.state.name is not None
    assert window.state.name.text == "Miku"
    window.take(accept_name, "Miku")
    assert {*window.labels} == {*window.state.shown.samples(range(5))}


def test_two_drags_at_one_screen_both_hit() -> None:
    window = clusters_window()
    window.take(drop, (5,), 0)
    window.take(drop, (9,), 0)
    assert {*window.state.shown.members(0)} == {*range(5), 5, 9}
    window.take(point_at, 5, 5)
    window.take(type_name, "Rin")
    window.take(accept_name, "Rin")
    assert {*window.labels} == {*window.state.shown.samples((*range(5), 5, 9))}
    assert window.state.shown.name_of(1) == "", (
        "a card that a face left asks for a name"
    )

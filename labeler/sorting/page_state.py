"""The state of a class page without its window, and the function that changes it.

`step(state, event)` returns the next state and commands. The window draws the state, sends events
and carries out the commands; their answers are events, too. `KEY_RULES` is what each key does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple, Protocol

from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.page_parts import (
    AskBetter,
    AskPage,
    AskRest,
    AskSplit,
    Command,
    Decide,
    File,
    Leave,
    Message,
    Name,
    PageChange,
    Reveal,
    Say,
    SayChange,
    Shown,
    TakeBack,
    Unstack,
    report,
)
from labeler.sorting.session import (
    BY_HAND,
    BY_SWEEP,
    MIN_LOOK_SECONDS,
    UNDECIDED,
    WITH_PAGE,
    Place,
    StepKind,
)

NO_PAGE = Shown(ClassPage(PageKind.PLAIN, None, ()))
Result = tuple["PageState", tuple[Command, ...]]


@dataclass(frozen=True)
class PageState:
    """Everything that a page shows and that a gesture on it depends on.

    The page takes labels if it `is_ready`, not while another one `is_preparing`. `seen_at` is when
    each tile was first painted. `point` is a tile or -1, `card` the card that is pointed at since
    `lit_at`, `under` the tile under a mouse that leads. `now` and `last` are the time and the last
    step at the latest event.
    """

    shown: Shown = NO_PAGE
    is_ready: bool = False
    is_preparing: bool = False
    seen_at: Mapping[int, float] = field(default_factory=dict)
    point: int = -1
    card: int = -1
    lit_at: float = 0.0
    under: int = -1
    name: Name | None = None
    has_better: bool = False
    earlier: tuple[Shown, ...] = ()
    later: tuple[Shown, ...] = ()
    changes: tuple[PageChange, ...] = ()
    undone: tuple[PageChange, ...] = ()
    serial: int = 0
    now: float = 0.0
    last: int = 0

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was done on the page, and no name is begun."""
        return not (self.shown.sent or self.shown.lifted or self.name)

    @property
    def offers_better(self) -> bool:
        """Whether to offer better suggestions for what is left."""
        return self.is_ready and (self.has_better or self.shown.is_corrected)

    def targets(self, selected: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return what a key acts on: the selection, or what is pointed at."""
        tiles = selected or self.shown.pointed(self.point, self.card)
        return tiles if self.is_ready else ()

    def name_targets(self, selected: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return what a typed name is for."""
        tiles = selected or self.shown.named(self.point, self.card)
        return tiles if self.is_ready else ()

    def refuse(self, tiles: Iterable[int]) -> Command | None:
        """Return why tiles cannot be labelled now: a person has hardly seen them."""
        if unseen := [tile for tile in tiles if tile not in self.seen_at]:
            return Reveal(unseen)
        is_new = any(self.now - self.seen_at[tile] < MIN_LOOK_SECONDS for tile in tiles)
        return Say(Message.JUST_APPEARED) if is_new else None

    def say(self, message: Message) -> Result:
        """Return the state with a message."""
        return self, (Say(message),)

    def change(self, after: Shown | None, kind: Message | None = None) -> PageState:
        """Return the state after a change that can be undone."""
        serial = self.serial + 1
        change = PageChange(serial, self.shown, after, self.last, kind)
        shown = after or self.shown
        changes = (*self.changes, change)
        return replace(
            self, serial=serial, shown=shown, changes=changes, undone=(), later=()
        )

    def label(
        self, tiles: Iterable[int], target: str, provenance: str = BY_HAND
    ) -> Result:
        """Send tiles to a class or place."""
        shown = self.shown
        tiles = list(tiles)
        refusal = None if target in UNDECIDED else self.refuse(tiles)
        if not self.is_ready:
            return self.say(Message.PREPARING)
        if not tiles:
            return self.say(Message.POINT_FIRST)
        if refusal is not None:
            return self, (refusal,)

        if len(tiles) > 1 and shown.cards:
            provenance = WITH_PAGE
        after = self.change(shown.send(tiles, target))
        return after, (Decide(after.serial, shown.samples(tiles), target, provenance),)

    def file(self, label: str | None = None) -> Result:
        """Label all open tiles as suggested, or as one class, and leave the page."""
        page = self.shown.page
        if not self.is_ready:
            return self.say(Message.PREPARING)
        has_suggestions = page.kind in SUGGESTIONS
        if not (has_suggestions or label or self.shown.sent or self.shown.others):
            return self.say(Message.POINT_TO_NAME)
        refusal = self.refuse(range(len(page.tiles)))
        if refusal is not None:
            return self, (refusal,)

        state, commands = self.change(None).leave()
        return state, (File(state.serial, self.shown, label), *commands, AskPage())

    def leave(self, *, keeps: bool = True) -> Result:
        """Leave the page: it takes no more labels, and a name that was begun for it ends."""
        name = self.name
        is_here = name is not None and name.has_target
        earlier = (
            (*self.earlier, self.shown) if keeps and self.is_ready else self.earlier
        )
        state = replace(
            self,
            is_ready=False,
            is_preparing=True,
            point=-1,
            card=-1,
            under=-1,
            name=None if is_here else name,
            earlier=earlier,
        )
        commands = (Leave(self.shown),) if self.shown.lifted else ()
        return state, (*commands, *(report(name) if is_here else ()))

    def show(self, shown: Shown, point: int = -1) -> PageState:
        """Show a page, or another state of the one on the screen; point at a tile."""
        state = replace(self, shown=shown, is_ready=True, is_preparing=False)
        is_new = shown.page is not self.shown.page
        if is_new:
            earlier = tuple(old for old in self.earlier if old.page is not shown.page)
            state = replace(
                state, seen_at={}, under=-1, has_better=False, earlier=earlier
            )
        if state.under >= 0:
            point = state.under
        elif point < 0 and state.shown.has_clusters:
            point = state.shown.next_open(0)
        card = shown.cluster_of(point)
        state = replace(state, point=point, card=card, lit_at=self.now)
        if state.name is not None and is_new:
            # What was typed ahead is for the first card, or the page of one class.
            tiles = state.name_targets() if state.card >= 0 else ()
            is_for_page = shown.page.kind is PageKind.CLASS
            state = replace(state, name=Name(state.name.text, tiles, is_for_page))
        return state

    def revert(self, change: PageChange, kind: StepKind) -> Result:
        """Show a page as it was before a change that is undone, or after a redone one."""
        is_undo = kind is StepKind.UNDO
        changes = tuple(other for other in self.changes if other is not change)
        undone = tuple(other for other in self.undone if other is not change)
        if is_undo:
            undone += (change,)
        else:
            changes += (change,)
        state = replace(self, changes=changes, undone=undone)
        arrangement = change.arrangement
        commands = (SayChange(arrangement, kind),) if arrangement is not None else ()
        shown = change.before if is_undo else change.after
        if shown is None:
            state, leaving = state.leave()
            return state, (*commands, *leaving, AskPage())

        if shown.page is not state.shown.page:
            state, leaving = state.leave(keeps=False)
            return state.show(shown), (*commands, *leaving)
        first = min(shown.sent.keys() ^ state.shown.sent.keys(), default=state.point)
        if not is_undo:
            first = shown.next_open(first)
        return state.show(shown, first), commands


class Input(Protocol):
    """What happened: a gesture of a person, or an answer of the session's thread."""

    def apply(self, state: PageState) -> Result:
        """Return the state after it, and what the window has to do."""


class Event(NamedTuple):
    """What happened at a time in seconds, after which step."""

    what: Input
    at: float = 0.0
    last: int = 0


def step(state: PageState, event: Event) -> Result:
    """Return the state after an event, and what the window has to do."""
    return event.what.apply(replace(state, now=event.at, last=event.last))


# -- what a person does


class Pointed(NamedTuple):
    """The mouse or an arrow points at a tile, or at the card of another tile; -1 for neither."""

    tile: int
    on_card: int = -1
    by_mouse: bool = True

    def apply(self, state: PageState) -> Result:
        state = replace(state, under=self.tile if self.by_mouse else -1)
        is_fixed = state.name is not None and state.name.has_target
        if is_fixed or not state.is_ready:
            return state, ()
        is_card = self.tile < 0 <= self.on_card and state.shown.has_clusters
        card = (
            state.shown.card_at(self.on_card)
            if is_card
            else state.shown.cluster_of(self.tile)
        )
        lit_at = state.lit_at if card == state.card else state.now
        return replace(state, point=self.tile, card=card, lit_at=lit_at), ()


class Painted(NamedTuple):
    """Tiles are on the screen."""

    tiles: Iterable[int]

    def apply(self, state: PageState) -> Result:
        seen_at = dict.fromkeys(self.tiles, state.now) | dict(state.seen_at)
        return replace(state, seen_at=seen_at), ()


class Sent(NamedTuple):
    """A class key, a menu or a drop on the class list sends tiles to a class or place."""

    tiles: Iterable[int]
    target: str
    is_sweep: bool = False

    def apply(self, state: PageState) -> Result:
        if not self.is_sweep:
            return state.label(self.tiles, self.target)
        # A sweep takes what it crosses, except what has just appeared.
        tiles = [tile for tile in self.tiles if state.refuse([tile]) is None]
        return state.label(tiles, self.target, BY_SWEEP)


class PageSent(NamedTuple):
    """Shift and a class key: the page is of one class, or the card that is pointed at."""

    label: str

    def apply(self, state: PageState) -> Result:
        if state.card < 0:
            return state.file(self.label)
        return state.label(state.name_targets(), self.label)


class Dropped(NamedTuple):
    """Tiles are dropped on the card of another tile."""

    tiles: tuple[int, ...]
    onto: int

    def apply(self, state: PageState) -> Result:
        shown = state.shown
        card = shown.card_at(self.onto)
        own = shown.cards[self.tiles[0]]
        if name := shown.name_of(card):
            return state.label(self.tiles, name)
        own_name = shown.name_of(own)
        if own_name and {*self.tiles} == {*shown.targets(own)}:
            return state.label(shown.targets(card), own_name)
        if not state.is_ready:
            return state.say(Message.PREPARING)
        moved = shown.move(self.tiles, card)
        state = replace(state, under=-1)
        return take_labels(state, self.tiles, moved, Message.MOVED, self.onto)


def take_labels(
    state: PageState, tiles: Iterable[int], after: Shown, kind: Message, point: int
) -> Result:
    """Arrange tiles otherwise, in one step with taking the labels back that they have."""
    labelled = [
        tile for tile in tiles if tile in state.shown.sent or tile in state.shown.others
    ]
    samples = state.shown.samples(labelled)
    state = state.change(after, None if labelled else kind).show(after, point)
    if labelled:
        return state, (Decide(state.serial, samples, Place.QUEUE.target, BY_HAND),)
    return state, (SayChange(kind, StepKind.STEP),)


class Typed(NamedTuple):
    """A name has this text now; typed on the faces, it is for what is pointed at."""

    text: str
    selected: tuple[int, ...] = ()
    on_faces: bool = True

    def apply(self, state: PageState) -> Result:
        is_for_page = not self.on_faces and state.shown.page.kind is PageKind.CLASS
        tiles = state.name_targets(self.selected) if self.on_faces else ()
        name = state.name or Name("", tiles, is_for_page and state.is_ready)
        return replace(state, name=name._replace(text=self.text)), ()


class HeadingClicked(NamedTuple):
    """The heading above a tile is clicked: its card is named or renamed."""

    tile: int

    def apply(self, state: PageState) -> Result:
        if not (state.shown.cards and state.is_ready):
            return state, ()
        card = state.shown.card_at(self.tile)
        old = state.shown.names.get(card, "")
        name = Name(old, state.shown.targets(card), offered=old)
        return replace(state, point=-1, card=card, name=name), report(state.name)


class Named(NamedTuple):
    """Enter in the field: the class that the name means."""

    label: str

    def apply(self, state: PageState) -> Result:
        name = state.name or Name()
        if name.is_for_page or not state.is_ready:
            after, commands = replace(state, name=None).file(self.label)
            return after if after.serial > state.serial else state, commands
        tiles = name.tiles or state.name_targets()
        if not tiles:
            return state.say(Message.POINT_TO_NAME)

        after, commands = state.label(tiles, self.label)
        if after is state:
            return state, commands
        # The next name is for the next card, unless the mouse is on one without a name.
        under = -1 if after.under in after.shown.sent else after.under
        after = replace(after, name=None, under=under)
        return after.show(after.shown, after.shown.next_open(max(tiles))), commands


class NameEnded(NamedTuple):
    """Esc, or a click elsewhere, ends the input of a name."""

    def apply(self, state: PageState) -> Result:
        return replace(state, name=None), report(state.name)


class UndoAsked(NamedTuple):
    """Ctrl+Z or Ctrl+Y, while a step is being saved or not."""

    kind: StepKind
    is_saving: bool = False

    def apply(self, state: PageState) -> Result:
        change = find_arrangement(state, self.kind)
        if change is None or self.is_saving:
            return state, (TakeBack(self.kind),)
        return state.revert(change, self.kind)


def find_arrangement(state: PageState, kind: StepKind) -> PageChange | None:
    """Return the arrangement that an undo or redo reverts; None if it is a step."""
    stack = state.changes if kind is StepKind.UNDO else state.undone
    if not stack or stack[-1].arrangement is None:
        return None
    change = stack[-1]
    # Another view may have made a step since.
    is_newest = state.last in {change.last, *(other.root for other in state.changes)}
    is_here = change.before.page is state.shown.page and state.is_ready
    return change if is_newest and is_here else None


class Entered(NamedTuple):
    """The view is shown: a page, or what is left of the one before."""

    def apply(self, state: PageState) -> Result:
        if state.is_preparing:
            return state, ()
        if not state.is_ready:
            return replace(state, is_preparing=True), (AskPage(),)
        kept = None if state.is_untouched else state.shown.samples(state.shown.sent)
        return state, (AskRest(state.shown.page, kept),)


# -- what the session's thread answers


class PagePrepared(NamedTuple):
    """The next page is prepared; None if no face waits."""

    page: ClassPage | None

    def apply(self, state: PageState) -> Result:
        if not state.is_preparing:
            return state, ()  # an undo has shown another page meanwhile
        if self.page is None:
            return replace(state, shown=NO_PAGE, is_preparing=False), ()
        is_same = self.page == state.shown.page
        commands = (Say(Message.NO_OTHER_PAGE),) if is_same else ()
        return state.show(Shown.begin(self.page)), commands


class BetterCame(NamedTuple):
    """A better page than the one on the screen is prepared.

    Faces that are not compared yet are replaced, as long as nothing was done with them, because the
    page labels none of them. Any other page stays until the person asks for the better one.
    """

    before: ClassPage
    page: ClassPage

    def apply(self, state: PageState) -> Result:
        if state.shown.page is not self.before or not state.is_ready:
            return state, ()
        if self.before.kind is PageKind.PLAIN and state.is_untouched:
            return state.show(Shown.begin(self.page)), ()
        return replace(state, has_better=True), ()


class Refreshed(NamedTuple):
    """What is left of a page; None if the next one is due."""

    before: ClassPage
    page: ClassPage | None

    def apply(self, state: PageState) -> Result:
        if state.shown.page is not self.before or self.page == self.before:
            return state, ()
        if self.page is None:
            left, commands = state.leave(keeps=False)
            return left, (*commands, AskPage())
        return state.show(state.shown.restricted(self.page)), ()


class Saved(NamedTuple):
    """A change is saved as a step; 0 if it was refused."""

    serial: int
    root: int

    def apply(self, state: PageState) -> Result:
        shown = state.shown
        changes = []
        for change in state.changes:
            if change.serial != self.serial:
                changes.append(change)
            elif self.root:
                changes.append(change._replace(root=self.root))
            elif change.after is shown:
                shown = change.before
        return replace(state, shown=shown, changes=tuple(changes)), ()


class Reverted(NamedTuple):
    """A step of this window was undone or redone."""

    root: int
    kind: StepKind

    def apply(self, state: PageState) -> Result:
        stack = state.changes if self.kind is StepKind.UNDO else state.undone
        change = next((change for change in stack if change.root == self.root), None)
        return (state, ()) if change is None else state.revert(change, self.kind)


class Parted(NamedTuple):
    """The tiles that a split takes from a card."""

    page: ClassPage
    tiles: tuple[int, ...]

    def apply(self, state: PageState) -> Result:
        if state.shown.page is not self.page or not self.tiles:
            return state.say(Message.POINT_AT_CLUSTER)
        parted = state.shown.move(self.tiles, max(state.shown.cards) + 1)
        return take_labels(state, (), parted, Message.PARTED, state.point)


class OthersDecided(NamedTuple):
    """The tiles that were decided elsewhere."""

    tiles: frozenset[int]

    def apply(self, state: PageState) -> Result:
        return replace(state, shown=replace(state.shown, others=self.tiles)), ()


class Ticked(NamedTuple):
    """Some time has passed: there may be a better page."""

    def apply(self, state: PageState) -> Result:
        asks_better = state.is_ready and not state.has_better
        return state, (AskBetter(state.shown.page),) if asks_better else ()


# -- keys


class PageKey(StrEnum):
    """Keys with a meaning of their own on a page; LIFT is a click or Ctrl+Space."""

    ENTER = "enter"
    NEXT_PAGE = "next page"
    PREVIOUS_PAGE = "previous page"
    REJECT = "reject"
    OTHER = "other"
    SPLIT = "split"
    LIFT = "lift"
    SUGGEST_AGAIN = "suggest again"


class Pressed(NamedTuple):
    """A key with a meaning of its own, or a click; with the selected or the clicked tiles."""

    key: PageKey
    tiles: tuple[int, ...] = ()

    def apply(self, state: PageState) -> Result:
        if not state.is_ready:
            message = Message.PREPARING if state.is_preparing else Message.NO_OTHER_PAGE
            return state.say(message)
        return ACTIONS[self.key](state, self.tiles)


Action = Callable[[PageState, tuple[int, ...]], Result]


def _file(state: PageState, tiles: tuple[int, ...]) -> Result:
    return state.file()


def _show_next(state: PageState, tiles: tuple[int, ...]) -> Result:
    left, commands = state.leave()
    if not state.later:
        return left, (*commands, AskPage(state.shown.page))
    *later, shown = state.later
    return replace(left, later=tuple(later)).show(shown), commands


def _show_earlier(state: PageState, tiles: tuple[int, ...]) -> Result:
    if not state.earlier:
        return state.say(Message.NO_EARLIER_PAGE)
    *earlier, shown = state.earlier
    later = (*state.later, state.shown)
    left, commands = state.leave(keeps=False)
    return replace(left, earlier=tuple(earlier), later=later).show(shown), commands


def _suggest_again(state: PageState, tiles: tuple[int, ...]) -> Result:
    left, commands = state.leave(keeps=False)
    return left, (*commands, Say(Message.SUGGESTED_AGAIN), AskPage())


def _send_to(place: Place) -> Action:
    def send(state: PageState, selected: tuple[int, ...]) -> Result:
        tiles = state.targets(selected)
        # A whole card is only sent once it has been lit as the target, and has said so.
        if (
            len(tiles) > 1
            and not selected
            and state.now - state.lit_at < MIN_LOOK_SECONDS
        ):
            return state.say(Message.JUST_APPEARED)
        return state.label(tiles, place.target)

    return send


def _split(state: PageState, tiles: tuple[int, ...]) -> Result:
    shown = state.shown
    tiles = tiles or state.targets()
    if shown.has_clusters:
        card = shown.cards[tiles[0]] if tiles else -1
        members = shown.open(shown.members(card))
        if len(members) < 2:
            return state.say(Message.POINT_AT_CLUSTER)
        return state, (AskSplit(shown.page, members),)

    samples = shown.samples(tiles)
    if len(samples) <= len(tiles):
        return state.say(Message.POINT_AT_STACK)
    left, commands = state.leave(keeps=False)
    return left, (*commands, Unstack(samples), AskPage())


def _lift(state: PageState, tiles: tuple[int, ...]) -> Result:
    lifted = frozenset(tiles) - state.shown.lifted
    after = state.shown.lift(tiles, lifted)
    return take_labels(state, tiles, after, Message.EXCLUDED, state.point)


class KeyRule(NamedTuple):
    """What keys do on a page: in the list of F1, and in the hint on pages of some kinds."""

    keys: str
    meaning: str = ""
    hint: str = ""
    kinds: tuple[PageKind, ...] = ()
    actions: Mapping[PageKey, Action] = {}


CLUSTERS = (PageKind.CLUSTERS,)
SUGGESTIONS = (PageKind.CLASS, PageKind.MIXED)
ALL = tuple(PageKind)
KEY_RULES = (
    KeyRule(
        "Enter",
        "Accept the page: label all unmarked faces as suggested",
        "all correct",
        SUGGESTIONS,
        {PageKey.ENTER: _file},
    ),
    KeyRule("Shift + 1", "Label the whole page with that class"),
    KeyRule(
        "A – Z",
        "Type a name for the face or cluster. Enter accepts, Tab completes",
        "type a name",
        ALL,
    ),
    KeyRule("1–9", hint="its class", kinds=ALL),
    KeyRule(
        "Ctrl + Enter",
        "Clusters page: accept the name and the page",
        "name, then next page",
        CLUSTERS,
    ),
    KeyRule(
        "Click",
        hint="exclude a face",
        kinds=(*SUGGESTIONS, *CLUSTERS),
        actions={PageKey.LIFT: _lift},
    ),
    KeyRule(
        "Del",
        "Not a face; on a lit cluster, all of its faces",
        actions={PageKey.REJECT: _send_to(Place.REJECT)},
    ),
    KeyRule(
        ".",
        "Unlisted person",
        "unlisted person",
        CLUSTERS,
        {PageKey.OTHER: _send_to(Place.OTHER)},
    ),
    KeyRule(
        "−",
        "Split a cluster, unstack similar faces",
        "split",
        CLUSTERS,
        {PageKey.SPLIT: _split},
    ),
    KeyRule("Ctrl + arrows", "Next or previous card"),
    KeyRule(
        "Ctrl + R",
        "Suggest again what is left",
        actions={PageKey.SUGGEST_AGAIN: _suggest_again},
    ),
    KeyRule(
        "PgDn, PgUp",
        "Next page, previous page",
        actions={PageKey.NEXT_PAGE: _show_next, PageKey.PREVIOUS_PAGE: _show_earlier},
    ),
    KeyRule("Ctrl + Z", hint="undo", kinds=(*SUGGESTIONS, PageKind.PLAIN)),
    KeyRule("F1", hint="all keys", kinds=ALL),
)
ACTIONS = {key: action for rule in KEY_RULES for key, action in rule.actions.items()}

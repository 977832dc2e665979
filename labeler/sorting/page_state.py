"""The state of a class page without its window, and the function that changes it.

`step(state, event)` returns the next state and commands. The window draws the state, sends events
and carries out the commands; their answers are events, too. A key of a page is a function such as
`split`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.page_parts import (
    NO_PAGE,
    Ask,
    Command,
    Decide,
    File,
    Message,
    Name,
    PageChange,
    Reveal,
    Say,
    SayChange,
    Shown,
    TakeBack,
    report,
)
from labeler.sorting.pages import Pages
from labeler.sorting.session import (
    BY_HAND,
    BY_SWEEP,
    MIN_LOOK_SECONDS,
    UNDECIDED,
    WITH_PAGE,
    Place,
    StepKind,
)

SUGGESTIONS = (PageKind.CLASS, PageKind.MIXED)
"""Pages of which Enter labels all open tiles as suggested."""

Result = tuple["PageState", tuple[Command, ...]]
Act = Callable[..., Result]
"""What changes the state of a page: a function of this module."""


@dataclass(frozen=True)
class PageState:
    """Everything that a page shows and that a gesture on it depends on.

    The page takes labels if it `is_ready`, not while another one `is_preparing`. `seen_at` is when
    each tile was first painted. `point` is a tile or -1, `card` the card that is pointed at since
    `lit_at`. `under` is the tile under the mouse, -1 if a key pointed last. `now` and `last` are
    the time and the last step at the latest event.

    A better page is being looked for if it `is_comparing`, and offered if it `has_better`.
    `earlier` and `later` pages can be shown again, the last one first. `changes` can be undone and
    `undone` ones redone, the last one first; `serial` is the number of the newest change.
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
    is_comparing: bool = False
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
    def is_just_lit(self) -> bool:
        """Whether a person has hardly seen which card a key acts on."""
        return self.now - self.lit_at < MIN_LOOK_SECONDS

    @property
    def offers_better(self) -> bool:
        """Whether to offer better suggestions for what is left."""
        return self.is_ready and (self.has_better or self.shown.is_corrected)

    def targets(self, selected: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return what a key acts on: the selection, or what is pointed at."""
        tiles = selected or self.shown.find_key_targets(self.point, self.card)
        return tiles if self.is_ready else ()

    def name_targets(self, selected: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Return what a typed name is for."""
        tiles = selected or self.shown.find_name_targets(self.point, self.card)
        return tiles if self.is_ready else ()

    def refuse(self, tiles: Iterable[int]) -> Reveal | Say | None:
        """Return why tiles cannot be labelled yet; None if all were seen for long enough.

        Tiles that were never painted are scrolled to.
        """
        if unseen := [tile for tile in tiles if tile not in self.seen_at]:
            return Reveal(unseen)
        is_new = any(self.now - self.seen_at[tile] < MIN_LOOK_SECONDS for tile in tiles)
        return Say(Message.JUST_APPEARED) if is_new else None

    def say(self, message: Message) -> Result:
        """Return the state with a message."""
        return self, (Say(message),)

    def change(self, after: Shown | None, kind: Message | None = None) -> PageState:
        """Return the state after a change that can be undone.

        `after` is None if the page is left. `kind` is what an arrangement did; None for a change
        that the journal records as a step.
        """
        serial = self.serial + 1
        change = PageChange(
            serial,
            self.shown,
            after,
            self.last,
            kind,
        )
        shown = after or self.shown
        return replace(
            self,
            serial=serial,
            shown=shown,
            changes=(*self.changes, change),
            undone=(),
            later=(),
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

        # Several tiles of a card get their label together, which the journal records.
        if len(tiles) > 1 and shown.cards:
            provenance = WITH_PAGE
        after = self.change(shown.send(tiles, target))
        # After a whole card, the next key or name is for the next card.
        is_card = shown.has_clusters and {*tiles} == {
            *shown.targets(shown.cards[tiles[0]])
        }
        if is_card:
            after = after.go_on(tiles)
        return after, (Decide(after.serial, shown.samples(tiles), target, provenance),)

    def go_on(self, tiles: Iterable[int]) -> PageState:
        """Point at the next open tile after labelled ones.

        If the mouse has gone on to a tile that is not decided, that one stays the target.
        """
        state = replace(
            self,
            under=-1 if self.under in self.shown.sent else self.under,
        )
        return state.show(
            state.shown,
            state.shown.next_open(min(tiles)),
        )

    def file(self, label: str | None = None) -> Result:
        """Label all open tiles as suggested, or as one class, and leave the page."""
        page = self.shown.page
        if not self.is_ready:
            return self.say(Message.PREPARING)
        # Without suggestions or a label there is nothing to give: such a page is only left once
        # something on it is decided.
        if not (
            page.kind in SUGGESTIONS or label or self.shown.sent or self.shown.others
        ):
            return self.say(Message.POINT_TO_NAME)

        refusal = self.refuse(range(len(page.tiles)))
        if refusal is not None:
            return self, (refusal,)

        state, commands = self.change(None).turn(keeps=True)
        return state, (File(state.serial, self.shown, label), *commands)

    def leave(self, *, keeps: bool = True) -> Result:
        """Leave the page: it takes no more labels, and a name that was begun for it ends.

        With `keeps` the page can be shown again as an earlier one. Lifted tiles are not suggested
        for their class again. A name that was typed ahead, for no tile yet, is kept.
        """
        name = self.name
        # Whether it is for tiles of this page, or for the page.
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

        excluded = [self.shown.page.tiles[tile] for tile in self.shown.lifted]
        commands = (Ask(Pages.exclude, (excluded,), ignore),) if excluded else ()
        return state, (*commands, *(report(name) if is_here else ()))

    def turn(
        self,
        *,
        keeps: bool = False,
        skipped: ClassPage | None = None,
        unstacked: Iterable[int] = (),
    ) -> Result:
        """Leave the page, and ask for the next one.

        The samples of a `skipped` page are shown again after all others; `unstacked` samples are
        shown one by one from now on, not in stacks.
        """
        state, commands = self.leave(keeps=keeps)
        return state, (*commands, Ask(Pages.next, (skipped, unstacked), show_prepared))

    def show(self, shown: Shown, point: int = -1) -> PageState:
        """Show a page, or another state of the one on the screen; point at a tile."""
        state = replace(self, shown=shown, is_ready=True, is_preparing=False)
        is_new = shown.page is not self.shown.page
        if is_new:
            earlier = tuple(old for old in self.earlier if old.page is not shown.page)
            state = replace(
                state, seen_at={}, under=-1, has_better=False, earlier=earlier
            )

        # The tile under the mouse comes first; without any tile the first open card is pointed at.
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
            state = replace(
                state,
                name=Name(state.name.text, tiles, is_for_page),
            )

        return state

    def arrange(
        self, after: Shown, kind: Message, point: int, tiles: Iterable[int] = ()
    ) -> Result:
        """Arrange a page otherwise, in one step with taking labels of tiles back."""
        labelled = [
            tile
            for tile in tiles
            if tile in self.shown.sent or tile in self.shown.others
        ]

        samples = self.shown.samples(labelled)
        state = self.change(after, None if labelled else kind).show(after, point)
        if labelled:
            return state, (Decide(state.serial, samples, Place.QUEUE.target, BY_HAND),)
        return state, (SayChange(kind, StepKind.STEP),)

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
        if shown is None:  # a redone change that had left the page
            state, leaving = state.turn(keeps=True)
            return state, (*commands, *leaving)

        if shown.page is not state.shown.page:
            state, leaving = state.leave(keeps=False)
            return state.show(shown), (*commands, *leaving)
        # Point at the first tile whose label was taken back, or after one that is labelled again.
        first = min(shown.sent.keys() ^ state.shown.sent.keys(), default=state.point)
        if not is_undo:
            first = shown.next_open(first)
        return state.show(shown, first), commands


class Event(NamedTuple):
    """What happened at a time in seconds, after which step: a function of this module.

    Its arguments follow the state.
    """

    act: Act
    arguments: tuple[object, ...] = ()
    at: float = 0.0
    last: int = 0


def step(state: PageState, event: Event) -> Result:
    """Return the state after an event, and what the window has to do."""
    return event.act(
        replace(state, now=event.at, last=event.last),
        *event.arguments,
    )


# -- what a person does


def point_at(
    state: PageState, tile: int, on_card: int = -1, by_mouse: bool = True
) -> Result:
    """Point at a tile, or at the card of another one; -1 for neither."""
    state = replace(state, under=tile if by_mouse else -1)
    # A name that is being typed keeps its tiles, wherever the mouse goes.
    is_fixed = state.name is not None and state.name.has_target
    if is_fixed or not state.is_ready:
        return state, ()
    is_card = tile < 0 <= on_card and state.shown.has_clusters
    card = state.shown.card_at(on_card) if is_card else state.shown.cluster_of(tile)
    lit_at = state.lit_at if card == state.card else state.now
    return replace(state, point=tile, card=card, lit_at=lit_at), ()


def note_painted(state: PageState, tiles: Iterable[int]) -> Result:
    """Note that tiles are on the screen."""
    # The earlier time wins for tiles that were painted before.
    seen_at = dict.fromkeys(tiles, state.now) | dict(state.seen_at)
    return replace(state, seen_at=seen_at), ()


def send(
    state: PageState, tiles: Iterable[int], target: str, is_sweep: bool = False
) -> Result:
    """Send tiles to a class or place: by a class key, a menu or a drop on the class list."""
    # A key that is pressed twice by mistake must not label the next card, too. The mouse points at
    # no tile when keys have lit a card.
    is_lit_by_key = state.under < 0 and state.card >= 0
    if is_lit_by_key and state.is_just_lit:
        return state.say(Message.JUST_APPEARED)
    if not is_sweep:
        return state.label(tiles, target)
    # A sweep takes what it crosses, except what has just appeared.
    tiles = [tile for tile in tiles if state.refuse([tile]) is None]
    return state.label(tiles, target, BY_SWEEP)


def send_page(state: PageState, label: str) -> Result:
    """Label the page, or the card that is pointed at: by Shift and a class key."""
    if state.card < 0:
        return state.file(label)
    return state.label(state.shown.targets(state.card), label)


def drop(state: PageState, tiles: tuple[int, ...], onto: int) -> Result:
    """Drop tiles on the card of another tile."""
    shown = state.shown
    card = shown.card_at(onto)
    own = shown.cards[tiles[0]]
    if name := shown.name_of(card):
        return state.label(tiles, name)

    # A whole card with a name gives its name to the other one.
    own_name = shown.name_of(own)
    if own_name and {*tiles} == {*shown.targets(own)}:
        return state.label(shown.targets(card), own_name)
    if not state.is_ready:
        return state.say(Message.PREPARING)

    moved = shown.move(tiles, card)
    # No tile was pointed at during the drag: point where it ended, not where it began.
    state = replace(state, under=-1)
    return state.arrange(moved, Message.MOVED, onto, tiles)


def type_name(
    state: PageState, text: str, selected: tuple[int, ...] = (), on_faces: bool = True
) -> Result:
    """Set the text of a name; a name that is begun here gets its target, which it keeps.

    Typed on the faces, it is for the selection or what is pointed at. Typed into the field above
    them, it is for the whole page if that is of one class, otherwise for no tile yet.
    """
    is_for_page = not on_faces and state.shown.page.kind is PageKind.CLASS
    tiles = state.name_targets(selected) if on_faces else ()
    name = state.name or Name("", tiles, is_for_page and state.is_ready)
    return replace(state, name=name._replace(text=text)), ()


def click_heading(state: PageState, tile: int) -> Result:
    """Begin to name or rename the card whose heading is above a tile."""
    if not (state.shown.cards and state.is_ready):
        return state, ()
    card = state.shown.card_at(tile)
    old = state.shown.names.get(card, "")
    name = Name(old, state.shown.targets(card), offered=old)
    return replace(state, point=-1, card=card, name=name), report(state.name)


def accept_name(state: PageState, label: str) -> Result:
    """Label what the typed name is for with the class that it means."""
    name = state.name or Name()
    if name.is_for_page or not state.is_ready:
        after, commands = replace(state, name=None).file(label)
        # The name stays as long as the page could not be labelled.
        return after if after.serial > state.serial else state, commands
    tiles = name.tiles or state.name_targets()
    if not tiles:
        return state.say(Message.POINT_TO_NAME)

    after, commands = state.label(tiles, label)
    # `label` returns the same state if it refuses.
    if after is state:
        return state, commands
    return replace(after, name=None).go_on(tiles), commands


def end_name(state: PageState) -> Result:
    """End the input of a name, by Esc or a click elsewhere."""
    return replace(state, name=None), report(state.name)


def undo(state: PageState, kind: StepKind, is_saving: bool = False) -> Result:
    """Undo or redo: an arrangement here, a step in the session.

    While a step `is_saving`, it is newer than any arrangement and goes first.
    """
    change = find_arrangement(state, kind)
    if change is None or is_saving:
        return state, (TakeBack(kind),)
    return state.revert(change, kind)


def find_arrangement(state: PageState, kind: StepKind) -> PageChange | None:
    """Return the arrangement that an undo or redo reverts; None if it is a step."""
    stack = state.changes if kind is StepKind.UNDO else state.undone
    if not stack or stack[-1].arrangement is None:
        return None
    change = stack[-1]
    # It is not the newest change if another view has made a step since.
    is_newest = state.last in {change.last, *(other.root for other in state.changes)}
    is_here = change.before.page is state.shown.page and state.is_ready
    return change if is_newest and is_here else None


def enter(state: PageState) -> Result:
    """Show a page when the view is entered, or what is left of the one before."""
    if state.is_preparing:
        return state, ()
    if not state.is_ready:
        return state.turn()
    # None lets `Pages.refresh` drop a page on which nothing was done, for new samples.
    kept = None if state.is_untouched else state.shown.samples(state.shown.sent)
    return state, (Ask(Pages.refresh, (state.shown.page, kept), show_rest),)


# -- what the session's thread answers
#
# Each gets all arguments of its question (`Ask.arguments`), even those it ignores, then the answer.


def ignore(state: PageState, *answer: object) -> Result:
    """Ignore an answer."""
    return state, ()


def show_prepared(
    state: PageState,
    skipped: ClassPage | None,
    unstacked: Iterable[int],
    page: ClassPage | None,
) -> Result:
    """Show the `page` that was prepared; None if no face waits.

    `skipped` and `unstacked` are the arguments of the question to `Pages.next`, not needed here.
    """
    if not state.is_preparing:
        return state, ()  # an undo has shown another page meanwhile
    if page is None:
        return replace(state, shown=NO_PAGE, is_preparing=False), ()
    # After a skip the same page comes back if there is no other one.
    commands = (Say(Message.NO_OTHER_PAGE),) if page == state.shown.page else ()
    return state.show(Shown.begin(page)), commands


def show_rest(
    state: PageState, page: ClassPage, kept: list[int] | None, rest: ClassPage | None
) -> Result:
    """Show the `rest` that is left of a page; None asks for the next page.

    `kept` is an argument of the question to `Pages.refresh`, not needed here.
    """
    if state.shown.page is not page or rest == page:
        return state, ()
    if rest is None:
        return state.turn()
    return state.show(state.shown.restrict(rest)), ()


def offer_better(state: PageState, page: ClassPage, better: ClassPage | None) -> Result:
    """Offer a better page than the one on the screen.

    Faces that are not compared yet are replaced, as long as nothing was done with them, because the
    page labels none of them. Any other page stays until the person asks for the better one.
    """
    state = replace(state, is_comparing=False)
    is_here = state.shown.page is page and state.is_ready
    if better is None or not is_here:
        return state, ()
    if page.kind is PageKind.PLAIN and state.is_untouched:
        return state.show(Shown.begin(better)), ()
    return replace(state, has_better=True), ()


def part(
    state: PageState, page: ClassPage, tiles: tuple[int, ...], moved: tuple[int, ...]
) -> Result:
    """Move the `moved` tiles of a card to a new card; none if the card could not be split.

    `tiles`, all tiles of the card, is an argument of the question to `Pages.part`.
    """
    if state.shown.page is not page or not moved:
        return state.say(Message.POINT_AT_CLUSTER)
    # A new card has the next free number.
    after = state.shown.move(moved, max(state.shown.cards) + 1)
    return state.arrange(after, Message.PARTED, state.point)


def note_saved(state: PageState, serial: int, root: int) -> Result:
    """Note that a change is saved as the step `root`; 0 if it was refused or changed nothing.

    A refused change is dropped, and reverted if the page still is as it left it.
    """
    shown = state.shown
    changes = []
    for change in state.changes:
        if change.serial != serial:
            changes.append(change)
        elif root:
            changes.append(change._replace(root=root))
        elif change.after is shown:
            shown = change.before

    return replace(state, shown=shown, changes=tuple(changes)), ()


def revert_step(state: PageState, root: int, kind: StepKind) -> Result:
    """Show that a step of this window was undone or redone."""
    stack = state.changes if kind is StepKind.UNDO else state.undone
    change = next((change for change in stack if change.root == root), None)
    return (state, ()) if change is None else state.revert(change, kind)


def note_failure(state: PageState, then: Act) -> Result:
    """Note that a question failed; `then` is the function that was to get its answer.

    If the next page could not be prepared, the page that was left takes labels again.
    """
    page = state.shown.page
    # As if the page that was left had been prepared; there is none before the first one.
    if then is show_prepared:
        return show_prepared(
            state,
            None,
            [],
            page if page.tiles else None,
        )
    return replace(state, is_comparing=False), ()


def note_others(state: PageState, tiles: frozenset[int]) -> Result:
    """Note which tiles were decided elsewhere."""
    return replace(state, shown=replace(state.shown, others=tiles)), ()


def look_for_better(state: PageState) -> Result:
    """Ask for a better page from time to time."""
    if state.is_comparing or state.has_better or not state.is_ready:
        return state, ()
    command = Ask(Pages.recompose, (state.shown.page,), offer_better)
    return replace(state, is_comparing=True), (command,)


# -- keys
#
# Each action gets the selected or clicked tiles; those of a whole page ignore them.


KeyAction = Callable[[PageState, tuple[int, ...]], Result]
"""What a key or a click does, with the selected or clicked tiles; some keys need none."""


def press(state: PageState, act: KeyAction, tiles: tuple[int, ...] = ()) -> Result:
    """Press a key with a meaning of its own, or click."""
    if not state.is_ready:
        message = Message.PREPARING if state.is_preparing else Message.NO_OTHER_PAGE
        return state.say(message)
    return act(state, tiles)


def file_page(state: PageState, tiles: tuple[int, ...]) -> Result:
    """Label all open tiles as suggested, and leave the page; the selected `tiles` do not matter."""
    return state.file()


def show_next(state: PageState, tiles: tuple[int, ...]) -> Result:
    """Show the page that follows, or skip this one; the selected `tiles` do not matter."""
    if not state.later:
        return state.turn(keeps=True, skipped=state.shown.page)
    left, commands = state.leave()
    # `leave` has added this page to the earlier ones.
    *later, shown = state.later
    return replace(left, later=tuple(later)).show(shown), commands


def show_earlier(state: PageState, tiles: tuple[int, ...]) -> Result:
    """Show the page that was shown before; the selected `tiles` do not matter."""
    if not state.earlier:
        return state.say(Message.NO_EARLIER_PAGE)
    *earlier, shown = state.earlier
    later = (*state.later, state.shown)
    left, commands = state.leave(keeps=False)
    return replace(left, earlier=tuple(earlier), later=later).show(shown), commands


def suggest_again(state: PageState, tiles: tuple[int, ...]) -> Result:
    """Leave the page for better suggestions of its rest; the selected `tiles` do not matter."""
    left, commands = state.turn()
    return left, (*commands, Say(Message.SUGGESTED_AGAIN))


def reject(
    state: PageState, selected: tuple[int, ...], place: Place = Place.REJECT
) -> Result:
    """Send tiles to a place for what is not collected."""
    tiles = state.targets(selected)
    # A whole card is only sent once it has been lit as the target, and has said so.
    if len(tiles) > 1 and not selected and state.is_just_lit:
        return state.say(Message.JUST_APPEARED)
    return state.label(tiles, place.target)


def send_to_others(state: PageState, tiles: tuple[int, ...]) -> Result:
    """Mark tiles as people that are not collected."""
    return reject(state, tiles, Place.OTHER)


def split(state: PageState, tiles: tuple[int, ...]) -> Result:
    """Split the card of the tiles; on a page of one class, show stacks one by one."""
    shown = state.shown
    tiles = tiles or state.targets()
    if shown.has_clusters:
        card = shown.cards[tiles[0]] if tiles else -1
        members = shown.open(shown.members(card))
        if len(members) < 2:
            return state.say(Message.POINT_AT_CLUSTER)
        return state, (Ask(Pages.part, (shown.page, members), part),)

    samples = shown.samples(tiles)
    # As many samples as tiles: none of the tiles is a stack.
    if len(samples) <= len(tiles):
        return state.say(Message.POINT_AT_STACK)
    return state.turn(unstacked=samples)


def lift(state: PageState, tiles: tuple[int, ...]) -> Result:
    """Exclude tiles from the page; include those again that are excluded already."""
    lifted = frozenset(tiles) - state.shown.lifted
    return state.arrange(
        state.shown.lift(tiles, lifted), Message.EXCLUDED, state.point, tiles
    )

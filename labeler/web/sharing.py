"""Sorting of several people in one dataset. All is for the thread that opened it.

Each person has a session and a page; no face is on the pages of two people.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from gleanset import Dataset
from gleanset.db.classes import normalize_class_name
from gleanset.db.journal import SECOND, Choice
from gleanset.db.opinions import PersonalTiles
from gleanset.db.regions import SampleRegion
from gleanset.db.sorting import SampleTile, SampleTiles
from gleanset.errors import UsageError
from gleanset.operations import Operation
from gleanset.web.problems import RefusedRequest
from labeler.sorting.descriptor_queue import count_unmeasured
from labeler.sorting.name_matching import (
    KnownName,
    find_similar_name,
    list_known_names,
    match_exact_name,
)
from labeler.sorting.page_layout import MAX_PAGE_TILES, ClassPage
from labeler.sorting.page_parts import NO_PAGE, Shown
from labeler.sorting.pages import Pages
from labeler.sorting.session import (
    BY_HAND,
    NO_STEP,
    WITH_PAGE,
    Place,
    SortingSession,
    StepKind,
    StepResult,
)
from labeler.web.access import PersonName, check_owner
from labeler.web.api_models import (
    ClassState,
    LabelCard,
    LabelPage,
    News,
    SentStep,
    State,
    Tile,
    TileImage,
)
from labeler.web.checking import NO_CHECK, CheckPage, CopiesCheck, LabelsCheck

LEASE_SECONDS = 600.0
"""A person who does nothing for so long loses the page once somebody else is there."""

MAX_NEWS = 20
MAX_REMEMBERED_STEPS = 300
"""Steps of a person whose request and page are in memory.

The database has the requests of older steps, and their undo shows no other page.
"""

DONE = "done"
"""The kind of a page without faces: all that wait are on other pages."""

Note = Callable[[Pages], object]
"""What happened to a page, for the pages that follow."""


@dataclass
class CurrentPage:
    """A page in the hands of one person, who decided its `own` tiles."""

    shown: Shown
    own: set[int] = field(default_factory=set)
    id: str = field(default_factory=secrets.token_urlsafe)

    @property
    def is_untouched(self) -> bool:
        """Whether the person did nothing on the page."""
        return not (self.own or self.shown.lifted)

    def note_states(
        self, states: Mapping[int, SampleTile], reserved: frozenset[int]
    ) -> None:
        """Note what the tiles are now, by their first row; other people have `reserved`."""
        page = self.shown.page
        shown = replace(self.shown, sent={}, names=Shown.begin(page).names)
        reserved_tiles = set()
        for n, tile in enumerate(page.tiles):
            state = states.get(tile.rows[0])
            if state is None or not state.waits:
                shown = shown.send([n], find_target(state) if state else "")
            elif not reserved.isdisjoint(tile.rows):
                reserved_tiles.add(n)

        self.own.intersection_update(shown.sent)
        others = {*reserved_tiles, *shown.sent} - self.own
        self.shown = replace(shown, others=frozenset(others))


def find_target(sample: SampleTile) -> str:
    """Return the class or place where a decided sample is."""
    place = Place.REJECT if sample.status == "rejected" else Place.QUEUE
    return sample.label or f":{sample.mark or place}"


class PersonalSession(SortingSession):
    """A session of one person, whose second opinions change no label."""

    tiles: PersonalTiles

    def _step(
        self, action: Operation | str, choices: list[Choice], mark: str | None = None
    ) -> StepResult:
        rows = self.tiles.get_ids([choice.sample for choice in choices])
        second = {opinion.sample for opinion in self.tiles.list_second(rows.values())}
        choices = [
            choice._replace(provenance=SECOND)
            if rows[choice.sample] in second
            else choice
            for choice in choices
        ]
        return super()._step(action, choices, mark)


class Person:
    """One person: the owner of the dataset without a `name`, or somebody who was invited."""

    def __init__(self, dataset: Dataset, name: PersonName, share: float):
        self.name = name
        self.session = PersonalSession(dataset, name)
        self.user = name or dataset.journal.user
        self.session.tiles = PersonalTiles(dataset.db, self.user, share)
        # Reviews show the label that a face has, not the own opinion.
        self._reviewing = copy(self.session)
        self._reviewing.tiles = PersonalTiles(dataset.db, "", 0.0)
        self.pages = Pages(self.session)
        self.current: CurrentPage | None = None
        self.prepared: Shown | None = None
        """The page that follows."""
        self.notes: list[Note] = []
        self.room = MAX_PAGE_TILES
        self.used_at = 0.0
        """When this person last did something with a page."""
        self.check: CopiesCheck | LabelsCheck = NO_CHECK
        self.check_page = NO_CHECK.describe({}, 0)
        """Duplicates or doubtful labels that this person checks, and how they were shown."""
        self.results: dict[str, StepResult] = {}
        """What requests have done, in case that they arrive again."""
        self._pages_of_steps: dict[int, CurrentPage] = {}

    @property
    def rows(self) -> set[int]:
        """The samples on the page of this person, and on the one that follows."""
        pages = (self.current.shown if self.current else None, self.prepared)
        return {row for shown in pages if shown for row in shown.page.rows}

    def refresh(self, reserved: frozenset[int]) -> None:
        """Note what became of the page; other people have the samples `reserved`."""
        if self.current is None:
            return
        rows = [tile.rows[0] for tile in self.current.shown.page.tiles]
        states = self.session.tiles.get_many(rows)
        self.current.note_states(states, reserved)
        if self.current.is_untouched and not self.current.shown.open():
            self.current = None

    def take(self, sent: SentStep) -> StepResult:
        """Carry out a step on the page.

        Raises `RefusedRequest` for a page that this person does not hold, and `UsageError`.
        """
        if sent.act in ("undo", "redo"):
            return self._take_back(sent)
        if sent.act in ("settle", "confirm"):
            _require_page(sent, self.check_page.id, len(self.check_page.faces))
            return self.check.settle(self._reviewing, sent)

        current = self.current or CurrentPage(NO_PAGE)
        _require_page(sent, current.id, len(current.shown.page.tiles))
        result = _ACTS[sent.act](self, current, sent)
        _remember(self._pages_of_steps, result.root, current)
        return result

    def _take_back(self, sent: SentStep) -> StepResult:
        if sent.step:
            check_owner(self.name)
        result = self.session.take_back(StepKind(sent.act), sent.step)
        # Show the page where the step was made.
        self.current = self._pages_of_steps.get(result.root, self.current)
        return result

    def leave(self, current: CurrentPage, *notes: Note) -> None:
        """Leave a page: pages that are composed from now on follow the notes."""
        excluded = [current.shown.page.tiles[n] for n in current.shown.lifted]
        self.notes += (partial(Pages.exclude, tiles=excluded), *notes)
        self.current = None


def _remember(entries: dict[Any, Any], step: Any, entry: Any) -> None:
    """Add the entry of a step; drop the oldest of too many."""
    entries[step] = entry
    if len(entries) > MAX_REMEMBERED_STEPS:
        del entries[next(iter(entries))]


def _require_page(sent: SentStep, page: str, size: int) -> None:
    """Raise an error unless a step is for this page, and its tiles are on it."""
    if sent.page != page:
        raise RefusedRequest(
            409, "page gone", "you no longer have this page", "load the next page"
        )
    # Each face once: a step counts what it is sent.
    if len({*range(size)}.intersection(sent.tiles)) < len(sent.tiles):
        raise UsageError("there is no such face on this page", "load it again")


def _send(person: Person, current: CurrentPage, sent: SentStep) -> StepResult:
    target = f":{sent.label}" if sent.act == "place" else _resolve(person, sent)
    tiles = sent.tiles
    shown = current.shown
    if shown.others.intersection(tiles):
        raise RefusedRequest(
            409,
            "decided elsewhere",
            "somebody else has decided about this face",
            "load the page again",
        )
    is_card = len(tiles) > 1 and shown.cards
    provenance = WITH_PAGE if is_card else BY_HAND
    result = person.session.decide(shown.samples(tiles), target, provenance)
    current.own.update(tiles)
    return result


def _resolve(person: Person, sent: SentStep) -> str:
    """Return the class that a typed name means. Raises `RefusedRequest` for a likely typo."""
    match = match_exact_name(sent.label, list_known_names(person.session.dataset))
    if match is not None:
        return match.label
    label = normalize_class_name(sent.label)
    similar = find_similar_name(label, person.session.classes.list_names())
    if similar is not None and not sent.sure:
        raise RefusedRequest(
            409,
            "similar name",
            f"there is a class {similar}",
            "choose it, or confirm the new name",
            facts={"suggestion": similar},
        )
    return label


def _lift(person: Person, current: CurrentPage, sent: SentStep) -> StepResult:
    shown = current.shown
    lifted = frozenset(sent.tiles) - shown.lifted
    decided = shown.samples(current.own.intersection(sent.tiles))
    queue = Place.QUEUE.target
    result = person.session.decide(decided, queue) if decided else NO_STEP
    current.shown = shown.lift(sent.tiles, lifted)
    return result


def _split(person: Person, current: CurrentPage, sent: SentStep) -> StepResult:
    shown = current.shown
    if not shown.has_clusters:
        rows = shown.samples(sent.tiles)
        person.prepared = None
        person.leave(current, lambda pages: pages.unstack(rows))
    elif moved := person.pages.part(shown.page, shown.open(sent.tiles)):
        current.shown = shown.move(moved, max(shown.cards) + 1)
    return NO_STEP


def _accept(person: Person, current: CurrentPage, sent: SentStep) -> StepResult:
    shown = current.shown
    label = _resolve(person, sent) if sent.label else None
    person.session.check_classes_exist(() if label else shown.page.labels)
    done = {*shown.sent, *shown.others}
    result = person.pages.label_page(shown.page, shown.lifted, done, label)
    person.leave(current, lambda pages: pages.note_tested(shown.page))
    return result


def _leave(person: Person, current: CurrentPage, sent: SentStep) -> StepResult:
    person.leave(current, lambda pages: pages.skip(current.shown.page))
    return NO_STEP


def _better(person: Person, current: CurrentPage, sent: SentStep) -> StepResult:
    person.prepared = None
    person.leave(current)
    return NO_STEP


_ACTS: dict[str, Callable[[Person, CurrentPage, SentStep], StepResult]] = {
    "label": _send,
    "place": _send,
    "lift": _lift,
    "split": _split,
    "accept": _accept,
    "leave": _leave,
    "better": _better,
}


class Wish(NamedTuple):
    """What a page has to be like, with the notes since the last wish of the same person.

    `room` is the number of tiles that fill the screen; samples `reserved` are on other pages, and
    `second` ones are those that another person decided. It `is_ahead` if it is composed while the
    person still has another page.
    """

    room: int
    reserved: frozenset[int]
    second: Sequence[int]
    notes: Sequence[Note]
    is_ahead: bool


class SharedSorting:
    """The pages and steps of all people; no face is on the pages of two of them.

    A `share` of all faces is decided by two people, one after the other.
    """

    def __init__(self, root: Path, share: float):
        self.dataset = Dataset.open(root)
        self._share = share
        # Versions of a server that ran before are different.
        self.version = int(time.time() * 1000)
        self.unmeasured = count_unmeasured(self.dataset)
        self._unreadable = 0
        self._tiles = SampleTiles(self.dataset.db)
        # The owner is there from the start, and sees what others do from then on.
        self._people: dict[PersonName, Person] = {}
        self._get_person(None)
        self._names: list[KnownName] = []

    def close(self) -> None:
        """Close the dataset."""
        self.dataset.close()

    def poll(self) -> bool:
        """Look for changes by other processes; return whether there are faces to compare."""
        # All sessions follow, not only up to the first that has seen a change.
        changed = [person.session.poll() for person in self._people.values()]
        if self.unmeasured or any(changed):
            self.unmeasured = max(0, count_unmeasured(self.dataset) - self._unreadable)
            self._note_change()
        return self.unmeasured > 0

    def note_measured(self) -> None:
        """Note that what still has no embedding cannot be read."""
        self._unreadable = count_unmeasured(self.dataset)
        for person in self._people.values():
            person.notes.append(Pages.note_unreadable)
        self.version += 1

    def get_state(self, name: PersonName) -> State:
        """Return the state of the work for a person."""
        person = self._get_person(name)
        progress = person.session.progress()
        counts = progress.counts
        self._names = self._names or list_known_names(self.dataset)
        session = person.session
        redoable = session.history.redoable
        sizes = {row.name: row.count for row in counts.classes}
        portraits = session.portraits(counts.classes)
        recent = self._tiles.list_steps(session.history.last - MAX_NEWS)
        return State(
            version=self.version,
            person=person.user,
            owner=name is None,
            labelled=counts.total_decided,
            total=counts.total,
            unmeasured=self.unmeasured,
            classes=[
                ClassState(label, sizes[label], key, [r.key for r in portraits[label]])
                for label, key in progress.keys.items()
            ],
            names=self._names,
            places={
                "reject": counts.rejected,
                "other": counts.other,
                "later": counts.later,
                "queue": counts.pending,
            },
            undo=progress.undo.operation.text("face") if progress.undo else None,
            redo=redoable[-1].operation.text("face") if redoable else None,
            news=[
                News(
                    step.id,
                    step.undoes,
                    step.person or step.user,
                    step.operation.text("face"),
                )
                for step in recent
                if step.id not in session.own_steps
            ],
        )

    def get_page(self, name: PersonName, room: int = 0) -> LabelPage | None:
        """Return the page that a person holds, or else the one prepared; None without one.

        `room` is the number of tiles that fill the screen (0: as before).
        """
        person = self._get_person(name)
        person.room = room or person.room
        person.used_at = time.monotonic()
        reserved = self._list_reserved(person)
        person.refresh(reserved)
        if person.current is None:
            shown = person.prepared
            person.prepared = None
            if shown is None:
                return None
            # What others have decided or taken since is not on it.
            tiles = person.session.tiles.get_many(shown.page.rows)
            free = {row for row, tile in tiles.items() if tile.waits} - reserved
            page = shown.page.restrict(free)
            if page.tiles:
                person.current = CurrentPage(Shown.begin(page))
            elif shown is not NO_PAGE:
                return None
        return self._describe_page(person.current)

    def make_wish(self, name: PersonName) -> Wish:
        """Return what the page after the present one of a person has to be like."""
        person = self._get_person(name)
        own = person.current.shown.page.rows if person.current else ()
        notes = person.notes
        person.notes = []
        reserved = self._list_reserved(person).union(own)
        return Wish(
            person.room, reserved, person.session.tiles.list_new(), notes, bool(own)
        )

    def note_composed(
        self, name: PersonName, wish: Wish, page: ClassPage | None
    ) -> None:
        """Keep a page that was composed for a person."""
        person = self._get_person(name)
        person.prepared = None
        if page is not None:
            person.prepared = Shown.begin(page)
        elif not wish.is_ahead:
            # Before somebody has nothing to do, pages that are prepared for others go back.
            others = [other for other in self._people.values() if other.prepared]
            for other in others:
                other.prepared = None
            person.prepared = None if others else NO_PAGE

    def take_step(self, name: PersonName, sent: SentStep) -> StepResult:
        """Carry out a step, once however often it is sent."""
        person = self._get_person(name)
        if sent.id in person.results:
            return person.results[sent.id]
        # The server may have been started again since.
        if step := self._tiles.find_request(sent.id):
            if step.person != name:
                raise UsageError("not your step", "load the page again")
            return StepResult(step.id, step.operation)

        person.refresh(self._list_reserved(person))
        self.dataset.db.step_columns = {"person": name, "request": sent.id}
        result = person.take(sent)
        _remember(person.results, sent.id, result)
        self._note_change()
        return result

    def show_check(
        self,
        name: PersonName,
        checks: Sequence[CopiesCheck | LabelsCheck],
        skipped: int,
    ) -> CheckPage:
        """Let a person check the next of these that is not checked by somebody else."""
        person = self._get_person(name)
        person.used_at = time.monotonic()
        busy = frozenset(
            chain.from_iterable(
                other.check.rows
                for other in self._people.values()
                if other is not person
            )
        )
        free = [check for check in checks if busy.isdisjoint(check.rows)]
        person.check = free[skipped % len(free)] if free else NO_CHECK
        tiles = self._tiles.get_many(person.check.rows)
        person.check_page = person.check.describe(tiles, len(free))
        return person.check_page

    def read_region(self, key: str) -> SampleRegion:
        """Return the region of a sample now. Raises `RefusedRequest` for an unknown one."""
        rows = self._tiles.get_ids([key]).values()
        for tile in self._tiles.get_many([*rows]).values():
            return tile.region
        raise RefusedRequest(404, "no such face", key[:64], "load the page again")

    def _get_person(self, name: PersonName) -> Person:
        if name not in self._people:
            self._people[name] = Person(self.dataset, name, self._share)
            if not self.unmeasured:
                self._people[name].notes.append(Pages.note_unreadable)
        person = self._people[name]
        # Sessions of one connection see each other's steps in no other way.
        person.session.follow_history()
        return person

    def _list_reserved(self, person: Person) -> frozenset[int]:
        """Return the samples on pages of others; who did nothing for long, loses them."""
        since = time.monotonic() - LEASE_SECONDS
        rows = set[int]()
        for other in self._people.values():
            if other is person:
                continue
            if other.used_at < since:
                other.current = None
                other.prepared = None
                other.check = NO_CHECK
            rows |= other.rows
        return frozenset(rows)

    def _note_change(self) -> None:
        self.version += 1
        self._names = []

    def _describe_page(self, current: CurrentPage | None) -> LabelPage:
        left = self._tiles.get_counts().pending
        if current is None:
            return LabelPage(id="", kind=DONE, left=left)

        shown = current.shown
        page = shown.page
        boxes = shown.cards or (0,) * len(page.tiles)
        names = shown.names if shown.cards else {0: page.label}
        states = self._tiles.get_many([tile.rows[0] for tile in page.tiles])
        cards: dict[int, LabelCard] = {}
        for n, (stack, box) in enumerate(zip(page.tiles, boxes, strict=True)):
            # A sample that was deleted has no image.
            if (state := states.get(stack.rows[0])) is None:
                continue
            region = state.region
            tile = Tile(
                n=n,
                key=region.key,
                top=list(stack.prediction.top),
                size=len(stack.rows),
                name=stack.prediction.label or "",
                doubtful=n < page.doubtful,
                sent=shown.sent.get(n, ""),
                others=n in shown.others,
                lifted=n in shown.lifted,
                image=TileImage(region.width, region.height, region.region.box),
            )
            card = cards.setdefault(box, LabelCard(names.get(box) or "", []))
            card.tiles.append(tile)

        return LabelPage(
            id=current.id,
            kind=page.kind.name.lower(),
            left=left,
            cards=list(cards.values()),
            better=shown.is_corrected,
            total=page.total,
            wrong=page.expected_wrong if page.tested else None,
        )

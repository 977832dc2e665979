"""Sorting of several people in one dataset. All is for the thread that opened it.

Each person has a session and a page; no face is on the pages of two people.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec

from gleanset import Dataset
from gleanset.db.classes import normalize_class_name
from gleanset.db.journal import SECOND, Choice
from gleanset.db.opinions import PersonalTiles
from gleanset.db.regions import SampleRegion
from gleanset.db.sorting import SampleTile, SampleTiles
from gleanset.errors import UsageError
from gleanset.operations import Operation
from gleanset.records import Region
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
    StepText,
    Tile,
    TileImage,
)
from labeler.web.checking import NO_CHECK, CheckPage, CopiesCheck, LabelsCheck

LEASE_SECONDS = 600.0
"""A person who does nothing for so long loses the page once somebody else is there."""

MAX_NEWS = 20

DONE = "done"
"""The kind of a page without faces: all that wait are on other pages."""

_LIST_PAGES = "SELECT page FROM handed_page WHERE person IS ? ORDER BY number"
_FIND_PAGE = "SELECT page FROM handed_page WHERE person IS ? AND id=?"
_STORE_PAGE = """
    INSERT INTO handed_page(id, person, page) VALUES(?, ?, ?)
    ON CONFLICT(id) DO UPDATE SET page=excluded.page
    """


@dataclass
class CurrentPage:
    """A page of one person, who decided its `own` tiles.

    `regions` are those of its tiles when it was handed out. It was `left_by` a step, as long as
    that is not undone; the samples `unstacked` are shown one by one from then on. `steps` are those
    that were made on it; the last `request` may arrive again.
    """

    shown: Shown
    regions: list[Region] = field(default_factory=list)
    own: set[int] = field(default_factory=set)
    id: str = field(default_factory=secrets.token_urlsafe)
    left_by: str = ""
    unstacked: Sequence[int] = ()
    steps: list[int] = field(default_factory=list)
    request: str = ""

    def note_states(
        self, samples: SampleTiles, reserved: frozenset[int] = frozenset()
    ) -> None:
        """Note which tiles are decided now; the samples `reserved` are on pages of other people.

        The first sample of a tile stands for all of its stack.
        """
        page = self.shown.page
        states = samples.get_many([tile.rows[0] for tile in page.tiles])
        shown = replace(
            self.shown,
            sent={},
            names=Shown.begin(page).names,
        )
        reserved_tiles = set()
        for n, tile in enumerate(page.tiles):
            state = states.get(tile.rows[0])
            if state is None or not state.waits:
                shown = shown.send(
                    [n],
                    find_target(state) if state else "",
                )
            # It waits, but with another box, or on the page of somebody else.
            elif state.region.region != self.regions[n] or reserved.intersection(
                tile.rows
            ):
                reserved_tiles.add(n)

        self.own.intersection_update(shown.sent)
        others = {*reserved_tiles, *shown.sent} - self.own
        self.shown = replace(shown, others=frozenset(others))

    def note(self, pages: Pages) -> None:
        """Note what was done here, for the pages that follow."""
        page = self.shown.page
        pages.exclude(page.tiles[n] for n in self.shown.lifted)
        pages.unstack(self.unstacked)
        if self.left_by == "leave":
            pages.skip(page)
        elif self.left_by == "accept":
            pages.note_tested(page)


_decode_page = msgspec.json.Decoder(CurrentPage).decode


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
        self.current_id = ""
        self.prepared: list[ClassPage] = []
        """The pages that follow."""
        self.shown_rows: set[int] = set()
        """The samples that were shown since pages were last asked for."""
        self.notes: list[Callable[[Pages], object]] = []
        """What happened to pages, for those that follow."""
        self.room = MAX_PAGE_TILES
        self.used_at = time.monotonic()
        """When this person last did something with a page."""
        self.check: CopiesCheck | LabelsCheck = NO_CHECK
        self.check_page = CheckPage(0, [])
        """Duplicates or doubtful labels that this person checks, and how they were shown."""
        # Of a server that ran before.
        for page in self._iter_pages():
            if page.left_by:
                self.notes.append(page.note)
            else:
                self.current_id = page.id

    @property
    def current(self) -> CurrentPage:
        """The page that this person has, as it was after the last step; or one without tiles."""
        return self._find_page(self.current_id)

    def _iter_pages(self) -> Iterator[CurrentPage]:
        """Yield the last pages of this person, the oldest first."""
        return map(
            _decode_page,
            self.session.dataset.db.fetch_column(_LIST_PAGES, (self.name,)),
        )

    def _find_page(self, page_id: str) -> CurrentPage:
        """Return the page with an id, or one without tiles."""
        data = self.session.dataset.db.fetch_text(
            _FIND_PAGE,
            (self.name, page_id),
        )
        return _decode_page(data) if data else CurrentPage(NO_PAGE)

    @contextmanager
    def storing(self, current: CurrentPage) -> Iterator[None]:
        """Store a page together with the step that the body makes on it."""
        db = self.session.dataset.db
        with db.transaction():
            yield
            db.execute(
                _STORE_PAGE,
                (current.id, self.name, msgspec.json.encode(current).decode()),
            )

    def take(self, sent: SentStep) -> StepResult:
        """Carry out a step on a page, which may have gone back or to another person since.

        Raises `RefusedRequest` for a page that this person never had, and `UsageError`.
        """
        if sent.act in ("undo", "redo"):
            return self._take_back(sent)
        if sent.act in ("settle", "confirm"):
            _require_page(
                sent,
                self.check_page.id,
                len(self.check_page.faces),
            )
            # A place, such as not a face, is not the name of a class.
            if sent.label and not sent.label.startswith(":"):
                sent = msgspec.structs.replace(sent, label=_resolve(self, sent))
            return self.check.settle(self._reviewing, sent)

        current = self._find_page(sent.page)
        _require_page(
            sent,
            current.id,
            len(current.shown.page.tiles),
        )
        if sent.id == current.request:
            return NO_STEP
        # Without `reserved`: faces that are on the page of somebody else now can be labelled, as
        # long as they wait.
        current.note_states(self.session.tiles)
        others = current.shown.others.intersection(sent.tiles)
        with self.storing(current):
            result = _ACTS[sent.act](self, current, sent)
            current.steps.append(result.root)
            current.request = sent.id
        return replace(result, changed_since=len(others))

    def _take_back(self, sent: SentStep) -> StepResult:
        # A step by number may be one of somebody else.
        if sent.step:
            check_owner(self.name)
        result = self.session.take_back(
            StepKind(sent.act),
            sent.step,
        )
        # Show the page where the step was made.
        for current in self._iter_pages():
            if result.root in current.steps:
                with self.storing(current):
                    current.left_by = ""
                self.current_id = current.id
        return result


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
    shown = current.shown
    tiles = [n for n in sent.tiles if n not in shown.others]
    if not tiles:
        raise RefusedRequest(
            409,
            "decided elsewhere",
            "somebody else has decided about this face",
            "load the page again",
        )
    # Several tiles of a cluster at once: no person looked at each of them.
    is_card = len(sent.tiles) > 1 and shown.cards
    provenance = WITH_PAGE if is_card else BY_HAND
    # Of a stack, samples that other people decided stay as they are; own decisions are changed.
    states = person.session.tiles.get_many(shown.samples(tiles))
    own = shown.samples(current.own)
    rows = [row for row, state in states.items() if state.waits or row in own]
    result = person.session.decide(rows, target, provenance)
    current.own.update(tiles)
    return result


def _resolve(person: Person, sent: SentStep) -> str:
    """Return the class that a typed name means. Raises `RefusedRequest` for a likely typo."""
    match = match_exact_name(
        sent.label,
        list_known_names(person.session.dataset),
    )
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
    # Tiles that were lifted before are put back; own decisions about any of them are taken back.
    lifted = frozenset(sent.tiles) - shown.lifted
    decided = shown.samples(current.own.intersection(sent.tiles))
    result = person.session.decide(decided, Place.QUEUE.target) if decided else NO_STEP
    current.shown = shown.lift(sent.tiles, lifted)
    return result


def _split(person: Person, current: CurrentPage, sent: SentStep) -> StepResult:
    shown = current.shown
    # A page of a class is left, and its samples are shown one by one on a later page.
    if not shown.has_clusters:
        current.unstacked = shown.samples(sent.tiles)
        return _leave(person, current, sent)
    if tiles := person.pages.part(shown.page, shown.open(sent.tiles)):
        # They become a card of their own.
        current.shown = shown.move(tiles, max(shown.cards) + 1)
    return NO_STEP


def _accept(person: Person, current: CurrentPage, sent: SentStep) -> StepResult:
    shown = current.shown
    # Without a label each tile gets the class that the page suggests for it.
    label = _resolve(person, sent) if sent.label else None
    person.session.check_classes_exist(() if label else shown.page.labels)
    done = {*shown.sent, *shown.others}
    result = person.pages.label_page(
        shown.page,
        shown.lifted,
        done,
        label,
    )
    # Leaving the page makes no step: the one that is returned labelled its tiles.
    _leave(person, current, sent)
    return result


def _leave(person: Person, current: CurrentPage, sent: SentStep) -> StepResult:
    current.left_by = sent.act
    person.notes.append(current.note)
    # What was prepared before does not know of this wish.
    if sent.act in ("better", "split"):
        person.prepared = []
    if current.id == person.current_id:
        person.current_id = ""
    return NO_STEP


# All have the same arguments, because a step is looked up by its act; not all need each of them.
_ACTS: dict[str, Callable[[Person, CurrentPage, SentStep], StepResult]] = {
    "label": _send,
    "place": _send,
    "lift": _lift,
    "split": _split,
    "accept": _accept,
    "leave": _leave,
    "better": _leave,
}


class Wish(NamedTuple):
    """What a page has to be like, with the notes since the last wish of the same person.

    `room` is the number of tiles that fill the screen; samples `reserved` are on other pages, and
    `second` ones are those that another person decided.
    """

    room: int
    reserved: frozenset[int]
    second: Sequence[int]
    notes: Sequence[Callable[[Pages], object]]


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
            undo=StepText.describe(progress.undo.operation) if progress.undo else None,
            redo=StepText.describe(redoable[-1].operation) if redoable else None,
            news=[
                News(
                    step.id,
                    step.undoes,
                    step.person or step.user,
                    StepText.describe(step.operation),
                )
                for step in self._tiles.list_steps(session.history.last - MAX_NEWS)
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
        current = person.current
        current.note_states(person.session.tiles, reserved)
        shown = current.shown
        # The person keeps it while there is something to do, or to change: own decisions and
        # lifted tiles. Otherwise other people have decided all of it.
        if current.own or shown.lifted or shown.open():
            return self._describe_page(current)

        person.current_id = ""
        while person.prepared:
            page = person.prepared.pop(0)
            # Composing found no face that waits, see `note_composed`.
            if page is NO_PAGE.page:
                return LabelPage(
                    id="", kind=DONE, left=self._tiles.get_counts().pending
                )
            # What others have decided or taken since is not on it.
            tiles = person.session.tiles.get_many(page.rows)
            free = {row for row, tile in tiles.items() if tile.waits} - reserved
            page = page.restrict(free)
            if page.tiles:
                regions = [tiles[tile.rows[0]].region.region for tile in page.tiles]
                current = CurrentPage(Shown.begin(page), regions)
                with person.storing(current):
                    person.current_id = current.id
                person.shown_rows.update(page.rows)
                return self._describe_page(current)
        return None

    def make_wish(self, name: PersonName) -> Wish:
        """Return what the page after the present one of a person has to be like."""
        person = self._get_person(name)
        own = person.current.shown.page.rows
        person.shown_rows = {*own}
        notes = person.notes
        person.notes = []
        reserved = self._list_reserved(person).union(own)
        return Wish(
            person.room,
            reserved,
            person.session.tiles.list_new(),
            notes,
        )

    def note_composed(self, name: PersonName, pages: Sequence[ClassPage]) -> None:
        """Keep pages that were composed for a person, without what was shown meanwhile."""
        person = self._get_person(name)
        person.prepared = []
        for page in pages:
            left = page.restrict({*page.rows} - person.shown_rows)
            # A few faces are not worth a page: they come with others.
            if 2 * len(left.tiles) > len(page.tiles):
                person.prepared.append(left)

        if not (pages or person.shown_rows):
            # Nothing is left for this person, unless pages that are prepared for others are given
            # up: then it is composed again, from their faces. Else `NO_PAGE` says that all is done.
            others = [other for other in self._people.values() if other.prepared]
            for other in others:
                other.prepared = []
            person.prepared = [] if others else [NO_PAGE.page]

    def take_step(self, name: PersonName, sent: SentStep) -> StepResult:
        """Carry out a step; if it was carried out before, return that step again."""
        person = self._get_person(name)
        if step := self._tiles.find_request(sent.id):
            if step.person != name:
                raise UsageError("not your step", "load the page again")
            return StepResult(step.id, step.operation)

        # The catalogue stores these with each step, until they are set for the next request.
        self.dataset.db.step_columns = {
            "person": name,
            "request": sent.id,
        }
        with self.dataset.db.transaction():
            result = person.take(sent)
        self._note_change()
        return result

    def show_check(
        self,
        name: PersonName,
        checks: Sequence[CopiesCheck | LabelsCheck],
        skipped: int,
    ) -> CheckPage:
        """Let a person check the next of these that is not checked by somebody else.

        `skipped` is the number of checks that the person left for later; after the last one the
        first is next again.
        """
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
        person.check_page = person.check.describe(
            self._tiles.get_many(person.check.rows), len(free)
        )
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
        # Polling sees only changes by other connections, and all sessions share one.
        person.session.follow_history()
        return person

    def _list_reserved(self, person: Person) -> frozenset[int]:
        """Return the samples on pages of others.

        Takes the pages and checks of those away who did nothing for `LEASE_SECONDS`.
        """
        since = time.monotonic() - LEASE_SECONDS
        rows = set[int]()
        for other in self._people.values():
            if other is person:
                continue
            if other.used_at < since:
                other.current_id = ""
                other.prepared = []
                other.check = NO_CHECK
            for page in (other.current.shown.page, *other.prepared):
                rows.update(page.rows)
        return frozenset(rows)

    def _note_change(self) -> None:
        self.version += 1
        self._names = []

    def _describe_page(self, current: CurrentPage) -> LabelPage:
        shown = current.shown
        page = shown.page
        # The number of the card of each tile; without cards all are on one.
        card_numbers = shown.cards or (0,) * len(page.tiles)
        names = shown.names if shown.cards else {0: page.label}
        states = self._tiles.get_many([tile.rows[0] for tile in page.tiles])
        cards: dict[int, LabelCard] = {}
        for n, (stack, number) in enumerate(zip(page.tiles, card_numbers, strict=True)):
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
            card = cards.setdefault(
                number,
                LabelCard(names.get(number) or "", []),
            )
            card.tiles.append(tile)

        return LabelPage(
            id=current.id,
            kind=page.kind.name.lower(),
            left=self._tiles.get_counts().pending,
            cards=list(cards.values()),
            better=shown.is_corrected,
            total=page.total,
            wrong=page.expected_wrong if page.tested else None,
        )

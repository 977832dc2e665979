"""What a class page consists of, and what its state asks of the window.

Tiles are numbered by their position on the page, which never changes while the page is shown: a
face that joins another card stays where it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.session import StepKind

MIN_MOVED = 3
"""Faces sent from a page to one class, after which better suggestions are offered."""


class Message(Enum):
    """What the status bar says about a gesture; the last three are changes without a step."""

    POINT_FIRST = "Point at a face first"
    POINT_TO_NAME = "Point at a face or a card, then type its name"
    POINT_AT_CLUSTER = "Point at a card first"
    POINT_AT_STACK = "Only stacks, and cards without a name, can be split"
    JUST_APPEARED = "This has just appeared: look at it, then press the key again"
    PREPARING = "Preparing pages…"
    NO_OTHER_PAGE = "No other page"
    NO_EARLIER_PAGE = "No earlier page"
    UNUSED_NAME = "Typed, but not used: {name}"
    SUGGESTED_AGAIN = "Suggesting again what is left…"
    EXCLUDED = "Change which faces are excluded"
    MOVED = "Move to another card"
    PARTED = "Split a card"


class Say(NamedTuple):
    """Show a message; `name` is the typed name that it is about, if it has one."""

    message: Message
    name: str = ""


class SayChange(NamedTuple):
    """Say that a page was changed, or that a change was undone or redone."""

    change: Message
    kind: StepKind


class Reveal(NamedTuple):
    """Scroll to tiles that were not painted yet, and say so."""

    tiles: Iterable[int]


class Decide(NamedTuple):
    """Send samples to a class, or to a place such as `:later`; answered by `note_saved`.

    `serial` is that of the `PageChange`.
    """

    serial: int
    samples: list[int]
    target: str
    provenance: str


class File(NamedTuple):
    """Label the tiles that are neither lifted nor sent; answered by `note_saved`.

    Without a `label`, each gets its suggested class. `serial` is that of the `PageChange`.
    """

    serial: int
    shown: Shown
    label: str | None


class TakeBack(NamedTuple):
    """Undo or redo the last step of the window; answered by `revert_step`."""

    kind: StepKind


class Ask(NamedTuple):
    """Ask the session's thread: run a method of `Pages`.

    `then` is called with the state, the same arguments and the answer.
    """

    work: Callable[..., object]
    arguments: tuple[object, ...]
    then: Callable[..., object]


Command = Say | SayChange | Reveal | Decide | File | TakeBack | Ask


@dataclass(frozen=True)
class Shown:
    """A page with what a person did on it.

    `boxes` has the box on the screen that each tile is in, `cards` the card that it belongs to; a
    page of one class has none. `names` are those of cards, by suggestion or by hand. `lifted` tiles
    are excluded: they are not labelled with their page. `sent` tiles are decided, to a class or
    place, `others` are decided elsewhere.
    """

    page: ClassPage
    boxes: tuple[int, ...] = ()
    cards: tuple[int, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    lifted: frozenset[int] = frozenset()
    sent: Mapping[int, str] = field(default_factory=dict)
    others: frozenset[int] = frozenset()

    @classmethod
    def begin(cls, page: ClassPage) -> Shown:
        """Return a page as it was composed."""
        labels = [tile.prediction.label or "" for tile in page.tiles]
        boxes = page.boxes
        # At first each card is in its own box. A page of one class has no boxes, so no names.
        return cls(
            page,
            boxes,
            boxes,
            dict(zip(boxes, labels, strict=False)),
        )

    def members(self, card: int) -> list[int]:
        """Return the tiles of a card, wherever they are."""
        return [tile for tile, other in enumerate(self.cards) if other == card]

    def card_at(self, tile: int) -> int:
        """Return the card that the heading above a tile is for.

        That is the card with the number of the box. If none of its tiles is in the box any more, it
        is the card of the first tile there.
        """
        box = self.boxes[tile]
        # The tiles of a box are adjacent.
        first = self.boxes.index(box)
        cards = self.cards[first : first + self.boxes.count(box)]
        return box if box in cards else cards[0]

    def tag(self, card: int) -> str:
        """Return the letter of a card with tiles in the box of another; else nothing."""
        pairs = zip(self.boxes, self.cards, strict=True)
        is_spread = any(now == card != home for home, now in pairs)
        return chr(ord("A") + card % 26) if is_spread else ""

    @property
    def has_clusters(self) -> bool:
        """Whether a gesture on a tile acts on its whole cluster."""
        return self.page.kind is PageKind.CLUSTERS

    @property
    def is_corrected(self) -> bool:
        """Whether enough was sent elsewhere for better suggestions of the rest."""
        counts = Counter(self.sent.values()).values()
        can_learn = not (self.has_clusters or self.lifted)
        return can_learn and max(counts, default=0) >= MIN_MOVED

    def open(self, tiles: Iterable[int] | None = None) -> tuple[int, ...]:
        """Return the tiles, of these or all, that are neither lifted nor decided."""
        marked = {*self.lifted, *self.sent, *self.others}
        rows = range(len(self.page.tiles)) if tiles is None else tiles
        return tuple(tile for tile in rows if tile not in marked)

    def next_open(self, tile: int) -> int:
        """Return the next open tile from one on, else the first; -1 for none."""
        tiles = self.open()
        for other in tiles:
            if other >= tile:
                return other
        return tiles[0] if tiles else -1

    def cluster_of(self, tile: int) -> int:
        """Return the cluster of a tile that is pointed at; -1 for none."""
        return self.cards[tile] if self.has_clusters and tile >= 0 else -1

    def name_of(self, card: int) -> str:
        """Return the name of a card; '' as long as a tile of a cluster needs one."""
        is_open = self.has_clusters and self.open(self.members(card))
        return "" if is_open else self.names.get(card, "")

    def is_done(self, card: int) -> bool:
        """Whether no tile of a card is open, and some are decided."""
        members = self.members(card)
        return not (self.open(members) or self.lifted.issuperset(members))

    def with_name(self, card: int, name: str | None) -> tuple[int, ...]:
        """Return the tiles of a card that were sent to the class `name`; none without a name."""
        members = self.members(card)
        return tuple(tile for tile in members if name and self.sent.get(tile) == name)

    def targets(self, card: int) -> tuple[int, ...]:
        """Return the open tiles of a card; without any, those that have its name."""
        members = self.members(card)
        return self.open(members) or self.with_name(card, self.names.get(card))

    def find_key_targets(self, tile: int, card: int) -> tuple[int, ...]:
        """Return what a key acts on; an open tile of a cluster stands for all of them."""
        is_single = tile >= 0 and not (self.has_clusters and self.open([tile]))
        return (tile,) if is_single else self.targets(card)

    def find_name_targets(self, tile: int, card: int) -> tuple[int, ...]:
        """Return what a name is for: as a key, but on an excluded tile the rest of its card."""
        others = self.open(self.members(card)) if tile in self.lifted else ()
        return others or self.find_key_targets(tile, card)

    def samples(self, tiles: Iterable[int]) -> list[int]:
        """Return the samples of tiles, including all samples of stacks."""
        samples: list[int] = []
        for tile in tiles:
            samples += self.page.tiles[tile].rows
        return samples

    def send(self, tiles: Collection[int], target: str) -> Shown:
        """Send tiles; a card with no tile left to send is named as most of its tiles were."""
        sent = {**self.sent, **dict.fromkeys(tiles, target)}
        # A face with a label of its own is excluded no longer.
        lifted = self.lifted.difference(tiles)
        names = dict(self.names)

        for card in {self.cards[tile] for tile in tiles if self.cards}:
            members = [tile for tile in self.members(card) if tile not in lifted]
            targets = Counter(sent[tile] for tile in members if tile in sent)
            # One face that went elsewhere does not rename the others.
            if len(members) == targets.total():
                names[card], _ = targets.most_common(1)[0]

        return replace(self, sent=sent, lifted=lifted, names=names)

    def move(self, tiles: Collection[int], card: int) -> Shown:
        """Give tiles to another card, without label."""
        cards = list(self.cards)
        for tile in tiles:
            cards[tile] = card
        return replace(
            self.lift(tiles, frozenset()),
            cards=tuple(cards),
        )

    def lift(self, tiles: Collection[int], lifted: frozenset[int]) -> Shown:
        """Take the labels of `tiles` back; of these, exclude `lifted` and include the others."""
        return replace(
            self,
            sent={tile: to for tile, to in self.sent.items() if tile not in tiles},
            lifted=self.lifted.difference(tiles) | lifted,
        )

    def restrict(self, page: ClassPage) -> Shown:
        """Return the same for `page`, which is this page with fewer samples.

        It no longer has samples that were decided elsewhere, so `others` is empty.
        """
        left = {*page.rows}
        tiles = enumerate(self.page.tiles)
        before = [number for number, tile in tiles if left.intersection(tile.rows)]

        # Tiles are numbered again: the new number of each, by its old one.
        now = {old: new for new, old in enumerate(before)}
        return replace(
            self,
            page=page,
            boxes=tuple(self.boxes[old] for old in before if self.boxes),
            cards=tuple(self.cards[old] for old in before if self.cards),
            lifted=frozenset(now[old] for old in self.lifted if old in now),
            sent={now[old]: to for old, to in self.sent.items() if old in now},
            others=frozenset(),
        )


NO_PAGE = Shown(ClassPage(PageKind.PLAIN, None, ()))


class PageChange(NamedTuple):
    """A change of a page, which an undo reverts; `after` is None if the page was left.

    `root` is its step: 0 until that is saved, and for an `arrangement`, which was made after the
    step `last`.
    """

    serial: int
    before: Shown
    after: Shown | None
    last: int
    arrangement: Message | None
    root: int = 0


class Name(NamedTuple):
    """A name that is typed, and the tiles that it is for: none yet, or the whole page.

    `offered` is the name that the field began with.
    """

    text: str = ""
    tiles: tuple[int, ...] = ()
    is_for_page: bool = False
    offered: str = ""

    @property
    def has_target(self) -> bool:
        """Whether it is for something that was on the screen when it was begun."""
        return self.is_for_page or bool(self.tiles)


def report(name: Name | None) -> tuple[Command, ...]:
    """Return a message about a name that was begun and is not used."""
    if name is None or name.text in ("", name.offered):
        return ()
    return (Say(Message.UNUSED_NAME, name.text),)

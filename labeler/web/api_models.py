"""What the browser sends and receives."""

from typing import Annotated, Literal, Self

import msgspec

from gleanset.operations import Operation
from labeler.sorting.name_matching import KnownName
from labeler.sorting.session import StepKind

Act = Literal[
    "label",
    "place",
    "lift",
    "split",
    "accept",
    "leave",
    "better",
    "undo",
    "redo",
    "settle",
    "confirm",
]


class SentStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step on a `page` with some of its `tiles`.

    The client makes `id` up, so that a step that is sent twice is done once. A `label` that looks
    like a typing error of a class is refused unless the person is `sure`. The owner may undo a
    `step` of somebody else.
    """

    id: Annotated[str, msgspec.Meta(min_length=8, max_length=64)]
    act: Act
    page: str = ""
    tiles: list[int] = []
    label: str = ""
    sure: bool = False
    step: int = 0


class TileImage(msgspec.Struct):
    """Size of an image in pixels, and the region of a face in it: x, y, width, height."""

    width: int
    height: int
    box: tuple[int, int, int, int]


class Tile(msgspec.Struct):
    """A face, or a stack of `size` faces; its number `n` never changes on a page.

    `sent` is the class, or a place such as `:later`, that it has now; `others` if somebody else
    decided that. `top` are the likeliest classes with their probabilities.
    """

    n: int
    key: str
    top: list[tuple[str, float]]
    size: int
    name: str
    doubtful: bool
    sent: str
    others: bool
    lifted: bool
    image: TileImage


class LabelCard(msgspec.Struct):
    """Tiles under one name, which is a suggestion, or "" for people without a name."""

    name: str
    tiles: list[Tile]


class LabelPage(msgspec.Struct):
    """What a person sorts at once.

    `left` faces wait in all, including those of other people, `total` with these suggestions, of
    which about `wrong` are wrong (None: unknown). Pages can get `better` meanwhile.
    """

    id: str
    kind: str
    left: int
    cards: list[LabelCard] = []
    better: bool = False
    total: int = 0
    wrong: float | None = None


class ClassState(msgspec.Struct):
    """A class with its number of faces, its key and the faces that show it, the best first."""

    name: str
    count: int
    key: str
    portraits: list[str]


class StepText(msgspec.Struct):
    """What a step did: in English, and as the operation that the page describes in others."""

    text: str
    operation: Operation

    @classmethod
    def describe(cls, operation: Operation) -> Self:
        """Return the text of an operation."""
        return cls(operation.text("face"), operation)


class News(msgspec.Struct):
    """A step of another person, or of a window or command, and the one that it undid."""

    step: int
    undoes: int | None
    by: str
    description: StepText


class State(msgspec.Struct):
    """The state of the work for one person; `undo` and `redo` are steps to undo and redo.

    `names` are texts that may be typed with their classes, `places` counts of faces without one.
    """

    version: int
    person: str
    owner: bool
    labelled: int
    total: int
    unmeasured: int
    classes: list[ClassState]
    names: list[KnownName]
    places: dict[str, int]
    undo: StepText | None
    redo: StepText | None
    news: list[News]


class StepAnswer(msgspec.Struct):
    """A step that is saved (0: nothing had to be), and what there is to show now.

    `changed_since` faces of it were decided by others or have another region: they stay as they
    are. `page` is None while the next one is composed.
    """

    step: int
    kind: StepKind
    description: StepText
    changed_since: int
    page: LabelPage | None
    state: State

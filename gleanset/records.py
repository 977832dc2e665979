"""Records that the packages exchange: frozen, slotted dataclasses without behavior.

Boxes are in pixels of the upright (EXIF) original: `x, y, width, height`, origin top left.
Hashes of bytes are SHA-256 in lower-case hex. Times in a video are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in pixels of the upright original, origin top left."""

    x: int
    y: int
    width: int
    height: int


Rectangle = tuple[float, float, float, float]
"""A `Box`, or the same with fractions of pixels."""


def overlap(box: Rectangle, other: Rectangle) -> float:
    """Return the intersection over union (IoU), 0..1."""
    x, y, width, height = box
    other_x, other_y, other_width, other_height = other

    across = min(x + width, other_x + other_width) - max(x, other_x)
    down = min(y + height, other_y + other_height) - max(y, other_y)
    shared = max(across, 0) * max(down, 0)  # negative where they do not overlap
    total = width * height + other_width * other_height - shared
    return shared / total if total else 0.0


def are_nested(box: Rectangle, other: Rectangle) -> bool:
    """Return whether one of two boxes contains the center of the other."""
    x, y, width, height = box
    other_x, other_y, other_width, other_height = other

    # Twice the distance between the centers, so that whole pixels stay whole.
    across = abs(2 * x + width - 2 * other_x - other_width)
    down = abs(2 * y + height - 2 * other_y - other_height)
    is_in_box = across <= width and down <= height
    is_in_other = across <= other_width and down <= other_height
    return is_in_box or is_in_other


class Region(NamedTuple):
    """The part of an image that a sample shows: `box` rotated clockwise by `angle` degrees."""

    box: Box
    angle: float = 0.0


@dataclass(frozen=True, slots=True)
class Origin:
    """One place where an image was found. `key` is its stable id within the `source`.

    `url` is the URL of the file, `page_url` that of a page that shows it. A video frame has the
    SHA-256 of its `video`, its `time` in seconds, its `frame` number, and in `scene` a number that
    each scene of the video has alone. Images of one `post` form a group. `hint` is the weak label,
    `rating` the site's age rating, `ai` whether the site marks the image as AI-generated (None: it
    does not say). `path` is that of the local file, archive or video; `original_path` is relative
    to the imported folder or archive, `collection` the name of the imported set.
    """

    source: str
    key: str
    url: str | None = None
    page_url: str | None = None
    path: str | None = None
    video: str | None = None
    time: float | None = None
    frame: int | None = None
    scene: int | None = None
    post: str | None = None
    query: str | None = None
    hint: str | None = None
    author: str | None = None
    licence: str | None = None
    title: str | None = None
    tags: tuple[str, ...] = ()
    rating: str | None = None
    ai: bool | None = None
    original_path: str | None = None
    collection: str | None = None


REPORT_SOURCE = "web"
"""`Origin.source` of images that users of the web page sent with a report."""


@dataclass(frozen=True)
class Candidate:
    """A result of a source: a URL to download, its origin, stated size, and referer to send."""

    url: str
    origin: Origin
    width: int | None = None
    height: int | None = None
    referer: str | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """Measures of an image from one decoding pass.

    `width` and `height` are those of the upright image; `orientation` is the EXIF value 1..8 of
    the stored bytes; `phash` is the 64-bit perceptual hash and `sharpness` the variance of the
    Laplacian, both from `compute_phash_and_sharpness`.
    """

    sha256: str
    format: str
    bytes: int
    width: int
    height: int
    frames: int
    orientation: int
    phash: int
    sharpness: float


@dataclass(frozen=True, slots=True)
class Image(Measured):
    """An original file, its state (ok or missing), and every place where it was found."""

    state: str
    origins: tuple[Origin, ...] = ()


class Interval(NamedTuple):
    """Confidence interval of a share or a mean."""

    low: float
    high: float


class Landmark(NamedTuple):
    """A named point of a face, in pixels of the upright original."""

    name: str
    x: float
    y: float


HAND = "hand"
"""`Face.detector` of boxes that a person drew; their landmarks are exact."""


@dataclass(frozen=True, slots=True)
class Face:
    """A detected box; `evidence` is further output of the detector, ignored by `==`."""

    detector: str
    box: Box
    score: float
    landmarks: tuple[Landmark, ...] = ()
    evidence: Mapping[str, object] | None = field(default=None, compare=False)


class FaceCrop(NamedTuple):
    """A face with its cropped region (`box`, `angle` in degrees) and measures of the crop."""

    face: Face
    key: str
    box: Box
    phash: int
    sharpness: float
    angle: float = 0.0


class TrackBox(NamedTuple):
    """Box of a track's face in the frame at a `time` in seconds, in pixels of the image."""

    time: float
    x: int
    y: int
    width: int
    height: int


class FaceTrack(NamedTuple):
    """Detections of one face within a shot, from `started` to `ended` (seconds) in `frames`.

    `boxes` has that of each frame by time; tracks of before version 0041 of the catalogue have
    those of their stored frames.
    """

    name: str
    started: float
    ended: float
    frames: int
    boxes: tuple[TrackBox, ...]


class FollowedFace(NamedTuple):
    """A face in a kept frame with its track, and its crop unless it is too small."""

    face: Face
    track: FaceTrack
    crop: FaceCrop | None


SPLITS = ("train", "val", "test")
"""Names of the splits, for training, model selection and evaluation."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What gets a label: a region of an image, or the whole image.

    `status` is queue, labelled, rejected or retired. `group` names its duplicate set, `split_group`
    its group for splits: the same string for all members. The region is `box` rotated clockwise by
    `angle` degrees about its center; outside of the image it is padded. `kept` is false for
    duplicates of a better copy. `track` is the same string for all samples of one face track.
    """

    key: str
    image: str
    box: Box
    detector: str
    score: float | None
    phash: int
    sharpness: float
    status: str
    label: str | None = None
    hint: str | None = None
    split: str | None = None
    group: str | None = None
    split_group: str | None = None
    angle: float = 0.0
    kept: bool = True
    track: str | None = None

    @property
    def size(self) -> int:
        """The shorter side of the crop, in pixels."""
        return min(self.box.width, self.box.height)


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the journal. `step` is the number of its named action.

    `by` is the person who made it in the browser, or else the `user` of the system. `undoes` is the
    id of the decision that this one reverts.
    """

    id: int
    step: int
    name: str
    user: str
    by: str
    at: str
    sample: str
    action: str
    value: str | None
    provenance: str
    undoes: int | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """An item that could not be used, with the reason.

    `source` is the site or other source that has the item, "" if it has none.
    """

    stage: str
    item: str
    reason: str
    detail: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One training run: its folder name, settings and results (JSON values).

    `room` is the kind of work, `status` running, done, failed or given up (killed).
    """

    id: str
    room: str
    settings: dict[str, object]
    started: str
    ended: str | None
    status: str
    result: dict[str, object]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the catalogue: name, time, author, note, and counts of what is in use."""

    name: str
    at: str
    user: str
    note: str
    images: int
    samples: int
    labelled: int
    rejected: int
    classes: int
    train: int
    val: int
    test: int

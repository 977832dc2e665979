"""What an audit looks at: the pictures of a folder tree, of two trees, or of a dataset.

A tree is anybody's: what lies in it is data of strangers, and is only read.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
from PIL import Image

from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.db.measures import ImageHashes, SampleHashes
from gleanset.db.paging import Where
from gleanset.errors import InputUnusable, Unreadable
from gleanset.images.cut import cut
from gleanset.images.decode import ENDINGS, MAX_BYTES, Mode, decode
from gleanset.records import Box
from labeler.duplicates.hashes import GREY_SIZE
from labeler.duplicates.looking import Place, describe, place_of

# A folder is a split when its name begins so: also train2017, val_images, Test.
_SPLIT = re.compile(r"(train|val|test)(?:ing|id|idation)?(?![a-z])", re.IGNORECASE)


class Shot(NamedTuple):
    """One picture to audit, known by its number. `place` is None for a whole file.

    `label` is the folder below the split, or the sample's class.
    """

    number: int
    name: str
    split: str
    label: str
    path: Path
    place: Place | None = None


class Described(NamedTuple):
    """What is compared of a picture: the SHA-256 of its file and region, and its hashes."""

    digest: str
    look: SampleHashes


@dataclass
class Gallery:
    """All pictures of an audit; `other` counts files that are no pictures or in no split.

    `unreadable` has the name and reason of what could not be used.
    """

    shots: list[Shot] = field(default_factory=list)
    other: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)

    def sizes(self) -> dict[str, int]:
        """How many pictures each split has."""
        return dict(sorted(Counter(shot.split for shot in self.shots).items()))

    def add(
        self, name: str, split: str, label: str, path: Path, place: Place | None = None
    ) -> None:
        """Take a picture in, under the next number."""
        self.shots.append(Shot(len(self.shots), name, split, label, path, place))


def of_tree(root: Path) -> Gallery:
    """The pictures below train|val|test folders on the first level, else on the second.

    Raises `InputUnusable` where there are no two splits.
    """
    gallery = Gallery()
    files = list(_files(root, gallery))
    first = any(len(parts) > 1 and _SPLIT.match(parts[0]) for parts in files)
    level = 0 if first else 1
    for parts in files:
        match = _SPLIT.match(parts[level]) if len(parts) > level + 1 else None
        if match is None:
            gallery.other += 1
            continue
        label = parts[level + 1] if len(parts) > level + 2 else ""
        gallery.add("/".join(parts), match[1].lower(), label, root.joinpath(*parts))
    if len(gallery.sizes()) < 2:
        found = ", ".join(gallery.sizes()) or "none"
        raise InputUnusable(
            f"{root} needs folders with pictures for two of train, val and test (found: {found})",
            "name two trees to compare: labeler audit TREE --against OTHER",
        )
    return gallery


def add_tree(gallery: Gallery, root: Path, split: str) -> None:
    """All pictures of a tree as one split, named by their path below it.

    Raises `InputUnusable` where there are none.
    """
    before = len(gallery.shots)
    for parts in _files(root, gallery):
        label = parts[0] if len(parts) > 1 else ""
        gallery.add("/".join((split, *parts)), split, label, root.joinpath(*parts))
    if len(gallery.shots) == before:
        raise InputUnusable(f"there are no pictures in {root}", "name another folder")


def of_dataset(dataset: Dataset, split: str | None = None) -> Gallery:
    """The samples that have a split, or with `split` all labelled ones as that one.

    Raises `InputUnusable` where there are none.
    """
    gallery, originals = Gallery(), dataset.originals(dataset.cache)
    labelled = dataset.samples.each(Where(status="labelled"))
    samples = list(labelled if split else dataset.samples.in_splits())
    rows = Pairs(dataset.db).numbers([sample.key for sample in samples])
    seen = ImageHashes(dataset.db).seen(rows)
    for sample, row in zip(samples, rows, strict=True):
        place = place_of(seen[row], originals)
        gallery.add(sample.key, split or str(sample.split), str(sample.label), place.path, place)
    if not samples:
        raise InputUnusable(
            "no sample of this dataset has a split, so there is nothing to audit",
            f"split first: labeler split -d {dataset.root}; or name a folder: labeler audit TREE",
        )
    return gallery


def _files(root: Path, gallery: Gallery) -> Iterator[tuple[str, ...]]:
    """Pictures below a folder as the parts of their path, sorted; hidden ones are passed over."""
    if not root.is_dir():
        raise InputUnusable(f"there is no folder {root}", "check its name")

    def cannot(error: OSError) -> None:
        gallery.unreadable[str(error.filename)] = "folder cannot be read"

    for folder, below, names in os.walk(root, onerror=cannot):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith(".") or path.suffix.lower() not in ENDINGS or not path.is_file():
                gallery.other += 1
            else:
                yield path.relative_to(root).parts


def pixels_of(shot: Shot, at_least: int, mode: Mode) -> Image.Image:
    """The pixels of a picture, its longer side not under `at_least` where there are as many.

    Raises `Unreadable`.
    """
    data, place = _read(shot.path), shot.place
    if place is None:
        return decode(data, at_least=at_least, mode=mode).pixels
    box, angle = place.region
    part = max(box.width, box.height) / max(place.width, place.height, 1)
    picture = decode(data, at_least=int(at_least / max(part, 0.01)), mode=mode)
    scale = picture.pixels.width / max(1, picture.width)
    x, y, width, height = (round(side * scale) for side in box)
    return cut(picture.pixels, Box(x, y, max(1, width), max(1, height)), angle)


def describe_shot(shot: Shot) -> Described:
    """The hashes of a picture. Raises `Unreadable`."""
    cv2.setNumThreads(1)
    digest = hashlib.sha256(_read(shot.path) + repr(shot.place and shot.place.region).encode())
    return Described(digest.hexdigest(), describe(pixels_of(shot, GREY_SIZE, "L"), shot.number))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Unreadable("too large", f"at most {MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise Unreadable("cannot be read", str(error)) from error

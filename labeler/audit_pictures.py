"""The pictures that an audit compares: those of a folder tree, of two trees, or of a dataset.

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

from PIL import Image

from gleanset import Dataset
from gleanset.db.duplicates import ImageHashes, Pairs, SampleHashes
from gleanset.errors import InputUnusable, Unreadable
from gleanset.files.store import PictureFile
from gleanset.images.decode import ENDINGS, MAX_BYTES, Mode
from labeler.duplicates.hashes import GREY_SIZE, describe
from labeler.sample_pixels import SampleFile, decode_region, sample_file

# A folder is a split when its name begins so: also train2017, val_images, Test.
_SPLIT = re.compile(r"(train|val|test)(?:ing|id|idation)?(?![a-z])", re.IGNORECASE)


class AuditPicture(NamedTuple):
    """One picture to audit, known by its number.

    `label` is the folder below the split, or the sample's class.
    """

    number: int
    name: str
    split: str
    label: str
    file: SampleFile


class AuditHashes(NamedTuple):
    """What is compared of a picture: the SHA-256 of its file and region, and its hashes."""

    digest: str
    look: SampleHashes


@dataclass
class AuditSet:
    """All pictures of an audit; `other` counts files that are no pictures or in no split.

    `unreadable` has the name and reason of what could not be used.
    """

    pictures: list[AuditPicture] = field(default_factory=list)
    other: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)

    def sizes(self) -> dict[str, int]:
        """Return how many pictures each split has."""
        return dict(sorted(Counter(picture.split for picture in self.pictures).items()))

    def add(self, name: str, split: str, label: str, file: SampleFile) -> None:
        """Take a picture in, under the next number."""
        self.pictures.append(AuditPicture(len(self.pictures), name, split, label, file))


def of_tree(root: Path) -> AuditSet:
    """Collect the pictures below train|val|test folders on the first level, else on the second.

    Raises `InputUnusable` where there are no two splits.
    """
    audited = AuditSet()
    files = list(_files(root, audited))
    first = any(len(parts) > 1 and _SPLIT.match(parts[0]) for parts in files)
    level = 0 if first else 1
    for parts in files:
        match = _SPLIT.match(parts[level]) if len(parts) > level + 1 else None
        if match is None:
            audited.other += 1
            continue
        label = parts[level + 1] if len(parts) > level + 2 else ""
        audited.add("/".join(parts), match[1].lower(), label, SampleFile(root.joinpath(*parts)))
    if len(audited.sizes()) < 2:
        found = ", ".join(audited.sizes()) or "none"
        raise InputUnusable(
            f"{root} needs folders with pictures for two of train, val and test (found: {found})",
            "name two trees to compare: labeler audit TREE --against OTHER",
        )
    return audited


def add_tree(audited: AuditSet, root: Path, split: str) -> None:
    """Add all pictures of a tree as one split, named by their path below it.

    Raises `InputUnusable` where there are none.
    """
    before = len(audited.pictures)
    for parts in _files(root, audited):
        label = parts[0] if len(parts) > 1 else ""
        audited.add("/".join((split, *parts)), split, label, SampleFile(root.joinpath(*parts)))
    if len(audited.pictures) == before:
        raise InputUnusable(f"there are no pictures in {root}", "name another folder")


def of_dataset(dataset: Dataset, split: str | None = None) -> AuditSet:
    """Collect the samples that have a split, or with `split` all labelled ones as that one.

    Raises `InputUnusable` where there are none.
    """
    audited, originals = AuditSet(), dataset.originals(dataset.cache)
    labelled = dataset.samples.each(status="labelled")
    samples = list(labelled if split else dataset.samples.in_splits())
    rows = Pairs(dataset.db).numbers([sample.key for sample in samples])
    seen = ImageHashes(dataset.db).seen(rows)
    for sample, row in zip(samples, rows, strict=True):
        file = sample_file(seen[row], originals)
        audited.add(sample.key, split or str(sample.split), str(sample.label), file)
    if not samples:
        raise InputUnusable(
            "no sample of this dataset has a split, so there is nothing to audit",
            f"split first: labeler split {dataset.option}; or name a folder: labeler audit TREE",
        )
    return audited


def _files(root: Path, audited: AuditSet) -> Iterator[tuple[str, ...]]:
    """Yield pictures below a folder as parts of their path, sorted; hidden ones are passed over."""
    if not root.is_dir():
        raise InputUnusable(f"there is no folder {root}", "check its name")

    def cannot(error: OSError) -> None:
        audited.unreadable[str(error.filename)] = "folder cannot be read"

    for folder, below, names in os.walk(root, onerror=cannot):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith(".") or path.suffix.lower() not in ENDINGS or not path.is_file():
                audited.other += 1
            else:
                yield path.relative_to(root).parts


def picture_pixels(picture: AuditPicture, at_least: int, mode: Mode) -> Image.Image:
    """Return the pixels of a picture, its longer side not under `at_least` where there are as many.

    Raises `Unreadable`.
    """
    return decode_region(_read(picture.file.path), picture.file, at_least, mode)


def hash_picture(picture: AuditPicture) -> AuditHashes:
    """Return the hashes of a picture, in a worker process. Raises `Unreadable`."""
    data = _read(picture.file.path)
    digest = hashlib.sha256(data + repr(picture.file.region).encode())
    pixels = decode_region(data, picture.file, GREY_SIZE, "L")
    return AuditHashes(digest.hexdigest(), describe(pixels, picture.number))


def _read(path: PictureFile) -> bytes:
    try:
        # What lies in a bucket was taken in by ourselves.
        if isinstance(path, Path) and path.stat().st_size > MAX_BYTES:
            raise Unreadable("too large", f"at most {MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise Unreadable("cannot be read", str(error)) from error

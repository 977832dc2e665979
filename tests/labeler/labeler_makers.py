"""Datasets for the labeler tests, filled through the public API, without image files."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gleanset import Box, Dataset, Face, Origin
from gleanset.db.journal import Choice
from gleanset.images.cropping import make_sample_key
from gleanset.records import FaceCrop, Measured

SIDE = 200


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def hash64(name: str) -> int:
    """Return a hash that is far from that of any other name."""
    return int(sha(name)[:16], 16)


def add_image(dataset: Dataset, name: str, *origins: Origin) -> str:
    """Add an image without a file, by default with one origin."""
    measured = Measured(sha(name), "JPEG", 1, SIDE, SIDE, 1, 1, hash64(name), 1.0)
    for origin in origins or (Origin("folder", name),):
        dataset.images.add(measured, origin)
    return measured.sha256


def add_faces(dataset: Dataset, image: str, lefts: Sequence[int] = (0,)) -> list[str]:
    """Add 20 x 20 pixel faces at these x; return sample keys."""
    cuts = []
    for left in lefts:
        box = Box(left, 10, 20, 20)
        key = make_sample_key(image, box)
        cuts.append(FaceCrop(Face("animeface", box, 0.9), key, box, hash64(key), 1.0))
    dataset.faces.replace(image, "animeface", "test", cuts)
    return [cut.key for cut in cuts]


def label(dataset: Dataset, key: str, name: str) -> None:
    dataset.journal.apply("Label", [Choice(key, "label", name)])


@dataclass(frozen=True)
class Group:
    """A group: images of one class that belong to one post."""

    name: str
    label: str
    size: int


def add_groups(dataset: Dataset, groups: Sequence[Group]) -> None:
    choices = []
    with dataset.db.transaction():
        for group in groups:
            for number in range(group.size):
                name = f"{group.name}/{number}"
                image = add_image(dataset, name, Origin("site", name, post=group.name))
                (key,) = add_faces(dataset, image)
                choices.append(Choice(key, "label", group.label))
        if choices:
            dataset.journal.apply("Label", choices)


def sample_states(dataset: Dataset) -> dict[str, tuple[Any, ...]]:
    """Return what decisions and splits can change, by sample."""
    return {
        s.key: (s.status, s.label, s.split, s.split_group, s.group, s.box)
        for s in dataset.samples.iter_by_key()
    }

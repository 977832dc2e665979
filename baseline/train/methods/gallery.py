"""The known pictures of a model that answers by likeness: which, whose, and how to add more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from baseline.train.trained_net import (
    GalleryHead,
    TrainedNet,
    load_model,
    save_model,
    stack_by_class,
)
from gleanset.errors import UsageError

MAX_KNOWN_IMAGES = 64
"""Known pictures of a class: more make a model larger and slower, and hardly better."""
MAX_GALLERY_CANDIDATES = 2000
"""Pictures of a class among which the known ones are chosen."""

Embeddings = npt.NDArray[np.float32]
Group = tuple[tuple[str, ...], Embeddings]
"""The keys of the known pictures of a class, and their embeddings."""


def build_gallery(
    embedded: Embeddings, y: npt.NDArray[np.int64], keys: Sequence[str], classes: int
) -> GalleryHead:
    """Return a head of embeddings (N x D, of length 1), at most `MAX_KNOWN_IMAGES` a class."""
    groups: list[Group] = []
    for name in range(classes):
        # A copy that balancing made is no other picture.
        once = {keys[i]: i for i in np.flatnonzero(y == name)[::-1]}
        members = np.array(sorted(once.values()), dtype=np.int64)[:MAX_GALLERY_CANDIDATES]
        chosen = members[choose_representatives(embedded[members], MAX_KNOWN_IMAGES)]
        groups.append((tuple(keys[i] for i in chosen), embedded[chosen]))
    return _head_of(groups)


def choose_representatives(embedded: Embeddings, most: int) -> npt.NDArray[np.int64]:
    """Return the rows that, all together, are nearest to all others: int64, at most `most`, sorted.

    Greedy: each next one adds most to the sum of every row's best likeness (facility location;
    Nemhauser et al., 1978: at least 63 % of the best possible sum).
    """
    if len(embedded) <= most:
        return np.arange(len(embedded))
    likeness = embedded @ embedded.T
    best = np.full(len(embedded), -1.0, np.float32)
    chosen: list[int] = []
    for _ in range(most):
        gain = np.maximum(likeness, best).sum(1)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        best = np.maximum(best, likeness[chosen[-1]])
    return np.array(sorted(chosen))


def get_gallery_head(net: TrainedNet) -> GalleryHead:
    """Return the head of a network that knows pictures. Raises `UsageError` for any other."""
    if not isinstance(net.head, GalleryHead):
        raise UsageError(
            "this run has no gallery: it answers with the classes it was trained on",
            "train one that has: baseline train --preset triplet",
        )
    return net.head


def add_to_gallery(
    folder: Path,
    name: str,
    embedded: Embeddings,
    keys: Sequence[str],
    *,
    scratch: Path | None = None,
) -> int:
    """Make pictures known as `name`, a class of the run or a new one, without training.

    `embedded` is N x D as `net.embed` gives it. Pictures that are known already are passed over;
    of what comes to more than `MAX_KNOWN_IMAGES` of the class the representatives
    stay. Gives the number of known images of the class. Killed at any moment, the run has the old gallery or the new.
    Raises `UsageError` where the run has no gallery or nothing is added.
    """
    net, settings, classes = load_model(folder)
    groups = _groups(get_gallery_head(net), classes)
    if not len(keys):
        raise UsageError("there is no picture to add", "name at least one picture")
    nothing = (), np.zeros((0, embedded.shape[1]), np.float32)
    groups[name] = _joined(groups.get(name, nothing), keys, embedded)
    net.head = _head_of([*groups.values()])
    save_model(folder, net, settings, tuple(groups), scratch=scratch)
    return len(groups[name][0])


def remove_from_gallery(folder: Path, name: str, *, scratch: Path | None = None) -> None:
    """Forget a class: pictures of it will be taken for the others, or for unknown.

    Raises `UsageError` where there is no such class, or only one other would be left.
    """
    net, settings, classes = load_model(folder)
    groups = _groups(get_gallery_head(net), classes)
    if name not in classes or len(classes) < 3:
        raise UsageError(
            f"'{name}' cannot be removed from the classes {', '.join(classes)}",
            "name a class of the run; two must stay",
        )
    del groups[name]
    net.head = _head_of([*groups.values()])
    save_model(folder, net, settings, tuple(groups), scratch=scratch)


def _groups(head: GalleryHead, classes: Sequence[str]) -> dict[str, Group]:
    return {
        name: (keys, vectors[: len(keys)])
        for name, keys, vectors in zip(classes, head.known, head.vectors, strict=True)
    }


def _joined(group: Group, keys: Sequence[str], embedded: Embeddings) -> Group:
    old, vectors = group
    fresh = [i for i, key in enumerate(keys) if key not in old and key not in keys[:i]]
    all_keys = (*old, *(keys[i] for i in fresh))
    everything = np.concatenate((vectors, embedded[fresh].astype(np.float32)))
    stay = choose_representatives(everything, MAX_KNOWN_IMAGES)
    return tuple(all_keys[i] for i in stay), everything[stay]


def _head_of(groups: Sequence[Group]) -> GalleryHead:
    y = np.repeat(np.arange(len(groups)), [len(keys) for keys, _ in groups])
    vectors = np.concatenate([vectors for _, vectors in groups])
    return GalleryHead(stack_by_class(vectors, y, len(groups)), tuple(keys for keys, _ in groups))

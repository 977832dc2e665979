"""The gallery of a triplet model: images of each class to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from baseline.train.trained_net import (
    GalleryHead,
    TrainedNet,
    stack_by_class,
)
from gleanset.errors import UsageError

MAX_GALLERY_IMAGES = 64
"""Gallery images of a class: more make a model larger and slower, but hardly better."""
MAX_GALLERY_CANDIDATES = 2000
"""Images of a class that the gallery images are chosen from."""

Embeddings = npt.NDArray[np.float32]
GalleryImages = tuple[tuple[str, ...], Embeddings]
"""Keys and embeddings of the gallery images of a class."""


def build_gallery(
    embedded: Embeddings, y: npt.NDArray[np.int64], keys: Sequence[str], classes: int
) -> GalleryHead:
    """Build a head of embeddings (N x D, of length 1), at most `MAX_GALLERY_IMAGES` a class."""
    images: list[GalleryImages] = []
    for name in range(classes):
        members = np.flatnonzero(y == name)[:MAX_GALLERY_CANDIDATES]
        representatives = members[choose_representatives(embedded[members], MAX_GALLERY_IMAGES)]
        images.append((tuple(keys[i] for i in representatives), embedded[representatives]))
    return build_head(images)


def choose_representatives(embedded: Embeddings, limit: int) -> npt.NDArray[np.int64]:
    """Return at most `limit` representative rows, sorted.

    Greedy facility location by similarity (Nemhauser et al., 1978: at least 63 % of the optimum).
    """
    if len(embedded) <= limit:
        return np.arange(len(embedded))
    similarity = embedded @ embedded.T
    best = np.full(len(embedded), -1.0, np.float32)
    rows: list[int] = []
    for _ in range(limit):
        gain = np.maximum(similarity, best).sum(1)
        gain[rows] = -np.inf
        rows.append(int(gain.argmax()))
        best = np.maximum(best, similarity[rows[-1]])
    return np.array(sorted(rows))


def get_gallery_head(net: TrainedNet) -> GalleryHead:
    """Return the gallery of a network. Raises `UsageError` if it has none."""
    if not isinstance(net.head, GalleryHead):
        raise UsageError(
            "this run has no gallery, only the classes it was trained on",
            "train a run with a gallery: baseline train --preset triplet",
        )
    return net.head


def images_by_class(net: TrainedNet, classes: Sequence[str]) -> dict[str, GalleryImages]:
    """Return the gallery images of each class. Raises `UsageError` without a gallery."""
    head = get_gallery_head(net)
    return {
        name: (keys, vectors[: len(keys)])
        for name, keys, vectors in zip(classes, head.keys, head.vectors, strict=True)
    }


def add_images(images: GalleryImages, keys: Sequence[str], embedded: Embeddings) -> GalleryImages:
    """Add images that are not there yet; keep at most `MAX_GALLERY_IMAGES` representatives."""
    old_keys, old_vectors = images
    new = [i for i, key in enumerate(keys) if key not in old_keys and key not in keys[:i]]
    all_keys = (*old_keys, *(keys[i] for i in new))
    vectors = np.concatenate((old_vectors, embedded[new].astype(np.float32)))
    rows = choose_representatives(vectors, MAX_GALLERY_IMAGES)
    return tuple(all_keys[i] for i in rows), vectors[rows]


def build_head(images: Sequence[GalleryImages]) -> GalleryHead:
    """Build a head of the gallery images of each class."""
    y = np.repeat(np.arange(len(images)), [len(keys) for keys, _ in images])
    vectors = np.concatenate([vectors for _, vectors in images])
    return GalleryHead(stack_by_class(vectors, y, len(images)), tuple(keys for keys, _ in images))

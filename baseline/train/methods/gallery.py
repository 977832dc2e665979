"""The known pictures of a model that answers by likeness: which, whose, and how to add more.

`gallery.json` in the run folder names the sample behind each vector of `GalleryHead`. It is
filed under the hash of the weights it belongs to, so that a kill between two files of an
addition leaves the old gallery whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from baseline.data.runs import SETTINGS
from baseline.settings import Settings
from baseline.train.methods.triplet_loss import by_class
from baseline.train.networks import GalleryHead, Net
from baseline.train.storage import load_model, save_model
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic

GALLERY = "gallery.json"
MOST = 64
"""Known pictures of a class: more make a model larger and slower, and hardly better."""
LOOKED_AT = 2000
"""Pictures of a class among which the known ones are chosen."""

Known = tuple[tuple[str, ...], ...]
Embeddings = npt.NDArray[np.float32]


def make_gallery(
    embedded: Embeddings, y: npt.NDArray[np.int64], keys: Sequence[str], classes: int
) -> GalleryHead:
    """Return a head of embeddings (N x D, of length 1), at most `MOST` of each class."""
    rows: list[npt.NDArray[np.int64]] = []
    for name in range(classes):
        # A copy that balancing made is no other picture.
        once = {keys[i]: i for i in np.flatnonzero(y == name)[::-1]}
        members = np.array(sorted(once.values()), dtype=np.int64)[:LOOKED_AT]
        rows.append(members[representatives(embedded[members], MOST)])
    chosen = np.concatenate(rows)
    vectors = by_class(torch.from_numpy(embedded[chosen]), torch.from_numpy(y[chosen]), classes)
    head = GalleryHead(vectors)
    head.known = tuple(tuple(keys[i] for i in row) for row in rows)
    return head


def representatives(embedded: Embeddings, most: int) -> npt.NDArray[np.int64]:
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


def save_gallery(folder: Path, net: Net, *, scratch: Path | None = None) -> None:
    """Write which samples the gallery of `net` shows; call it after `save_model`."""
    _write(folder, {_weights_of(folder): _head(net).known}, scratch)


def load_gallery(folder: Path) -> Known:
    """Return the keys of the known samples of each class, in the order of the vectors.

    Slots that only repeat have no key. Raises `InputUnusable` where the file is missing or of
    another model.
    """
    known = _read(folder).get(_weights_of(folder))
    if known is None:
        raise InputUnusable(
            f"{folder / GALLERY} does not belong to the weights beside it",
            "train again: baseline train --preset triplet",
        )
    return tuple(tuple(map(str, row)) for row in known)


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
    of what comes to more than `MOST` of the class the representatives stay. Gives the number of
    known pictures of the class. Killed at any moment, the run has the old gallery or the new.
    Raises `UsageError` where the run has no gallery or nothing is added.
    """
    net, settings, classes = load_model(folder)
    head = _head(net)
    before = load_gallery(folder)
    if not len(keys):
        raise UsageError("there is no picture to add", "name at least one picture")
    groups = {label: _vectors(head, before, at) for at, label in enumerate(classes)}
    groups[name] = _joined(groups.get(name, ((), _none(head))), keys, embedded)
    _replace(folder, net, settings, groups, before, scratch)
    return len(groups[name][0])


def remove_from_gallery(folder: Path, name: str, *, scratch: Path | None = None) -> None:
    """Forget a class: pictures of it will be taken for the others, or for unknown.

    Raises `UsageError` where there is no such class, or only one other would be left.
    """
    net, settings, classes = load_model(folder)
    head, before = _head(net), load_gallery(folder)
    if name not in classes or len(classes) < 3:
        raise UsageError(
            f"'{name}' cannot be removed from the classes {', '.join(classes)}",
            "name a class of the run; two must stay",
        )
    groups = {c: _vectors(head, before, at) for at, c in enumerate(classes) if c != name}
    _replace(folder, net, settings, groups, before, scratch)


Group = tuple[tuple[str, ...], Embeddings]


def _joined(group: Group, keys: Sequence[str], embedded: Embeddings) -> Group:
    old, vectors = group
    fresh = [i for i, key in enumerate(keys) if key not in old and key not in keys[:i]]
    all_keys = (*old, *(keys[i] for i in fresh))
    everything = np.concatenate((vectors, embedded[fresh].astype(np.float32)))
    stay = representatives(everything, MOST)
    return tuple(all_keys[i] for i in stay), everything[stay]


def _vectors(head: GalleryHead, known: Known, at: int) -> Group:
    return known[at], head.vectors[at, : len(known[at])].numpy()


def _none(head: GalleryHead) -> Embeddings:
    return np.zeros((0, head.vectors.shape[2]), np.float32)


def _replace(
    folder: Path,
    net: Net,
    settings: Settings,
    groups: dict[str, Group],
    before: Known,
    scratch: Path | None,
) -> None:
    """Write the model with these known pictures in place of the one that is there."""
    y = np.repeat(np.arange(len(groups)), [len(keys) for keys, _ in groups.values()])
    vectors = np.concatenate([vectors for _, vectors in groups.values()])
    head = GalleryHead(by_class(torch.from_numpy(vectors), torch.from_numpy(y), len(groups)))
    head.known = tuple(keys for keys, _ in groups.values())
    net.head, old = head, _weights_of(folder)

    def both(new: str) -> None:
        _write(folder, {old: before, new: head.known}, scratch)

    save_model(folder, net, settings, tuple(groups), scratch=scratch, before_switch=both)
    save_gallery(folder, net, scratch=scratch)


def _head(net: Net) -> GalleryHead:
    if not isinstance(net.head, GalleryHead):
        raise UsageError(
            "this run has no gallery: it answers with the classes it was trained on",
            "train one that has: baseline train --preset triplet",
        )
    return net.head


def _weights_of(folder: Path) -> str:
    described = json.loads((folder / SETTINGS).read_text("utf-8"))
    return str(described["weights_sha256"])


def _read(folder: Path) -> dict[str, Any]:
    path = folder / GALLERY
    try:
        known = json.loads(path.read_text("utf-8"))["known"]
    except FileNotFoundError as error:
        raise InputUnusable(
            f"the run {folder.name} has no gallery: it answers with the classes it was trained on",
            "train one that has: baseline train --preset triplet",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputUnusable(
            f"{path} cannot be read: {error}", "train again: baseline train --preset triplet"
        ) from error
    return dict(known)


def _write(folder: Path, known: dict[str, Known], scratch: Path | None) -> None:
    text = json.dumps({"known": known}, ensure_ascii=False, indent=1)
    write_atomic(folder / GALLERY, text.encode(), scratch=scratch)

"""Accuracy of parts of a split: by the kind of source, and by who gave the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import numpy as np

from baseline.evaluation.intervals import group_numbers, share_interval
from baseline.evaluation.outputs import Outputs
from gleanset.binomial import Interval
from gleanset.records import Origin

SCREENSHOT, ILLUSTRATION, PHOTO, OTHER = "screenshot", "illustration", "photo", "other"
PERSON, BULK = "checked by a person", "accepted in bulk"
_KINDS = {"pixiv": ILLUSTRATION, "flickr": PHOTO, "bing": PHOTO, "google": PHOTO}
_DRAWN = ("pixiv", "booru", "deviantart", "artstation", "zerochan", "e621", "konachan", "yande")
"""Words in the hosts of sites where people show drawings."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One part: how many pictures, and the share right with its 95 % interval, if any."""

    name: str
    count: int
    accuracy: float
    interval: Interval | None

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self) | {"interval": self.interval and list(self.interval)}


def slices(
    outputs: Outputs, names: Mapping[str, str], moments: Mapping[str, str]
) -> tuple[Slice, ...]:
    """One slice for each name that `names` gives to the keys, the largest first."""
    right = outputs.logits.argmax(1) == outputs.y
    named = np.array([names.get(key, OTHER) for key in outputs.keys], dtype=np.str_)
    found = []
    for name in dict.fromkeys(named.tolist()):
        at = np.flatnonzero(named == name)
        groups = group_numbers([moments[outputs.keys[i]] for i in at])
        interval = share_interval(right[at], groups) if groups.any() else None
        found.append(Slice(name, len(at), float(right[at].mean()), interval))
    return tuple(sorted(found, key=lambda part: (-part.count, part.name)))


def kind_of(origins: Sequence[Origin]) -> str:
    """Screenshot, illustration, photo or other.

    A frame of a video is a screenshot wherever else it was found; what a web search found is
    called a photo unless the same picture came from a site of drawings, too.
    """
    kinds = {_kind(origin) for origin in origins}
    return next((kind for kind in (SCREENSHOT, ILLUSTRATION, PHOTO) if kind in kinds), OTHER)


def _kind(origin: Origin) -> str:
    if origin.video is not None:
        return SCREENSHOT
    hosts = [_host(address) for address in (origin.url, origin.page_url) if address]
    if any(word in host for host in hosts for word in _DRAWN):
        return ILLUSTRATION
    return _KINDS.get(origin.source, OTHER)


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""

"""Validated specification of a split: shares, held-out sources and videos."""

import re
from fractions import Fraction
from math import lcm
from typing import NamedTuple, Self

import msgspec

from gleanset.db.samples import SplitEvidence
from gleanset.errors import UsageError
from gleanset.settings import SplitSettings

MAX_LISTED_NAMES = 20
MIN_HASH_LENGTH = 8
"""Letters of a video's SHA-256 that name it; fewer may be a part of its title."""


class HeldOut(NamedTuple):
    """A source or a video that is the test split, with all others that are held out."""

    kind: str
    name: str


class SplitSpec(NamedTuple):
    """Validated specification of a split.

    Each class is divided by `shares` (of train, val and test). Test is exactly `hold_out`, if there
    is any. `settings` are those that were validated, in a form that is the same for equal splits.
    """

    shares: tuple[Fraction, ...]
    settings: SplitSettings
    hold_out: tuple[HeldOut, ...] = ()

    @classmethod
    def from_settings(cls, settings: SplitSettings) -> Self:
        """Validate settings. Raises `UsageError`."""
        # Sorted, so that equal settings are the same.
        names = sorted(set(settings.hold_out))
        hold_out = tuple(_parse_hold_out(name) for name in names)

        shares = parse_ratio(settings.ratio)
        # In lowest terms, so that 80:10:10 and 0.8:0.1:0.1 are 8:1:1.
        unit = lcm(*(share.denominator for share in shares))
        ratio = ":".join(str(share * unit) for share in shares)

        # Test is what is held out, so the ratio only divides the rest into train and val.
        if hold_out:
            train, val, _ = shares
            shares = train / (train + val), val / (train + val), Fraction(0)
            if settings.test_per_class is not None:
                raise UsageError(
                    "test cannot be both what is held out and a number of images per class",
                    "use either --hold-out or --test-per-class",
                )

        return cls(
            shares,
            msgspec.structs.replace(settings, ratio=ratio, hold_out=tuple(names)),
            hold_out,
        )


def parse_ratio(text: str) -> tuple[Fraction, ...]:
    """Parse '8:1:1' as fractions of train, val and test. Raises `UsageError`."""
    numbers = text.split(":")
    # Fraction also takes 1/3, 1e3 and -1.
    are_valid = all(re.fullmatch(r"\d+(\.\d+)?", number) for number in numbers)
    parts = list(map(Fraction, numbers)) if are_valid else []
    if len(parts) != 3 or parts[0] <= 0:
        fix = "for example: 8:1:1"
        if len(parts) == 2:
            fix = f"for train and test without val: {numbers[0]}:0:{numbers[1]}"
        raise UsageError(f"{text!r} is not a ratio of train, val and test", fix)

    return tuple(part / sum(parts) for part in parts)


def _parse_hold_out(text: str) -> HeldOut:
    """Parse `source=NAME` or `video=NAME`. Raises `UsageError`."""
    kind, _, name = text.partition("=")
    if kind not in ("source", "video") or not name:
        raise UsageError(
            f"{text!r} cannot be held out",
            "for example: source=pixiv or video=episode-06.mkv",
        )
    return HeldOut(kind, name)


def resolve_held_out(spec: SplitSpec, evidence: SplitEvidence) -> SplitSpec:
    """Replace video names by content hashes. Raises `UsageError` for unknown names."""
    videos = evidence.list_videos()
    sources = evidence.list_sources()
    hold_out = []
    for kind, name in spec.hold_out:
        if kind == "source":
            choices = sources
            matches = [source for source in sources if source == name]
        else:
            choices = sorted(videos.values())
            matches = [
                sha256
                for sha256, title in videos.items()
                if _is_video_name(name, title, sha256)
            ]

        if not matches:
            raise UsageError(
                f"there is no {kind} {name!r} in this dataset",
                f"known: {', '.join(choices[:MAX_LISTED_NAMES]) or 'none'}",
            )
        hold_out += [HeldOut(kind, match) for match in matches]
    return spec._replace(hold_out=tuple(hold_out))


def _is_video_name(name: str, title: str, sha256: str) -> bool:
    """Return whether a name is the title of a video, or the beginning of its hash."""
    if name in (title, title.rpartition(".")[0]):
        return True
    return len(name) >= MIN_HASH_LENGTH and sha256.startswith(name)

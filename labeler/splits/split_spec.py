"""Validated specification of a split: shares, held-out sources and videos; what follows it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import NamedTuple

from gleanset import Dataset
from gleanset.errors import UsageError
from gleanset.settings import SplitSettings
from gleanset.terminal import format_table, get_line_width

MAX_TABLE_ROWS = 12
"""Classes in a printed table."""

_INDENT = 2


def class_table(
    heads: Sequence[str], rows: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Return the lines of a table with a row for each of the first classes."""
    first_rows = [*rows.items()][:MAX_TABLE_ROWS]
    cells = [[name, *(f"{row[head]:g}" for head in heads)] for name, row in first_rows]
    lines = format_table([["class", *heads], *cells], get_line_width() - _INDENT)
    others = len(rows) - len(first_rows)
    return [*lines, f"and {others} more: see --json"] if others else lines


def suggest_training_command(dataset: Dataset) -> str:
    """Return the command that trains a model, with the preset of the latest run if there is one."""
    latest_run = dataset.runs.get_latest("baseline")
    preset = (latest_run.settings if latest_run else {}).get("preset", "transfer")
    return f"baseline train --preset {preset} {dataset.option}"


class SplitSpec(NamedTuple):
    """Validated specification of a split.

    Each class is divided by `shares` (of train, val and test). Test is exactly `hold_out`, pairs of
    "source" or "video" and a name, if there are any. Otherwise `test_per_class` is the number of
    test images of each class, unless that is a share. `settings` are all settings as `key=value`
    words.
    """

    shares: tuple[Fraction, ...]
    hold_out: tuple[tuple[str, str], ...] = ()
    seed: int = 0
    settings: str = ""
    test_per_class: int | None = None

    @classmethod
    def from_settings(cls, settings: SplitSettings) -> SplitSpec:
        """Validate settings. Raises `UsageError`."""
        hold_out = tuple(sorted({_parse_hold_out(text) for text in settings.hold_out}))
        shares = parse_ratio(settings.ratio)
        # In lowest terms, so that 80:10:10 and 0.8:0.1:0.1 are 8:1:1.
        unit = lcm(*(share.denominator for share in shares))
        ratio = ":".join(str(share * unit) for share in shares)
        if hold_out:
            train, val, _ = shares
            shares = train / (train + val), val / (train + val), Fraction(0)
        words = [f"ratio={ratio}", f"seed={settings.seed}"]
        words += [shlex.quote(f"hold-out={kind}={name}") for kind, name in hold_out]
        per_class = settings.test_per_class
        if per_class is not None:
            if hold_out:
                raise UsageError(
                    "test cannot be both what is held out and a number of images per class",
                    "use either --hold-out or --test-per-class",
                )
            words.append(f"test-per-class={per_class}")
        return cls(shares, hold_out, settings.seed, " ".join(words), per_class)


def parse_ratio(text: str) -> tuple[Fraction, ...]:
    """Parse '8:1:1' as fractions of train, val and test. Raises `UsageError`."""
    parts = [
        Fraction(part) for part in text.split(":") if re.fullmatch(r"\d+(\.\d+)?", part)
    ]
    if len(parts) != 3 or text.count(":") != 2 or parts[0] <= 0:
        fix = "for example: 8:1:1"
        if len(parts) == 2 and text.count(":") == 1:
            train, test = text.split(":")
            fix = f"for train and test without val: {train}:0:{test}"
        raise UsageError(f"{text!r} is not a ratio of train, val and test", fix)
    return tuple(part / sum(parts) for part in parts)


def _parse_hold_out(text: str) -> tuple[str, str]:
    kind, sign, name = text.partition("=")
    if kind not in ("source", "video") or not sign or not name:
        raise UsageError(
            f"{text!r} cannot be held out",
            "for example: source=pixiv or video=episode-06.mkv",
        )
    return kind, name

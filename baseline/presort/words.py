"""What `baseline presort` tells a person at its end: what is proposed, how surely, what is next.

All figures are in `--json`, and the proposals themselves in `gleanset list proposals`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from curation.by_hand import STACKS, by_hand, window_here
from gleanset import Dataset
from gleanset.db.proposals import proposed_samples
from gleanset.html.words import count

SURE = 0.95
"""The confidence from which `labeler accept proposals` takes a proposal, where nothing is said."""
SHOWN = 8
"""Letters of a sample's id that are shown."""
DOUBTFUL = 0.5
"""Below it a proposal is wrong more likely than right."""


def presort_words(dataset: Dataset, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `figures` of a presort as lines for a person."""
    waiting = dataset.samples.counts("status", "kept").get(("queue", "kept"), 0)
    sure = [one.proposals[0].confidence for one in proposed_samples(dataset.db) if one.waits]
    lines = {"looked at": _looked_at(figures, waiting)}
    if "classes" in figures:
        lines |= _proposed(figures, sure, waiting)
    else:
        lines["proposals"] = (
            f"none: that takes two classes with labels; {count(figures['clusters'], 'stack')} of "
            "look-alikes were put together, to be named at once: labeler label NAME --stack ID"
        )
    if asked := figures.get("label_next"):
        lines["label next"] = " ".join(key[:SHOWN] for key in asked)
    return lines | {"next": _next(dataset, sure, waiting, "classes" in figures)}


def _looked_at(figures: Mapping[str, Any], waiting: int) -> str:
    """Say how many samples there are, and which of them wait."""
    words = (
        f"{count(figures['samples'], 'sample')}, {figures['labelled']:,} of them with a label; "
        f"{waiting:,} {'waits' if waiting == 1 else 'wait'} for one"
    )
    unread = figures.get("unreadable", 0)
    return words + (f"; {count(unread, 'picture')} could not be read" if unread else "")


def _proposed(figures: Mapping[str, Any], sure: Sequence[float], waiting: int) -> dict[str, str]:
    """Say what is proposed for the samples that wait; `sure` has the confidence of each."""
    lines = {}
    if figures["held_out"]:
        lines["tried"] = (
            f"{100 * figures['accuracy']:.1f} % right on {count(figures['held_out'], 'sample')} "
            "with a label, none of them learnt by who answered"
        )
    if not waiting:
        return lines | {"proposals": "none: nothing waits for a label"}
    lines["proposals"] = (
        f"for {len(sure):,} of {waiting:,}, about {_wrong(sure):.0f} of them wrong if "
        f"{_all_known(figures)}"
    )
    if taken := [one for one in sure if one >= SURE]:
        lines["sure"] = (
            f"{len(taken):,} at {100 * SURE:.0f} % or more, about {_wrong(taken):.1f} of them "
            "wrong, if so"
        )
    if doubtful := sum(one < DOUBTFUL for one in sure):
        lines["likely wrong"] = f"{doubtful:,} below {100 * DOUBTFUL:.0f} %"
    return lines | {"unknown": _unknown(figures["of_no_class_at_most"], sure)}


def _wrong(sure: Sequence[float]) -> float:
    """Return how many proposals of such confidences are expected to be wrong."""
    return sum(1 - one for one in sure)


def _all_known(figures: Mapping[str, Any]) -> str:
    """Name the condition under which confidences hold: nobody is of a class that was not met."""
    classes = figures["classes"]
    words = "all are of this class" if classes == 1 else f"all are of these {classes:,} classes"
    return f"{words} or like what was rejected" if figures["rejected"] else words


def _unknown(share: float | None, sure: Sequence[float]) -> str:
    """Say how many are wrong with those of no class, of whom there is at most this share.

    Nothing is known of them where nothing was rejected: who labels may have left them out.
    """
    if share is None:
        return "how many are of no class, for nothing was rejected so far; they are wrong besides"
    return (
        f"how many are of no class; at most {wrong_at_most(share, sure):,} are wrong with them, if "
        "they are as frequent as in what was decided"
    )


def wrong_at_most(share: float, sure: Sequence[float]) -> int:
    """Return how many of the proposals are wrong at most where this share is of no class."""
    return math.ceil(_wrong(sure) + share * (len(sure) - _wrong(sure)))


def _next(dataset: Dataset, sure: Sequence[float], waiting: int, learnt: bool) -> list[str]:
    """Return the commands that go on from here."""
    found = [by_hand(dataset)] if waiting else []
    if waiting and window_here() and not learnt:
        found.append(f"{STACKS} {dataset.option}")
    if any(one >= SURE for one in sure):
        found.append(f"labeler accept proposals --above {SURE:g} {dataset.option}")
    return [line for line in found if line] or [f"gleanset status {dataset.option}"]

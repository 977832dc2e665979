"""Why a class is proposed for a sample: what each source says of it, for a person to read."""

from __future__ import annotations

from typing import NamedTuple

from gleanset.db.changes import Changes
from gleanset.db.proposals import Proposals
from gleanset.db.sorting import SortingQueue
from labeler.sorting.proposals import Proposer
from labeler.sorting.session import SortingSession

NEAREST = 3
"""So many of the decided samples that are most alike are named."""


class ProposalReasons(NamedTuple):
    """What speaks for classes: (class, share) from the newest presort and of the most alike faces.

    `hint` is what a query or a folder suggests, `refused` the classes a person said it is not.
    """

    presorted: tuple[tuple[str, float], ...] = ()
    hint: str | None = None
    alike: tuple[tuple[str, float], ...] = ()
    refused: tuple[str, ...] = ()


def reasons_for(session: SortingSession, sample: int) -> ProposalReasons:
    """Return what is known of a sample (row); nothing of one that is gone."""
    queue = SortingQueue(session.dataset.db)
    found = queue.of([sample])
    if not found:
        return ProposalReasons()
    one = found[0]
    presorted_sample = Proposals(session.dataset.db).of([one.key]).get(one.key)
    refused = Changes(session.dataset.db).refused([sample]).get(sample, frozenset())
    return ProposalReasons(
        tuple(map(tuple, presorted_sample.proposals)) if presorted_sample else (),  # type: ignore[arg-type]
        one.hint,
        tuple(
            (session.classes.name_of(other.label or 0), alike)
            for other, alike in Proposer(session).nearest(sample, NEAREST)
        ),
        tuple(sorted(session.classes.name_of(row) for row in refused)),
    )

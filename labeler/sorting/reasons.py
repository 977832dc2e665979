"""Why a class is proposed for a sample: what each source says of it, for a person to read."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gleanset.db.changes import Changes
from gleanset.db.proposals import Proposals
from gleanset.db.sorting import SortingQueue
from labeler.likeness import Likeness
from labeler.sorting.session import SortingSession

EACH, NEAREST = 40, 3
"""So many decided samples of each class are compared, and so many named."""


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
    standing = Proposals(session.dataset.db).of([one.key]).get(one.key)
    refused = Changes(session.dataset.db).refused([sample]).get(sample, frozenset())
    return ProposalReasons(
        tuple(map(tuple, standing.proposals)) if standing else (),  # type: ignore[arg-type]
        one.hint,
        _most_alike(session, queue, sample),
        tuple(sorted(session.classes.name_of(row) for row in refused)),
    )


def _most_alike(
    session: SortingSession, queue: SortingQueue, sample: int
) -> tuple[tuple[str, float], ...]:
    """Return the classes of the decided samples that look most like one, with their likeness."""
    classes = [row.id for row in session.tiles.counts().classes]
    decided = [one for one in queue.of(queue.decided(classes, EACH)) if one.id != sample]
    own = queue.of([sample])
    space = Likeness(session.dataset).space([*own, *decided])
    (vector, there), (others, known) = space(own), space(decided)
    if not there.any() or not known.any():
        return ()
    alike = np.where(known, others @ vector[0], -np.inf)
    best = [int(number) for number in np.argsort(-alike)[:NEAREST] if known[number]]
    return tuple(
        (session.classes.name_of(decided[number].label or 0), float(alike[number]))
        for number in best
    )

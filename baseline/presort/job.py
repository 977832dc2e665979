"""`baseline presort` on a dataset: features, proposals, and the rows that the labeler reads."""

from __future__ import annotations

import time
from contextlib import ExitStack

from baseline.presort.presorter import Presorter
from baseline.presort.requests import STAGE, PresortRequests, is_followed
from baseline.settings import Settings
from gleanset import Dataset
from gleanset.errors import DatasetBusy
from gleanset.work.progress import Progress


def presort(
    dataset: Dataset, settings: Settings, progress: Progress | None = None
) -> dict[str, object]:
    """Propose classes for all samples of a dataset and keep them; return the figures.

    `settings` are those of a transfer preset: its backbone, weights, size and seed are used. Where
    a window learns on the dataset, what learns for it does the work.
    Raises `InputUnusable` where there is no sample, and what features raise.
    """
    progress = progress or Progress()
    presorter = Presorter(dataset, settings)
    dataset.db.refuse_if_read_only()
    while True:
        if is_followed(dataset.cache):
            progress.say("this dataset is learnt on already: that is asked")
            if (figures := PresortRequests(dataset.cache).ask(settings)) is not None:
                return figures
        with ExitStack() as held:
            try:
                held.enter_context(dataset.stage(STAGE))
            except DatasetBusy:
                if not is_followed(dataset.cache):
                    raise
            else:
                return _presorted(presorter, progress)


def _presorted(presorter: Presorter, progress: Progress) -> dict[str, object]:
    started = time.monotonic()
    if new := presorter.new_samples():
        presorter.take_in(new, progress)
    seen = time.monotonic()
    figures = presorter.solve(progress)
    times = {"features": round(seen - started, 2), "sorting": round(time.monotonic() - seen, 2)}
    return {**figures, "seconds": times}

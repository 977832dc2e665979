"""Which detector a dataset keeps where nobody names one, and which pictures need no new search.

A later version may have a better default, and other weights for the same detector. Pictures that
were searched keep their faces all the same, and new ones are searched as they were, until a
detector is named for the command.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from facecrop.detectors import DetectorSpec
from facecrop.detectors.options import RecordedDetector
from gleanset.db.faces import WHOLE
from gleanset.db.rows import Search
from gleanset.db.statistics import ScanCount


def detector_so_far(searches: Iterable[ScanCount]) -> RecordedDetector | None:
    """Return what most pictures were searched by, but for those taken whole where faces were found.

    None where nothing was searched. Raises `UsageError` for a detector that is not here.
    """
    images: Counter[Search] = Counter()
    for search in searches:
        images[search.detector, search.settings] += search.images
    ranked = sorted(images, key=lambda search: (search[0] == WHOLE, -images[search], search))
    return RecordedDetector.of(*ranked[0]) if ranked else None


def asked_the_same(spec: DetectorSpec, searches: Iterable[ScanCount]) -> set[Search]:
    """Return the searches by that detector with these settings, in whatever version."""
    wanted = RecordedDetector.of(spec.name, spec.recorded)
    return {
        (search.detector, search.settings)
        for search in searches
        if search.detector == spec.name
        and RecordedDetector.of(search.detector, search.settings).asks_as(wanted)
    }

"""The detector of earlier searches, which `auto` uses again.

A later version may have a better default detector, or new weights for the same one. Searched images
keep their faces until the user names a detector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from facecrop.detectors import DetectorSpec
from facecrop.detectors.recorded import RecordedDetector
from gleanset.db.faces import WHOLE
from gleanset.db.rows import Search
from gleanset.db.statistics import ScanCount


def recorded_detector(searches: Iterable[ScanCount]) -> RecordedDetector | None:
    """Return the detector of most images (`whole` last); None without searches.

    Raises `UsageError` for a detector that is not installed.
    """
    images: Counter[Search] = Counter()
    for search in searches:
        images[search.detector, search.settings] += search.images
    ranked = sorted(images, key=lambda search: (search[0] == WHOLE, -images[search], search))
    return RecordedDetector.from_text(*ranked[0]) if ranked else None


def find_same_searches(spec: DetectorSpec, searches: Iterable[ScanCount]) -> set[Search]:
    """Return searches with the same detector and settings, of any version."""
    requested = RecordedDetector.from_text(spec.name, spec.recorded)
    return {
        (search.detector, search.settings)
        for search in searches
        if search.detector == spec.name
        and RecordedDetector.from_text(search.detector, search.settings).is_same_request(requested)
    }

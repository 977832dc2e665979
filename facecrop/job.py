"""Searching all images of a dataset for faces, in processes, and cutting them out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from PIL import Image

from facecrop.detectors import DetectorSpec
from gleanset import Dataset
from gleanset.errors import Unreadable
from gleanset.files.atomic import write_atomic
from gleanset.files.store import Store
from gleanset.images.cut import cut, encode, sample_key, with_margin
from gleanset.images.decode import decode
from gleanset.images.measure import look
from gleanset.records import Box, Cut, Face, Rejection
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress

STAGE = "facecrop"
GONE = "file is gone"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker needs: small and picklable. `margin` is relative to the face box."""

    detector: DetectorSpec
    margin: float
    originals: Store
    crops: Store

    def __call__(self, item: tuple[str, str]) -> list[Cut]:
        """Find the faces of the image (hash, format), write their crops, and return them.

        Raises `Unreadable` when the stored file is gone or cannot be decoded.
        """
        sha256, kind = item
        try:
            data = self.originals.path(sha256, kind).read_bytes()
        except OSError as error:
            raise Unreadable(GONE, str(error)) from error
        picture = decode(data)
        faces = self.detector.build().detect(np.asarray(picture.pixels))
        return [self._cut(sha256, picture.pixels, face) for face in faces]

    def _cut(self, sha256: str, pixels: Image.Image, face: Face) -> Cut:
        box = with_margin(face.box, self.margin, *pixels.size)
        key = sample_key(sha256, face.box)
        part = cut(pixels, box)
        path = self.crops.path(key, "JPEG")
        if box == Box(0, 0, *pixels.size):
            # The original is the crop; one of an earlier, smaller margin would be read for it.
            path.unlink(missing_ok=True)
        else:
            write_atomic(path, encode(part), scratch=self.crops.scratch)
        return Cut(face, key, box, *look(part))


def find_faces(
    dataset: Dataset, spec: DetectorSpec, margin: float, *, workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, object]:  # fmt: skip
    """Search every image not yet searched with these settings; the counts of what was found."""
    settings = scan_settings(spec, margin)
    tally: Counter[str] = Counter(images=0, faces=0, without_face=0, rejected=0)
    with dataset.stage(STAGE) as scratch:
        plan = Plan(spec, margin, dataset.originals(scratch), dataset.crops(scratch))
        items = dataset.images.unscanned(spec.name, settings)
        outcomes = run_over(plan, items, Processes(workers))
        total = dataset.images.count_unscanned(spec.name, settings)
        for outcome in (progress or Progress()).over(outcomes, "faces", total=total):
            sha256, cuts = outcome.item[0], outcome.result
            tally["images"] += 1
            if cuts is None:
                why = Rejection(STAGE, sha256, outcome.reason or "?", outcome.detail)
                _reject(dataset, spec, settings, why)
                tally["rejected"] += 1
                continue
            with dataset.db.write():
                dataset.faces.record(sha256, spec.name, settings, cuts)
                dataset.rejections.clear(STAGE, sha256)
            tally["faces"] += len(cuts)
            tally["without_face"] += not cuts
    return dict(tally)


def _reject(dataset: Dataset, spec: DetectorSpec, settings: str, why: Rejection) -> None:
    if why.reason == GONE:
        # It may be put back: its samples stay, and the next run tries again.
        dataset.rejections.add(why)
    else:
        dataset.faces.failed(why.what, spec.name, settings, why)


def scan_settings(spec: DetectorSpec, margin: float) -> str:
    """Detector and cut settings in one canonical spelling: when it changes, look again."""
    return f"{spec.build().settings} margin={margin:g}".strip()

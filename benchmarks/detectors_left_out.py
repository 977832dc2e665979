"""Detectors on annotated images; the threshold for each series is chosen on the other series.

    python benchmarks/detectors_left_out.py --faces DIR --photos DIR [DETECTOR...]

`DIR/faces.json` has the annotated images (format: docs/detectors.md); the series is the part of a
file's name before the first `_`. For each series, the benchmark takes the lowest threshold with a
precision of at least .9, .93 or .95 on the others. It prints recall and precision at these
thresholds and at the detector's default, by center and by intersection over union of 0.3 and 0.5,
false positives on photos of cats and dogs, and the CPU time per image with one thread, which
increases if the machine is busy.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from annotated_faces import CRITERIA, AnnotatedImage, match_faces, read_annotations, sum_tallies

from facecrop.detectors import Detector
from facecrop.detectors.options import parse_detector
from gleanset.images.decode import decode
from gleanset.records import Face

PRECISIONS = (0.9, 0.93, 0.95)
LEAST = 0.15
"""Minimum score of detections that are considered."""

Searched = list[tuple[AnnotatedImage, list[Face]]]


def detect_all(detector: Detector, pictures: Sequence[AnnotatedImage]) -> tuple[Searched, float]:
    """Return the faces in all images, and mean CPU milliseconds."""
    every: Searched = []
    spent = 0.0
    for picture in pictures:
        pixels = np.asarray(decode(picture.path.read_bytes()).pixels)
        begun = time.process_time()
        every.append((picture, detector.detect(pixels)))
        spent += time.process_time() - begun
    return every, 1000 * spent / max(len(pictures), 1)


def choose_threshold(every: Searched, precision: float) -> float:
    """Return the lowest score threshold with at least this precision."""
    hits: Counter[float] = Counter()
    boxes: Counter[float] = Counter(face.score for _, faces in every for face in faces)
    for picture, faces in every:
        wrong = match_faces(faces, picture.boxes, CRITERIA[-1]).false_alarms
        hits.update(face.score for face in faces if face not in wrong)
    lowest, right, all_of_them = 1.0, 0, 0
    for score in sorted(boxes, reverse=True):
        right, all_of_them = right + hits[score], all_of_them + boxes[score]
        if right >= precision * all_of_them:
            lowest = score
    return lowest


def format_row(title: str, every: Searched, least: dict[str, float]) -> str:
    """Format recall and precision by criterion, and hits/false positives by series."""
    words = [title]
    for criterion in CRITERIA:
        tallies = defaultdict(list)
        for picture, faces in every:
            sure = [face for face in faces if face.score >= least[picture.kind]]
            tallies[picture.kind].append(match_faces(sure, picture.boxes, criterion))
        total = sum_tallies(tally for some in tallies.values() for tally in some)
        words.append(f"{criterion.name}: {total.recall:.3f} at {total.precision:.3f}")
    parts = {kind: sum_tallies(some) for kind, some in tallies.items()}
    return "  ".join([*words, *(f"{k} {one.hits}/{one.false}" for k, one in parts.items())])


def main() -> None:
    """Detect once with a low threshold, then evaluate."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--faces", type=Path, required=True)
    options.add_argument("--photos", type=Path, required=True)
    options.add_argument("--cascade")
    options.add_argument("detectors", nargs="*", default=["drawnface", "animeface"])
    arguments = options.parse_args()
    cv2.setNumThreads(1)
    pictures = read_annotations(arguments.faces / "faces.json")
    kinds = {picture.kind for picture in pictures}
    files = sorted(
        file for pet in ("cat", "dog") for file in (arguments.photos / pet).glob("*.jpg")
    )
    for name in arguments.detectors:
        usual = parse_detector(name, (), arguments.cascade).build()
        own = float(dict(word.split("=") for word in usual.settings.split())["threshold"])
        low = min(own, LEAST) if usual.name == "drawnface" else own
        detector = parse_detector(name, (), arguments.cascade, threshold=low).build()
        every, milliseconds = detect_all(detector, pictures)
        photographs, _ = detect_all(usual, [AnnotatedImage(file, "photo", []) for file in files])
        alarms = sum(len(found) for _, found in photographs)
        for precision in PRECISIONS:
            chosen = {}
            for kind in kinds:
                others = [searched for searched in every if searched[0].kind != kind]
                chosen[kind] = choose_threshold(others, precision)
            print(format_row(f"{name}, left out, {precision:g}:", every, chosen))
        print(format_row(f"{name}, from {own:g}:", every, dict.fromkeys(kinds, own)))
        print(
            f"  {alarms} boxes on {len(files)} photographs, {milliseconds:.1f} CPU ms", flush=True
        )


if __name__ == "__main__":
    main()

"""Detectors on annotated images; the threshold for each series is chosen on the other series.

    python benchmarks/detectors_leave_one_out.py --faces DIR --photos DIR [DETECTOR...]

`DIR/faces.json` has the annotated images (format: docs/detectors.md); the series is the part of a
file's name before the first `_`. For each series, the benchmark takes the lowest threshold with a
precision of at least .9, .93 or .95 on the others. It prints recall and precision at these
thresholds and at the detector's default, by center and by intersection over union of 0.3 and 0.5,
false positives on photos of cats and dogs, and the CPU time per image with one thread, which
increases if the machine is busy.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from annotated_faces import (
    CRITERIA,
    AnnotatedImage,
    match_faces,
    read_annotations,
    sum_tallies,
)

from facecrop.detectors import Detector
from facecrop.detectors.options import parse_detector
from gleanset.images.decode import decode
from gleanset.records import Face

PRECISIONS = (0.9, 0.93, 0.95)
MIN_SCORE = 0.15
"""Minimum score of detections that are considered."""

Detections = list[tuple[AnnotatedImage, list[Face]]]


def detect_all(
    detector: Detector, images: Sequence[AnnotatedImage]
) -> tuple[Detections, float]:
    """Return the faces in all images, and mean CPU milliseconds."""
    detections: Detections = []
    seconds = 0.0
    for image in images:
        pixels = np.asarray(decode(image.path.read_bytes()).pixels)
        start = time.process_time()
        detections.append((image, detector.detect(pixels)))
        seconds += time.process_time() - start
    return detections, 1000 * seconds / max(len(images), 1)


def choose_threshold(detections: Detections, precision: float) -> float:
    """Return the lowest score threshold with at least this precision."""
    hits: Counter[float] = Counter()
    boxes: Counter[float] = Counter(
        face.score for _, faces in detections for face in faces
    )
    for image, faces in detections:
        wrong = match_faces(faces, image.boxes, CRITERIA[-1]).false_positives
        hits.update(face.score for face in faces if face not in wrong)
    threshold = 1.0
    hit_count = 0
    box_count = 0
    for score in sorted(boxes, reverse=True):
        hit_count = hit_count + hits[score]
        box_count = box_count + boxes[score]
        if hit_count >= precision * box_count:
            threshold = score
    return threshold


def format_row(title: str, detections: Detections, thresholds: dict[str, float]) -> str:
    """Format recall and precision by criterion, and hits/false positives by series."""
    cells = [title]
    for criterion in CRITERIA:
        tallies = defaultdict(list)
        for image, faces in detections:
            confident = [face for face in faces if face.score >= thresholds[image.kind]]
            tallies[image.kind].append(match_faces(confident, image.boxes, criterion))
        series = {kind: sum_tallies(each) for kind, each in tallies.items()}
        total = sum_tallies(series.values())
        cells.append(f"{criterion.name}: {total.recall:.3f} at {total.precision:.3f}")
    cells += [f"{kind} {t.hits}/{len(t.false_positives)}" for kind, t in series.items()]
    return "  ".join(cells)


def main() -> None:
    """Detect once with a low threshold, then evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("detectors", nargs="*", default=["drawnface", "animeface"])
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    images = read_annotations(arguments.faces / "faces.json")
    kinds = {image.kind for image in images}
    files = sorted(
        file
        for pet in ("cat", "dog")
        for file in (arguments.photos / pet).glob("*.jpg")
    )
    for name in arguments.detectors:
        usual = parse_detector(name).build()
        default = float(
            dict(word.split("=") for word in usual.settings.split())["threshold"]
        )
        low = min(default, MIN_SCORE) if usual.name == "drawnface" else default
        detector = parse_detector(name, threshold=low).build()
        detections, milliseconds = detect_all(detector, images)
        photos, _ = detect_all(
            usual, [AnnotatedImage(file, [], "photo") for file in files]
        )
        false_positives = sum(len(faces) for _, faces in photos)
        for precision in PRECISIONS:
            thresholds = {}
            for kind in kinds:
                others = [
                    (image, faces) for image, faces in detections if image.kind != kind
                ]
                thresholds[kind] = choose_threshold(others, precision)
            print(
                format_row(f"{name}, left out, {precision:g}:", detections, thresholds)
            )
        thresholds = dict.fromkeys(kinds, default)
        print(format_row(f"{name}, default {default:g}:", detections, thresholds))
        count = f"{false_positives} false positives on {len(files)} photos"
        print(f"  {count}, {milliseconds:.1f} CPU ms", flush=True)


if __name__ == "__main__":
    main()

"""Evaluate an exported model on drawn scenes in styles not used for training.

    python tools/drawn_faces/judge.py --model FILE.onnx --scenes DIR [DIR ...]

Prints for each set of scenes F1 at several thresholds, by center and at an intersection over union
of 0.5, and the mean IoU of the boxes found at the detector's own threshold. Weights, sizes and
thresholds are chosen by this, never by annotated images.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from facecrop.detectors.drawnface import THRESHOLD, DrawnFace, FaceNetwork
from facecrop.detectors.tiling import FloatBox
from gleanset.records import Face, overlap

THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
MIN_SIDE = 12
"""Pixels; smaller faces are ignored."""


def count_hits(
    detections: list[Face], truth: list[list[float]], by_centre: bool
) -> tuple[list[float], int, int]:
    """Return IoUs of hits, and count false positives and faces; ignored boxes count as neither."""
    unmatched, ignored, hits, false = [], [], [], 0
    for x0, y0, x1, y1, face in truth:
        is_ignored = not face or min(x1 - x0, y1 - y0) < MIN_SIDE
        (ignored if is_ignored else unmatched).append(FloatBox(x0, y0, x1 - x0, y1 - y0))
    faces = len(unmatched)
    for box in (detection.box for detection in detections):
        match = next((one for one in unmatched if _matches(box, one, by_centre)), None)
        if match is not None:
            unmatched.remove(match)
            hits.append(overlap(box, match))
        elif not any(overlap(box, one) > 0.1 for one in ignored):
            false += 1
    return hits, false, faces


def _matches(box: FloatBox, face: FloatBox, by_centre: bool) -> bool:
    if not by_centre:
        return overlap(box, face) >= 0.5
    x, y = box.x + box.width / 2, box.y + box.height / 2
    return face.x <= x <= face.x + face.width and face.y <= y <= face.y + face.height


def main() -> None:
    """Print a line for each set and criterion, with all thresholds."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", type=Path, required=True)
    options.add_argument("--scenes", type=Path, nargs="+", required=True)
    arguments = options.parse_args()
    network = FaceNetwork(arguments.model)
    FaceNetwork.loaded = staticmethod(lambda: network)
    detector = DrawnFace(THRESHOLDS[0])
    for folder in arguments.scenes:
        pictures = np.load(folder / "pictures.npy", mmap_mode="r")
        boxes = json.loads((folder / "boxes.json").read_text())
        all_detections = [detector.detect(np.asarray(picture)) for picture in pictures]
        for by_centre in (True, False):
            line = []
            for least in THRESHOLDS:
                overlaps, all_false, all_faces = [], 0, 0
                for detections, truth in zip(all_detections, boxes, strict=True):
                    confident = [face for face in detections if face.score >= least]
                    hits, false, faces = count_hits(confident, truth, by_centre)
                    overlaps += hits
                    all_false, all_faces = all_false + false, all_faces + faces
                found = len(overlaps)
                f1 = 2 * found / max(all_faces + found + all_false, 1)
                line.append(f"{least:g}: {found}/{all_faces}+{all_false} {f1:.3f}")
                if least == THRESHOLD:
                    line.append(f"(IoU {np.mean(overlaps or [0]):.3f})")
            print(folder.name, "centre" if by_centre else "IoU .5", "; ".join(line), flush=True)


if __name__ == "__main__":
    main()

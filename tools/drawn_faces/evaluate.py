"""Evaluate an exported model on drawn scenes in styles not used for training.

    python tools/drawn_faces/evaluate.py --model FILE.onnx --scenes DIR [DIR ...]

Prints for each set of scenes and threshold `hits/faces+false positives F1`, by center and at an
intersection over union (IoU) of 0.5, and the mean IoU of the hits at the detector's own threshold.
Weights, sizes and thresholds are chosen by this, never by annotated images.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from facecrop.detectors.drawnface import THRESHOLD, DrawnFace, FaceNetwork
from facecrop.detectors.tiling import FloatBox
from gleanset.records import Face, overlap

THRESHOLDS = (0.2, 0.25, 0.28, 0.31, 0.34, 0.4, 0.45, 0.5)
MIN_SIDE = 12
"""Minimum side of a face in pixels; smaller faces are ignored."""


def count_hits(
    detections: list[Face], truth: list[list[float]], by_centre: bool
) -> tuple[list[float], int, int]:
    """Return IoUs of hits, and count false positives and faces; ignored boxes count as neither."""
    unmatched = []
    ignored = []
    hits = []
    false = 0
    for x0, y0, x1, y1, is_face in truth:
        is_ignored = not is_face or min(x1 - x0, y1 - y0) < MIN_SIDE
        (ignored if is_ignored else unmatched).append(
            FloatBox(x0, y0, x1 - x0, y1 - y0)
        )
    face_count = len(unmatched)
    for box in (detection.box for detection in detections):
        match = next(
            (face for face in unmatched if _matches(box, face, by_centre)), None
        )
        if match is not None:
            unmatched.remove(match)
            hits.append(overlap(box, match))
        elif not any(overlap(box, region) > 0.1 for region in ignored):
            false += 1
    return hits, false, face_count


def _matches(box: FloatBox, face: FloatBox, by_centre: bool) -> bool:
    if not by_centre:
        return overlap(box, face) >= 0.5
    x, y = box.x + box.width / 2, box.y + box.height / 2
    return face.x <= x <= face.x + face.width and face.y <= y <= face.y + face.height


def main() -> None:
    """Print a line for each set and criterion, with all thresholds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--scenes", type=Path, nargs="+", required=True)
    arguments = parser.parse_args()
    network = FaceNetwork(arguments.model)
    FaceNetwork.load = staticmethod(lambda: network)
    detector = DrawnFace(THRESHOLDS[0])
    for folder in arguments.scenes:
        images = np.load(folder / "images.npy", mmap_mode="r")
        boxes = json.loads((folder / "boxes.json").read_text())
        all_detections = [detector.detect(np.asarray(image)) for image in images]
        for by_centre in (True, False):
            cells = []
            for threshold in THRESHOLDS:
                overlaps = []
                all_false = 0
                all_faces = 0
                for detections, truth in zip(all_detections, boxes, strict=True):
                    confident = [face for face in detections if face.score >= threshold]
                    hits, false, faces = count_hits(confident, truth, by_centre)
                    overlaps += hits
                    all_false = all_false + false
                    all_faces = all_faces + faces
                hit_count = len(overlaps)
                f1 = 2 * hit_count / max(all_faces + hit_count + all_false, 1)
                cells.append(
                    f"{threshold:g}: {hit_count}/{all_faces}+{all_false} {f1:.3f}"
                )
                if threshold == THRESHOLD:
                    cells.append(f"(IoU {np.mean(overlaps or [0]):.3f})")
            print(
                folder.name,
                "centre" if by_centre else "IoU .5",
                "; ".join(cells),
                flush=True,
            )


if __name__ == "__main__":
    main()

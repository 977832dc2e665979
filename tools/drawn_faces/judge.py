"""Evaluate trained weights on drawn scenes in styles not used for training.

    python tools/drawn_faces/judge.py --net DIR/net.pt --scenes DIR [--scenes DIR]

Prints F1 for each set of scenes, by center and at an intersection over union of 0.5, at several
thresholds. Weights, sizes and thresholds are chosen by this, never by annotated images.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from network import STRIDES, FaceNet, box_corners

from facecrop.detectors.onnx import suppress_overlaps
from facecrop.detectors.tiling import FloatBox
from gleanset.records import overlap

THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)
Detections = list[tuple[FloatBox, float]]


def detect(net: FaceNet, picture: np.ndarray, least: float) -> Detections:
    """Return the detections in one image, after non-maximum suppression."""
    values = torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    with torch.no_grad():
        answers = net(values)
    boxes: Detections = []
    for stride, output in zip(STRIDES, answers, strict=True):
        scores = torch.sigmoid(output[0, 0])
        sure = scores >= least
        rows = box_corners(output, stride)[0].permute(1, 2, 0)[sure].tolist()
        for (x0, y0, x1, y1), score in zip(rows, scores[sure].tolist(), strict=True):
            boxes.append((FloatBox(x0, y0, x1 - x0, y1 - y0), score))
    return suppress_overlaps(boxes, 0.45)


def count_hits(
    detections: Detections, truth: list[list[float]], by_centre: bool
) -> tuple[int, int, int]:
    """Count hits, false positives and faces; ignored boxes count as neither."""
    faces = [
        FloatBox(x0, y0, x1 - x0, y1 - y0)
        for x0, y0, x1, y1, face in truth
        if face and min(x1 - x0, y1 - y0) >= 12
    ]
    ignored = [
        FloatBox(x0, y0, x1 - x0, y1 - y0)
        for x0, y0, x1, y1, face in truth
        if not face or min(x1 - x0, y1 - y0) < 12
    ]
    unmatched, hits, false = list(faces), 0, 0
    for box, _ in detections:
        match = next((one for one in unmatched if _matches(box, one, by_centre)), None)
        if match is not None:
            unmatched.remove(match)
            hits += 1
        elif not any(overlap(box, one) > 0.1 for one in ignored):
            false += 1
    return hits, false, len(faces)


def _matches(box: FloatBox, face: FloatBox, by_centre: bool) -> bool:
    if not by_centre:
        return overlap(box, face) >= 0.5
    x, y = box.x + box.width / 2, box.y + box.height / 2
    return face.x <= x <= face.x + face.width and face.y <= y <= face.y + face.height


def main() -> None:
    """Print a line for each set and criterion, with all thresholds."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--net", type=Path, required=True)
    options.add_argument("--scenes", type=Path, action="append", required=True)
    options.add_argument("--count", type=int, default=200)
    arguments = options.parse_args()
    torch.set_num_threads(1)
    net = FaceNet()
    net.load_state_dict(torch.load(arguments.net))
    net.eval()
    for folder in arguments.scenes:
        pictures = np.load(folder / "pictures.npy", mmap_mode="r")[: arguments.count]
        boxes = json.loads((folder / "boxes.json").read_text())
        all_detections = [detect(net, np.asarray(one), THRESHOLDS[0]) for one in pictures]
        for by_centre in (True, False):
            line = []
            for least in THRESHOLDS:
                sums = np.zeros(3, int)
                for detections, truth in zip(all_detections, boxes, strict=False):
                    sums += count_hits(
                        [one for one in detections if one[1] >= least], truth, by_centre
                    )
                hits, false, faces = (int(number) for number in sums)
                f1 = 2 * hits / max(faces + hits + false, 1)
                line.append(f"{least:g}: {hits}/{faces}+{false} {f1:.3f}")
            print(folder.name, "centre" if by_centre else "IoU .5", "; ".join(line))


if __name__ == "__main__":
    main()

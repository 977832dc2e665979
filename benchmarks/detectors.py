"""Comparison of detectors on annotated images: recall and precision, CPU time, memory.

    python benchmarks/detectors.py FILE.json [--images DIR] [DETECTOR ...]

Each detector runs alone in a process of its own, on one image at a time. Settings of a detector are
written `lbpcascade:neighbors=3,equalize=yes`. Boxes are matched by three criteria: intersection
over union of 0.5 or 0.3, or center inside the face. docs/detectors.md has the annotation format.
"""

import argparse
import resource
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from annotated_faces import CRITERIA, match_faces, read_annotations, sum_tallies

from facecrop.detector_names import DETECTORS
from facecrop.detectors import DetectorSpec
from facecrop.detectors.options import parse_detector
from gleanset.images.decode import decode
from gleanset.plugins import list_plugin_names
from gleanset.records import Face
from gleanset.work.pool import Processes, run_over


@dataclass(frozen=True, slots=True)
class TimedSearch:
    """Detection of faces on one image, in a worker process."""

    spec: DetectorSpec

    def __call__(self, path: str) -> tuple[list[Face], float, int]:
        """Return faces, CPU seconds of detection, and peak memory in bytes."""
        pixels = np.asarray(decode(Path(path).read_bytes()).pixels)
        detector = self.spec.build()
        start = time.process_time()
        faces = detector.detect(pixels)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return faces, time.process_time() - start, peak


def main() -> None:
    """Print a table for each detector."""
    detectors = [name for name in DETECTORS if name != "onnx"]  # which needs a file
    detectors += list_plugin_names("detectors", DETECTORS)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("detectors", nargs="*", default=detectors)
    arguments = parser.parse_intermixed_args()
    images = {
        str(annotation.path): annotation
        for annotation in read_annotations(arguments.truth, arguments.images)
    }
    for name in arguments.detectors:
        search = TimedSearch(parse_detector(name))
        search.spec.build()  # fails early if a component is missing
        results = {
            outcome.item: outcome.unwrap()
            for outcome in run_over(search, list(images), Processes(1))
        }
        seconds = sum(cpu for _, cpu, _ in results.values())
        memory = max(peak for _, _, peak in results.values())
        print(
            f"{name}: {1000 * seconds / len(results):.1f} CPU ms, {memory / 1e6:.0f} MB"
        )
        for criterion in CRITERIA:
            tallies = defaultdict(list)
            for path, (faces, _, _) in results.items():
                tally = match_faces(faces, images[path].boxes, criterion)
                tallies[images[path].kind].append(tally)
            every_kind = [tally for kind in tallies.values() for tally in kind]
            for kind, image_tallies in (*sorted(tallies.items()), ("all", every_kind)):
                total = sum_tallies(image_tallies)
                print(
                    f"  {criterion.name:>6} {kind:12} {total.faces:>5} faces, "
                    f"recall {total.recall:.3f}, precision {total.precision:.3f}, "
                    f"F1 {total.f1:.3f}, mean IoU {total.mean_overlap:.3f}"
                )


if __name__ == "__main__":
    main()

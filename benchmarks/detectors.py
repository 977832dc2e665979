"""Comparison of detectors on annotated images: recall and precision, CPU time, memory.

    python benchmarks/detectors.py FILE.json [--images DIR] [--cascade FILE] [DETECTOR ...]

Each detector runs alone in a process of its own, on one image at a time. Settings of a detector are
written `lbpcascade:neighbors=3,equalize=yes`. Boxes are matched by three criteria: intersection
over union of 0.5 or 0.3, or center inside the face. docs/detectors.md has the annotation format.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from annotated_faces import CRITERIA, match_faces, read_annotations, sum_tallies

from facecrop.detectors import DetectorSpec
from facecrop.detectors.options import parse_detector, searching_detector_names
from gleanset.images.decode import decode
from gleanset.records import Face
from gleanset.work.pool import Processes, run_over


@dataclass(frozen=True, slots=True)
class TimedSearch:
    """Searches one image in a worker; picklable."""

    spec: DetectorSpec

    def __call__(self, path: str) -> tuple[list[Face], float, int]:
        """Return faces, CPU seconds of detection, and peak memory in bytes."""
        pixels = np.asarray(decode(Path(path).read_bytes()).pixels)
        detector, start = self.spec.build(), time.process_time()
        faces = detector.detect(pixels)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return faces, time.process_time() - start, peak


def main() -> None:
    """Print a table for each detector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--cascade")
    parser.add_argument("detectors", nargs="*", default=searching_detector_names())
    options = parser.parse_intermixed_args()
    images = {
        str(annotation.path): annotation
        for annotation in read_annotations(options.truth, options.images)
    }
    for name in options.detectors:
        search = TimedSearch(parse_detector(name, (), options.cascade))
        search.spec.build()  # fails early if a component is missing
        answers = {
            outcome.item: outcome.unwrap()
            for outcome in run_over(search, list(images), Processes(1))
        }
        seconds = sum(cpu for _, cpu, _ in answers.values())
        memory = max(most for _, _, most in answers.values())
        print(f"{name}: {1000 * seconds / len(answers):.1f} CPU ms, {memory / 1e6:.0f} MB")
        for criterion in CRITERIA:
            tallies = defaultdict(list)
            for path, (faces, _, _) in answers.items():
                tally = match_faces(faces, images[path].boxes, criterion)
                tallies[images[path].kind].append(tally)
            total = [tally for some in tallies.values() for tally in some]
            for kind, some in (*sorted(tallies.items()), ("all", total)):
                one = sum_tallies(some)
                print(
                    f"  {criterion.name:>6} {kind:12} {one.faces:>5} faces, "
                    f"recall {one.recall:.3f}, precision {one.precision:.3f}"
                )


if __name__ == "__main__":
    main()

"""Quality and cost of `gleanset episodes` on a drawn episode: purity, recall, time, memory.

    python benchmarks/episodes.py --seconds 240 --seed 7 --size 1920x1080 [--keep FOLDER]

Draws an episode (`drawn_film.py`), tracks its faces, and prints

- the purity of tracks: the share of kept faces that show the majority person of their track;
- the purity of clusters of tracks, by similarity averaged over each track in descriptor space;
- the recall of true faces of at least 48 pixels: on one frame per second, and of all appearances of
  a person in a shot for a second or longer;
- the time relative to the length of the film, to decoding with ffmpeg alone, and to a detector on
  one frame per second; the peak memory of all processes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from drawn_film import FPS, write_film

from curation.similarity.clustering import cluster_rows, refine_with_tracks
from curation.similarity.descriptor import DescriptorSpace, compute_descriptor
from facecrop.detectors.options import parse_detector
from gleanset import Dataset
from gleanset.images.cropping import make_sample_key
from gleanset.records import Box
from labeler.sorting.clusters import MEAN_CLUSTER_SIZE
from pipeline.episodes.request import DETECTOR

LEAST = 48
SHOWN = 0.7
Truth = list[tuple[int, list[tuple[str, float, float, float, float]]]]


def person_at(box: Box, faces: list[Any]) -> str | None:
    """Return the person whose true box contains the box's center."""
    x, y = box.x + box.width / 2, box.y + box.height / 2
    inside = [
        (abs(x - left - side / 2) + abs(y - top - side / 2), name)
        for name, left, top, side, _ in faces
        if left - side * 0.1 <= x <= left + side * 1.1 and top - side * 0.1 <= y <= top + side * 1.1
    ]
    return min(inside)[1] if inside else None


def true_names(root: Path, truth: Truth) -> dict[str, str | None]:
    """Map each sample key to the true name; None: no face."""
    with Dataset.open(root) as dataset:
        frames = _truth_of_frames(dataset, truth)
        return {
            make_sample_key(f.image, f.face.box): person_at(f.face.box, frames[f.image][1])
            for f in dataset.faces.iterate()
        }


def _truth_of_frames(dataset: Dataset, truth: Truth) -> dict[str, Any]:
    """Map each frame's SHA-256 to its truth: shot number and faces."""
    times = {image.sha256: image.origins[0].time or 0.0 for image in dataset.images.iterate()}
    last = len(truth) - 1
    return {frame: truth[min(round(time * FPS), last)] for frame, time in times.items()}


def evaluate_dataset(root: Path, truth: Truth) -> dict[str, Any]:
    """Compute the metrics of a dataset made from the film."""
    names = true_names(root, truth)
    with Dataset.open(root) as dataset:
        frames = _truth_of_frames(dataset, truth)
        samples = [s for s in dataset.samples.iterate() if s.track is not None]
        tracks: dict[str, list[str | None]] = defaultdict(list)
        shots: set[tuple[int, str]] = set()
        for sample in samples:
            name = names[sample.key]
            tracks[str(sample.track)].append(name)
            shots.add((frames[sample.image][0], name or ""))
        known = [s for s in samples if names[s.key] is not None]
        vectors = _read_vectors(dataset, known)
        images = [s.image for s in known]
        track = [str(s.track) for s in known]
    figures: dict[str, Any] = {
        "frames": len(frames),
        "faces": len(samples),
        "false alarms": sum(name is None for name in names.values()),
        "tracks": len(tracks),
        "purity of tracks": _purity([[n for n in t if n] for t in tracks.values()]),
    }
    figures |= _cluster_purity(vectors, [names[s.key] or "" for s in known], track, images)
    return figures | _find_appearances(truth, shots)


def _purity(groups: list[list[str]]) -> float:
    right = sum(Counter(group).most_common(1)[0][1] for group in groups if group)
    return round(right / max(sum(map(len, groups)), 1), 4)


def _read_vectors(dataset: Dataset, samples: list[Any]) -> Any:
    stored = []
    for sample in samples:
        pixels = cv2.imread(str(dataset.crop_path(sample.key)))[:, :, ::-1]
        stored.append(compute_descriptor(np.ascontiguousarray(pixels)))
    return DescriptorSpace(stored).get_vectors(stored)[0]


def _cluster_purity(
    vectors: Any, names: list[str], tracks: list[str], images: list[str]
) -> dict[str, Any]:
    """Return the purity of clusterings with three numbers of clusters."""
    people = len(set(names))
    members: dict[str, list[int]] = defaultdict(list)
    for row, track in enumerate(tracks):
        members[track].append(row)
    rows = refine_with_tracks(vectors, members.values())
    firsts = [some[0] for some in members.values()]
    seen = [{images[row] for row in some} for some in members.values()]
    beside = [
        (a, b) for a in range(len(seen)) for b in range(a + 1, len(seen)) if seen[a] & seen[b]
    ]
    told: dict[str, Any] = {"people": people}
    counts = {
        "as many groups as people": people,
        "twice as many": 2 * people,
        "groups as in a window": max(1, len(members) // MEAN_CLUSTER_SIZE),
    }
    for kind, count in counts.items():
        for words, space, apart in (
            ("", rows, beside),
            (", nobody told apart by a frame", rows, []),
            (", by one face of each track", vectors, []),
        ):
            groups = cluster_rows(space[firsts], count, apart=apart)
            some = [list(members.values())[n] for n in range(len(firsts))]
            told[f"purity of {kind}{words}"] = _purity(
                [[names[row] for n in group for row in some[n]] for group in groups]
            )
    return told


def _find_appearances(truth: Truth, shots: set[tuple[int, str]]) -> dict[str, Any]:
    seen: Counter[tuple[int, str]] = Counter()
    for shot, faces in truth:
        for name, *_, side, shown in faces:
            seen[shot, name] += side >= LEAST and shown >= SHOWN
    long = {one for one, frames in seen.items() if frames >= FPS}
    return {"appearances": len(long), "appearances found": round(len(long & shots) / len(long), 4)}


def measure_detector(film: Path, truth: Truth, size: tuple[int, int]) -> dict[str, Any]:
    """Measure the detector's recall and run time on one frame per second."""
    detector = parse_detector(DETECTOR).build()
    reader = cv2.VideoCapture(str(film))
    found = there = 0
    begun = time.perf_counter()
    for number in range(len(truth)):
        if not reader.grab():
            break
        if number % FPS != FPS // 2:
            continue
        frame = reader.retrieve()[1][:, :, ::-1]
        small = cv2.resize(frame, (960, 960 * size[1] // size[0]), interpolation=cv2.INTER_AREA)
        scale = size[0] / 960
        boxes = [
            Box(*(round(edge * scale) for edge in face.box)) for face in detector.detect(small)
        ]
        faces = truth[number][1]
        met = {person_at(box, faces) for box in boxes}
        large = [f for f in faces if f[3] >= LEAST and f[4] >= SHOWN]
        there += len(large)
        found += sum(f[0] in met for f in large)
    seconds = time.perf_counter() - begun
    return {
        "faces on a frame a second": there,
        "found": round(found / max(there, 1), 4),
        "a detector on a frame a second (s)": round(seconds, 1),
    }


def run_timed(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return elapsed seconds, CPU seconds, and peak MB."""
    begun, most = time.perf_counter(), 0.0
    cpu: dict[str, float] = {}
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            now = dict(_iter_processes(process.pid))
            cpu |= {name: seconds for name, (seconds, _) in now.items()}
            most = max(most, sum(memory for _, memory in now.values()))
            time.sleep(0.25)
    assert process.returncode == 0
    return time.perf_counter() - begun, sum(cpu.values()), most


def _iter_processes(session: int) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield PID, CPU seconds and MB (PSS) of a session's processes."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                pss = re.search(r"Pss: +(\d+) kB", (folder / "smaps_rollup").read_text())
                seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                yield folder.name, (seconds, int(pss[1]) / 1e3 if pss else 0.0)


def main() -> None:
    """Draw, track and evaluate an episode; print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--without", default="", help="absent characters, separated by commas")
    parser.add_argument("--rate", default="3", help="frames per second to search")
    parser.add_argument("--keep", type=Path, help="folder to keep the film and dataset in")
    parser.add_argument("--judge", action="store_true", help="only evaluate an existing dataset")
    arguments = parser.parse_args()
    across, down = map(int, arguments.size.split("x"))
    with TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        film, notes = folder / "film.mp4", folder / "truth.json"
        if not notes.exists():
            without = tuple(arguments.without.split(","))
            drawn = write_film(film, arguments.seconds, arguments.seed, (across, down), without)
            notes.write_text(json.dumps(drawn))
        truth: Truth = json.loads(notes.read_text())
        root = folder / "dataset"
        figures: dict[str, Any] = {"film (s)": len(truth) / FPS}
        if not arguments.judge:
            decoding = run_timed(["ffmpeg", "-v", "error", "-i", str(film), "-f", "null", "-"])
            command = [sys.executable, "-m", "pipeline", "episodes", str(film), "-d", str(root)]
            run = run_timed([*command, "--rate", arguments.rate])
            figures |= {
                "time (s)": round(run[0], 1),
                "CPU (s)": round(run[1], 1),
                "of the film's length": round(run[0] * FPS / len(truth), 3),
                "decoding alone (s, CPU s)": [round(decoding[0], 1), round(decoding[1], 1)],
                "most memory of all processes (MB)": round(run[2]),
            }
        figures |= evaluate_dataset(root, truth)
        if not arguments.judge:
            figures |= measure_detector(film, truth, (across, down))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

"""Quality and cost of `gleanset episodes` on a drawn episode: purity, recall, time, memory.

    python benchmarks/episodes.py --seconds 240 --seed 7 --size 1920x1080

Draws an episode (`drawn_film.py`), tracks its faces, and prints as JSON

- the purity of tracks: the share of kept faces that show the majority person of their track;
- the purity of clusters of tracks, as many as the window makes, by similarity of track means;
- the recall of true faces of at least 48 pixels: on one frame per second, and of all appearances of
  a person in a shot for a second or longer;
- the time relative to the length of the film, the time of decoding with ffmpeg alone and of a
  detector on one frame per second, and the peak memory of all processes.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from drawn_film import FPS, TrueFace, write_film
from process_usage import read_cpu_seconds, read_memory

from curation.similarity.clustering import cluster_rows, refine_with_tracks
from curation.similarity.descriptor import DescriptorSpace, compute_descriptor
from facecrop.detectors.options import parse_detector
from gleanset import Dataset
from gleanset.images.cropping import make_sample_key
from gleanset.records import Box
from labeler.sorting.page_layout import MEAN_CLUSTER_SIZE
from pipeline.episodes.request import DETECTOR

MIN_FACE_SIDE = 48
"""Pixels; smaller faces do not count."""
MIN_VISIBLE_SHARE = 0.7
"""Faces of which less is visible do not count."""
SEARCHED_WIDTH = 640
"""Width of frames for the detector, in pixels."""
Truth = list[tuple[int, list[TrueFace]]]
"""For each frame the number of its shot, and the faces."""


def find_person(box: Box, faces: list[Any]) -> str | None:
    """Return the person whose true box contains the box's center."""
    x, y = box.x + box.width / 2, box.y + box.height / 2
    candidates = [
        (abs(x - left - side / 2) + abs(y - top - side / 2), name)
        for name, left, top, side, _ in faces
        if left - side * 0.1 <= x <= left + side * 1.1
        and top - side * 0.1 <= y <= top + side * 1.1
    ]
    return min(candidates)[1] if candidates else None


def read_true_names(folder: Path, truth: Truth) -> dict[str, str | None]:
    """Map each sample key to the true name; None: not a face."""
    with Dataset.open(folder / "dataset") as dataset:
        frames = _match_frames(dataset, truth)
        return {
            make_sample_key(f.image, f.face.box): find_person(
                f.face.box, frames[f.image][1]
            )
            for f in dataset.faces.iterate()
        }


def _match_frames(dataset: Dataset, truth: Truth) -> dict[str, Any]:
    """Map each frame's SHA-256 to its truth."""
    times = {
        image.sha256: image.origins[0].time or 0.0 for image in dataset.images.iterate()
    }
    last = len(truth) - 1
    return {frame: truth[min(round(time * FPS), last)] for frame, time in times.items()}


def evaluate_dataset(folder: Path, truth: Truth) -> dict[str, Any]:
    """Compute the metrics of a dataset made from the film."""
    names = read_true_names(folder, truth)
    tracks: dict[str, list[str]] = defaultdict(list)
    shots: set[tuple[int, str]] = set()
    with Dataset.open(folder / "dataset") as dataset:
        frames = _match_frames(dataset, truth)
        samples = [s for s in dataset.samples.iterate() if s.track is not None]
        for sample in samples:
            tracks[str(sample.track)].append(names[sample.key] or "")
            shots.add((frames[sample.image][0], names[sample.key] or ""))
        faces = [s for s in samples if names[s.key] is not None]
        purity = _cluster_purity(dataset, faces, [names[s.key] or "" for s in faces])
    return {
        "frames": len(frames),
        "faces": len(samples),
        "false positives": sum(name is None for name in names.values()),
        "tracks": len(tracks),
        "people": len({name for name in names.values() if name}),
        "purity of tracks": _purity([[n for n in t if n] for t in tracks.values()]),
        "purity of clusters": purity,
        **_count_appearances(truth, shots),
    }


def _purity(groups: list[list[str]]) -> float:
    majority = sum(Counter(group).most_common(1)[0][1] for group in groups if group)
    return round(majority / max(sum(map(len, groups)), 1), 4)


def _cluster_purity(dataset: Dataset, samples: list[Any], names: list[str]) -> float:
    """Return the purity of the clusters of tracks that the window shows."""
    stored = []
    tracks: dict[str, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        pixels = cv2.imread(str(dataset.crop_path(sample.key)))[:, :, ::-1]
        stored.append(compute_descriptor(np.ascontiguousarray(pixels)))
        tracks[str(sample.track)].append(row)
    members = list(tracks.values())
    vectors = refine_with_tracks(
        DescriptorSpace(stored).get_vectors(stored)[0], members
    )
    images = [{samples[row].image for row in rows} for rows in members]
    apart = [
        (a, b)
        for a in range(len(images))
        for b in range(a + 1, len(images))
        if images[a] & images[b]
    ]
    count = max(1, len(members) // MEAN_CLUSTER_SIZE)
    clusters = cluster_rows(vectors[[rows[0] for rows in members]], count, apart=apart)
    return _purity(
        [[names[row] for n in cluster for row in members[n]] for cluster in clusters]
    )


def _is_counted(face: Any) -> bool:
    *_, side, visible = face
    return bool(side >= MIN_FACE_SIDE and visible >= MIN_VISIBLE_SHARE)


def _count_appearances(truth: Truth, shots: set[tuple[int, str]]) -> dict[str, Any]:
    frames: Counter[tuple[int, str]] = Counter()
    for shot, faces in truth:
        frames.update((shot, face[0]) for face in faces if _is_counted(face))
    appearances = {appearance for appearance, count in frames.items() if count >= FPS}
    recall = len(appearances & shots) / len(appearances)
    return {"appearances": len(appearances), "recall of appearances": round(recall, 4)}


def measure_detector(film: Path, truth: Truth, size: tuple[int, int]) -> dict[str, Any]:
    """Measure the detector's recall and run time on one frame per second."""
    detector = parse_detector(DETECTOR).build()
    reader = cv2.VideoCapture(str(film))
    hits = count = 0
    scale = size[0] / SEARCHED_WIDTH
    small_size = SEARCHED_WIDTH, SEARCHED_WIDTH * size[1] // size[0]
    start = time.perf_counter()
    for number, (_, faces) in enumerate(truth):
        if not reader.grab():
            break
        if number % FPS != FPS // 2:
            continue
        frame = reader.retrieve()[1][:, :, ::-1]
        small = cv2.resize(frame, small_size, interpolation=cv2.INTER_AREA)
        boxes = [
            Box(*(round(edge * scale) for edge in face.box))
            for face in detector.detect(small)
        ]
        people = {find_person(box, faces) for box in boxes}
        names = [face[0] for face in faces if _is_counted(face)]
        count += len(names)
        hits += sum(name in people for name in names)
    seconds = time.perf_counter() - start
    return {
        "faces on one frame per second": count,
        "recall of the detector": round(hits / max(count, 1), 4),
        "time of the detector (s)": round(seconds, 1),
    }


def run_timed(command: list[str]) -> tuple[float, float, float]:
    """Run a command; return elapsed seconds, CPU seconds, and peak MB."""
    start = time.perf_counter()
    cpu = 0.0
    peak = 0.0
    with subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            cpu = max(cpu, read_cpu_seconds(process.pid))
            peak = max(peak, read_memory(process.pid))
            time.sleep(0.25)
    assert process.returncode == 0
    return time.perf_counter() - start, cpu, peak


def main() -> None:
    """Draw, track and evaluate an episode; print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument(
        "--without", default="", help="absent characters, separated by commas"
    )
    parser.add_argument("--rate", default="3", help="frames per second to search")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        film = folder / "film.mp4"
        without = tuple(arguments.without.split(","))
        truth = write_film(
            film, arguments.seconds, arguments.seed, (width, height), without
        )
        decoding = run_timed(
            ["ffmpeg", "-v", "error", "-i", str(film), "-f", "null", "-"]
        )
        command = [sys.executable, "-m", "pipeline", "episodes", str(film)]
        dataset = ["-d", str(folder / "dataset")]
        seconds, cpu, peak = run_timed([*command, *dataset, "--rate", arguments.rate])
        figures = {
            "film (s)": len(truth) / FPS,
            "time (s)": round(seconds, 1),
            "CPU (s)": round(cpu, 1),
            "time / film length": round(seconds * FPS / len(truth), 3),
            "decoding alone (s, CPU s)": [round(value, 1) for value in decoding[:2]],
            "peak memory of all processes (MB)": round(peak),
            **evaluate_dataset(folder, truth),
            **measure_detector(film, truth, (width, height)),
        }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

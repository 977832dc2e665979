"""How long drawnface takes for a picture of 960 x 540, part by part, beside animeface.

    python tools/drawn_faces/speed.py [--rounds 20] [--sizes 512,576,640]

All take turns in one process, each with one thread and with two (animeface has one), so that
what else the machine does falls on all of them. Told are the least and the median time by the
clock and of the CPU, and the CPU time as a part of animeface's in the same rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np

from facecrop.detectors.animeface import AnimeFace
from facecrop.detectors.drawnface import SIZE, FaceNetwork, seen_size
from tools.sample.scene import draw_scene, random_character

PICTURE = (960, 540)
PEER = "animeface"
Times = list[tuple[float, float]]


def timed(what: Callable[[], object], times: int) -> Times:
    """Return milliseconds by the clock and of the CPU; the first call is not counted."""
    what()
    found = []
    for _ in range(times):
        clock, cpu = time.perf_counter(), time.process_time()
        what()
        spent = time.process_time() - cpu
        found.append((1000 * (time.perf_counter() - clock), 1000 * spent))
    return found


def parts(network: FaceNetwork, pixels: np.ndarray, size: int) -> dict[str, Callable[[], object]]:
    """Return the steps of a search, each to be called alone."""
    seen = seen_size(*PICTURE, size)
    small = cv2.resize(pixels, seen, interpolation=cv2.INTER_AREA)
    return {
        "  made smaller": lambda: cv2.resize(pixels, seen, interpolation=cv2.INTER_AREA),
        "  as numbers": lambda: cv2.dnn.blobFromImage(small, 1 / 255),
        "  as numbers, network": lambda: network.ask(small),
    }


def main() -> None:
    """Print a line for each size, number of threads and part."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--sizes", default=f"{SIZE},640")
    given = options.parse_args()
    cast = [random_character(1), random_character(2)]
    pixels = np.asarray(draw_scene(cast, 1, PICTURE)[0])
    network, peer = FaceNetwork.loaded(), AnimeFace()
    runs: dict[str, tuple[int, int, Callable[[], object]]] = {
        PEER: (1, 1, lambda: peer.detect(pixels))
    }
    for size in map(int, given.sizes.split(",")):
        for threads in (1, 2):
            name = f"drawnface {size}, threads: {threads}"
            runs[name] = (threads, 5, lambda size=size: network.boxes(pixels, size, 0.35))
        for part, what in parts(network, pixels, size).items():
            runs[f"{part} {size}"] = (1, 5, what)
    found: dict[str, Times] = {name: [] for name in runs}
    for _ in range(given.rounds):
        for name, (threads, times, what) in runs.items():
            cv2.setNumThreads(threads)
            found[name] += timed(what, times)
    report(found)


def report(found: dict[str, Times]) -> None:
    """Print least and median times, and the CPU time as a part of the peer's."""
    print(f"{'ms':32} clock: least median   CPU: least median   CPU to {PEER}: least median")
    usual = [cpu for _, cpu in found[PEER]]
    for name, times in found.items():
        clock, cpu = (list(column) for column in zip(*times, strict=True))
        low, middle = min(cpu), statistics.median(cpu)
        print(
            f"{name:32} {min(clock):12.1f} {statistics.median(clock):6.1f} {low:12.1f} "
            f"{middle:6.1f} {low / min(usual):18.2f} {middle / statistics.median(usual):6.2f}"
        )


if __name__ == "__main__":
    main()

"""Generate images of drawn people for `identity.py`, in parts of a hundred people each.

    python tools/drawn_faces/portraits.py --out DIR [--people 8000] [--each 12] [--seed 1]
        [--processes 2] [--sheet FILE.png]

Writes `part-0000.npy` and so on (people x each x 80 x 80 x 3 bytes). Existing parts are skipped, so
that an interrupted run can continue; each process draws other parts.
"""

import argparse
import multiprocessing
import random
import time
from pathlib import Path

import cv2
import numpy as np
from brush import Canvas
from people import Person, draw_person

PART = 100
SIDE = 80


def draw_portraits(number: int, seed: int, each: int) -> Canvas:
    """Draw a person's images, (each, `SIDE`, `SIDE`, 3)."""
    person = Person.numbered(number, seed)
    drawings = (
        draw_person(person, random.Random(f"{seed} {number} {n}")) for n in range(each)
    )
    return np.stack(
        [
            cv2.resize(drawing, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            for drawing in drawings
        ]
    )


def draw_part(task: tuple[Path, int, int, int]) -> str:
    """Draw a missing part of `PART` people; return a message."""
    path, first, seed, each = task
    if path.exists():
        return f"{path.name} exists"
    cv2.setNumThreads(1)
    start = time.process_time()
    images = np.stack([draw_portraits(first + n, seed, each) for n in range(PART)])
    scratch = path.with_suffix(".tmp")
    with scratch.open("wb") as file:
        np.save(file, images)
    scratch.replace(path)
    return f"{path.name}: {(time.process_time() - start) / PART / each * 1000:.1f} ms an image"


def contact_sheet(images: np.ndarray) -> Canvas:
    """Return a grid of the first 64 images, eight a row."""
    grid = images.reshape(-1, SIDE, SIDE, 3)[:64].reshape(8, 8, SIDE, SIDE, 3)
    return np.vstack([np.hstack(list(row)) for row in grid])


def main() -> None:
    """Draw the missing parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=8000)
    parser.add_argument("--each", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    tasks = [
        (
            arguments.out / f"part-{part:04d}.npy",
            part * PART,
            arguments.seed,
            arguments.each,
        )
        for part in range(arguments.people // PART)
    ]
    with multiprocessing.get_context("spawn").Pool(arguments.processes) as pool:
        for line in pool.imap_unordered(draw_part, tasks):
            print(line, flush=True)
    if arguments.sheet:
        sheet = contact_sheet(np.load(tasks[0][0]))[..., ::-1]
        cv2.imwrite(str(arguments.sheet), sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()

"""Backgrounds from Big Buck Bunny ((c) Blender Foundation, CC BY 3.0), where nobody is seen.

python benchmarks/drawn_faces/photographs.py --videos DIR --out FILE.npy
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

PARTS = {
    "big_buck_bunny_0_30.webm": ((60, 370, 0.0, 1.0), (460, 710, 0.0, 1.0)),
    "bigbuckbunny.mp4": ((0, 130, 0.58, 1.0),),
    "big_buck_bunny_432_433.webm": ((0, 24, 0.0, 0.3), (0, 24, 0.62, 1.0)),
}
"""Of each video: frames from and to, and the strip (shares of the width) without a character."""

SIZE = (512, 384)


def backgrounds(video: Path) -> list[np.ndarray]:
    """Return some frames of a video, cut to the strips and to one size, RGB."""
    reader, frames = cv2.VideoCapture(str(video)), []
    while True:
        known, frame = reader.read()
        if not known:
            break
        frames.append(frame[..., ::-1])
    found = []
    for first, last, left, right in PARTS[video.name]:
        for frame in frames[first : last : max((last - first) // 20, 1)]:
            width = frame.shape[1]
            part = frame[:, int(width * left) : int(width * right)]
            found.append(cv2.resize(np.ascontiguousarray(part), SIZE, interpolation=cv2.INTER_AREA))
    return found


def main() -> None:
    """Write the backgrounds as one array."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--videos", type=Path, required=True)
    options.add_argument("--out", type=Path, required=True)
    given = options.parse_args()
    found = [picture for name in PARTS for picture in backgrounds(given.videos / name)]
    np.save(given.out, np.stack(found))


if __name__ == "__main__":
    main()

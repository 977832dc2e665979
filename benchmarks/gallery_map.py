"""What the map of a gallery keeps of likeness: t-SNE beside principal components.

    python benchmarks/gallery_map.py [FOLDER ...] [--drawn 2000]

Each FOLDER has class folders with pictures; --drawn draws so many faces of twelve characters
instead. Samples are compared by their descriptors, as without a presort. For each method it prints
trustworthiness and continuity (Venna and Kaski, "Neighborhood preservation in nonlinear projection
methods", 2001; 1 is best, 10 neighbours), how many of a sample's 5 nearest on the map are of its
class (and of its 5 likest in all dimensions), and seconds.
"""

from __future__ import annotations

import argparse
import io
import random
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from labelled_tree import add_pictures, of_tree
from sklearn.manifold import trustworthiness

from gleanset import Dataset
from gleanset.db.measures import QualityMeasures
from labeler.gallery.likeness_map import likeness_map, principal_parts
from labeler.likeness import Likeness, Vectors
from labeler.quality.assessment import QualityAssessment
from labeler.quality.due import VERSION
from tools.sample.character import CAST, random_character
from tools.sample.scene import face_box, paint_scene, plan_scene

NEIGHBOURS, OF_CLASS = 10, 5
CHARACTERS = 12
Named = tuple[str, str, str | None, bytes]


def drawn(number: int) -> Iterable[Named]:
    """Draw faces of twelve characters, some far more frequent than others."""
    dice = random.Random(1)
    cast = [*CAST, *(random_character(seed) for seed in range(CHARACTERS))][:CHARACTERS]
    weights = [1 / (place + 1) ** 0.8 for place in range(CHARACTERS)]
    for shot in range(number):
        place = dice.choices(range(CHARACTERS), weights)[0]
        scene = plan_scene([cast[place]], shot, (224, 192))
        box, buffer = face_box(scene.figures[0]), io.BytesIO()
        frame = (box.x, box.y, box.x + box.width, box.y + box.height)
        paint_scene(scene).convert("RGB").crop(frame).save(buffer, "JPEG", quality=90)
        yield f"{shot}.jpg", str(place), None, buffer.getvalue()


def of_class(places: npt.NDArray[Any], labels: npt.NDArray[Any]) -> float:
    """Return how many of the nearest of each are of its class, as a share."""
    lengths = (places**2).sum(1)
    squares = lengths[:, None] + lengths[None] - 2 * places @ places.T
    np.fill_diagonal(squares, np.inf)
    nearest = np.argpartition(squares, OF_CLASS, axis=1)[:, :OF_CLASS]
    return float((labels[nearest] == labels[:, None]).mean())


def vectors_of(pictures: Iterable[Named]) -> tuple[Vectors, npt.NDArray[Any]]:
    """Take pictures in, measure them; their vectors and classes."""
    with tempfile.TemporaryDirectory() as scratch, Dataset.create(Path(scratch) / "d") as dataset:
        add_pictures(dataset, pictures)
        QualityAssessment(dataset).run()
        samples = list(QualityMeasures(dataset.db).labelled(VERSION))
        return Likeness(dataset).space(samples)(samples)[0], np.array([s.label for s in samples])


def report(name: str, pictures: Iterable[Named]) -> None:
    """Print a line for each method."""
    vectors, labels = vectors_of(pictures)
    alike = vectors.astype(np.float64)
    print(f"{name}: {len(vectors)} samples, {of_class(alike, labels):.3f} of class in all")
    for method, lay in (
        ("PCA", lambda: principal_parts(vectors, 2)),
        ("t-SNE", lambda: likeness_map(vectors).places),
    ):
        begun = time.perf_counter()
        places = lay().astype(np.float64)
        seconds = time.perf_counter() - begun
        trusted = trustworthiness(alike, places, n_neighbors=NEIGHBOURS)
        kept = trustworthiness(places, alike, n_neighbors=NEIGHBOURS)
        print(
            f"  {method:6} trustworthiness {trusted:.3f}  continuity {kept:.3f}  "
            f"of class {of_class(places, labels):.3f}  {seconds:.1f} s"
        )


def main() -> None:
    """Report on each folder, or on drawn faces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--drawn", type=int, default=0)
    asked = parser.parse_args()
    for folder in asked.folders:
        report(folder.name, of_tree(folder))
    if asked.drawn or not asked.folders:
        report("drawn", drawn(asked.drawn or 2000))


if __name__ == "__main__":
    main()

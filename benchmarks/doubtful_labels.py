"""Wrong labels planted in finished sets: how many are among the first doubtful ones of the window.

    python benchmarks/doubtful_labels.py WORK [--set NAME=FOLDER] [--draws 30]

Imports folders of classes (default: characters, characters_fan10 and characters_shows5) as whole
images, prelabels them, labels all, and then plants wrong labels in memory: `any` are of random
faces with the label of the class that looks most like each; `alike` are the same of the third of
the faces that look most like another class; `part` are the most similar faces of one person, all
called by the name of another. Prints how many of them are among the first 12 that the review shows,
how many are in its list, and how many labels it lists that are right. Work that is done is kept.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from labelled_tree import add_whole_image, parse_sets

from curation.similarity.class_learning import predict_left_out
from curation.similarity.spaces import SimilaritySpaces
from curation.split_groups import assign_split_groups
from gleanset import Dataset, Origin
from gleanset.arrays import Float64Array, IntArray
from gleanset.db.sorting import SortingQueue
from gleanset.db.views import NO_FILTER
from labeler.review import FIRST_DOUBTFUL, load_review_page
from labeler.sorting.descriptor_queue import measure_in_batches
from labeler.sorting.session import WITH_PAGE, SortingSession

SETS = ("characters", "characters_fan10", "characters_shows5")
KINDS = (("any", 1), ("any", 3), ("any", 4), ("alike", 1), ("alike", 4), ("part", 4))
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def prepare(root: Path, folder: Path) -> None:
    """Import a folder of classes, prelabel it without labels, then label it."""
    truth: dict[str, str] = {}
    with Dataset.create(root) as dataset:
        for file in sorted(folder.glob("*/*")):
            if file.suffix.lower() in SUFFIXES:
                origin = Origin("folder", str(file), title=file.name)
                key = add_whole_image(dataset, file.read_bytes(), origin)
                truth[key] = file.parent.name
        sum(measure_in_batches(dataset))

    prelabel = [sys.executable, "-m", "baseline", "prelabel", "-q", "-d", str(root)]
    subprocess.run(prelabel, check=True)
    with Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        rows = session.tiles.get_ids(list(truth))
        labels = {row: truth[key] for key, row in rows.items()}
        session.label_each(labels, "all", WITH_PAGE)


class FinishedSet:
    """A set whose labels are right, and how much each face looks like other classes."""

    def __init__(self, dataset: Dataset) -> None:
        self.session = SortingSession(dataset)
        counts = self.session.tiles.get_counts().classes
        self.names = [row.name for row in counts if row.count]
        queue = SortingQueue(dataset.db)
        classes = [row.id for row in counts if row.count]
        samples = queue.get_features(queue.list_decided(classes, 10_000))
        self.rows = [sample.id for sample in samples]
        self.truth: IntArray = np.array(
            [classes.index(sample.label or 0) for sample in samples]
        )
        self.vectors, _ = SimilaritySpaces(dataset).choose_space(samples)(samples)

        groups = assign_split_groups(dataset.db, [sample.key for sample in samples])
        names = [groups[sample.key] for sample in samples]
        numbers = np.unique(names, return_inverse=True)[1]
        probabilities: Float64Array = predict_left_out(
            self.vectors, self.truth, numbers
        )
        probabilities[np.arange(len(samples)), self.truth] = -1
        self.nearest_class = probabilities.argmax(axis=1)
        self.by_similarity = np.argsort(-probabilities.max(axis=1))

    def plant(self, kind: str, count: int, random: np.random.Generator) -> list[int]:
        """Choose faces that get the label of the class that they look most like."""
        if kind == "any":
            return random.choice(len(self.rows), count, replace=False).tolist()
        if kind == "alike":
            third = self.by_similarity[: len(self.rows) // 3]
            return random.choice(third, count, replace=False).tolist()
        first = random.integers(len(self.rows))
        same = np.flatnonzero(self.truth == self.truth[first])
        order = np.argsort(-(self.vectors[same] @ self.vectors[first]))
        return same[order[:count]].tolist()

    def label(self, labels: Mapping[int, int]) -> None:
        """Give faces (by number) the class with a number."""
        by_row = {self.rows[n]: self.names[label] for n, label in labels.items()}
        self.session.label_each(by_row, "planted", WITH_PAGE)


def main() -> None:
    """Print a row for each kind of wrong labels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--draws", type=int, default=30)
    sets = parse_sets(parser, SETS)
    arguments = parser.parse_args()
    print("| set | kind | wrong | first 12 | listed | right ones listed |")
    for name, folder in sets.items():
        root = arguments.work / name
        if not root.exists():
            prepare(root, folder)
        with Dataset.open(root) as dataset:
            finished = FinishedSet(dataset)
            page = load_review_page(dataset, "doubtful", NO_FILTER)
            print(f"| {name} | none | 0 | | | {len(page.ids)} |")
            for kind, count in KINDS:
                random = np.random.default_rng(5)
                totals = np.zeros(3)
                for _ in range(arguments.draws):
                    wrong = finished.plant(kind, count, random)
                    label = int(finished.nearest_class[wrong[0]])
                    finished.label(
                        {
                            n: label
                            if kind == "part"
                            else int(finished.nearest_class[n])
                            for n in wrong
                        }
                    )
                    page = load_review_page(dataset, "doubtful", NO_FILTER)
                    rows = {finished.rows[n] for n in wrong}
                    listed = rows.intersection(page.ids)
                    first = rows.intersection(page.ids[:FIRST_DOUBTFUL])
                    totals += len(first), len(listed), len(page.ids) - len(listed)
                    finished.label({n: int(finished.truth[n]) for n in wrong})
                planted = arguments.draws * count
                shares = f"{totals[0] / planted:.2f} | {totals[1] / planted:.2f}"
                right = totals[2] / arguments.draws
                print(
                    f"| {name} | {kind} | {count} | {shares} | {right:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

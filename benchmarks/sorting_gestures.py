"""Gestures of sorting by class pages from nothing, without a window: quick enough to choose by.

    python benchmarks/sorting_gestures.py ../shared/data/characters        (a folder for each class)
    python benchmarks/sorting_gestures.py --drawn 300 --parts 3
    python benchmarks/sorting_gestures.py ../shared/data/characters --presort 84

A person who knows everybody sorts all pages of the labeler's session, as the scripted one of
`tests/labeler/qt/test_gestures.py` does in the real window, and gestures are counted as there:
keys, and every letter of a name. Each of `--parts` times another four fifths of the pictures are
sorted. With `--presort` so many are sorted first, then `baseline presort` is run, then the others.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import mean

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "labeler")]

from drawn_faces import FaceSet, draw_set, labels, real_set  # noqa: E402

from gleanset import Dataset  # noqa: E402
from labeler.sorting.page_layout import ClassPage, PageKind  # noqa: E402
from labeler.sorting.pages import Pages  # noqa: E402
from labeler.sorting.session import SortingSession  # noqa: E402


class Sorter:
    """Sorts by pages; `gestures` is what it cost, `letters` those of them that spell names."""

    def __init__(self, dataset: Dataset, faces: FaceSet) -> None:
        self.session = SortingSession(dataset)
        self.pages = Pages(self.session)
        self.truth = {r: faces.truth[k] for k, r in self.session.tiles.rows_of(faces.truth).items()}
        self.gestures = self.letters = self.sorted = 0

    def sort(self, enough: float = float("inf")) -> None:
        """File pages until nothing waits, or `enough` are sorted."""
        while self.sorted < enough and (page := self.pages.next()) is not None:
            self.one(page)

    def one(self, page: ClassPage) -> None:
        """Send each tile that is on the wrong page where it belongs, and file the others."""
        true = [self.truth[tile.rows[0]] for tile in page.tiles]
        most, number = Counter(true).most_common(1)[0]
        other = page.kind is PageKind.CLASS and most != page.label and number > 0.6 * len(true)
        whole = page.kind is PageKind.LIKES or other
        sent = []
        for place, (who, tile) in enumerate(zip(true, page.tiles, strict=True)):
            if who != (most if whole else tile.proposal.label):
                sent.append(place)
                self.name(who)
                self.session.to(tile.rows, who)
        if whole:
            self.name(most)
        else:
            self.gestures += 1
        self.pages.file(page, (), sent, most if whole else None)
        self.sorted += len(page.rows)

    def name(self, who: str) -> None:
        """A key for a class that is there, else / or N and its letters."""
        known = self.session.classes.id_of(who) is not None
        self.gestures += 1 if known else len(who) + 2
        self.letters += 0 if known else len(who) + 1


def cost(faces: FaceSet, presort_after: int) -> tuple[float, float]:
    """Gestures and letters for 1,000 faces; every label is right in the end, frames in one stack
    of several classes apart."""
    with Dataset.open(faces.root) as dataset:
        sorter = Sorter(dataset, faces)
        if presort_after:
            from baseline.presort.job import presort
            from baseline.settings import load_preset

            sorter.sort(presort_after)
            presort(dataset, load_preset("transfer", {}))
        sorter.sort()
    wrong = sum(labels(faces.root)[key] != who for key, who in faces.truth.items())
    if wrong:
        print(f"  {wrong} wrong labels: a stack held two classes")
    part = 1000 / len(faces.truth)
    return sorter.gestures * part, sorter.letters * part


def main() -> None:
    """Print what each part of the pictures cost, and the mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--drawn", type=int, default=0)
    parser.add_argument("--frames", type=int, default=1)
    parser.add_argument("--parts", type=int, default=3)
    parser.add_argument("--presort", type=int, default=0)
    asked = parser.parse_args()
    for folder in [*asked.folders, None] if asked.drawn else asked.folders:
        found = []
        for part in range(asked.parts):
            with tempfile.TemporaryDirectory() as scratch:
                root = Path(scratch) / "d"
                faces = (
                    draw_set(root, asked.drawn, frames=asked.frames, seed=part)
                    if folder is None
                    else real_set(root, folder, 4 * len(list(folder.glob("*/*.jpg"))) // 5, part)
                )
                found.append(cost(faces, asked.presort))
        told = ", ".join(f"{gestures:.0f}" for gestures, _ in found)
        averages = [mean(one) for one in zip(*found, strict=True)]
        print(
            f"{folder.name if folder else 'drawn'}: {averages[0]:.0f} gestures for 1,000 "
            f"({averages[1]:.0f} letters; {told})",
            flush=True,
        )


if __name__ == "__main__":
    main()

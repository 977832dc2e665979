"""Gestures of sorting from nothing, without a window: quick enough to choose strategies by.

    python benchmarks/sorting_gestures.py ../shared/data/characters        (a folder for each class)
    python benchmarks/sorting_gestures.py ../shared/data/characters_fan10 --each 23 --follow
    python benchmarks/sorting_gestures.py ../shared/data/characters --classes 5 --each 46 --follow
    python benchmarks/sorting_gestures.py --drawn 300 --parts 3

A person who knows everybody sorts all pages of the labeler's session: names each group of the
overview by most of its faces, sends what is wrong where it belongs, and presses Enter. A key, a
click and a stroke over neighbours are one gesture each; letters of names are counted apart. Each of
`--parts` times another four fifths of the pictures are sorted, or `--each` of `--classes` classes.
With `--follow` the presort is solved again after each page, on features made once, as
`baseline presort --follow` does beside the window; `--kept FOLDER` keeps datasets and features for
the next time. Printed too: how many of the faces on pages were expected to be wrong, and were, in
sum, by pages that expect as many, and by confidence.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import NamedTuple

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "labeler")]

from drawn_faces import FaceSet, draw_set, labels, real_set  # noqa: E402

from gleanset import Dataset  # noqa: E402
from gleanset.work.progress import Progress  # noqa: E402
from labeler.sorting.page_layout import ClassPage, PageKind  # noqa: E402
from labeler.sorting.pages import Pages  # noqa: E402
from labeler.sorting.session import SortingSession  # noqa: E402


class Follower:
    """Solves the presort of a dataset again and again, on features that are made once."""

    def __init__(self, dataset: Dataset) -> None:
        from baseline.presort.presorter import Presorter
        from baseline.settings import load_preset

        self._presorter = Presorter(dataset, load_preset("transfer", {}))
        self._presorter.take_in(self._presorter.new_samples(), Progress(quiet=True))

    def solve(self) -> None:
        """Put proposals in force that know all decisions so far."""
        self._presorter.solve(Progress(quiet=True))


class ToldPage(NamedTuple):
    """A page of proposals: the confidence of each tile and whether it was right; whether somebody
    had no name yet.
    """

    sure: list[float]
    right: list[bool]
    unnamed: bool

    @property
    def expected(self) -> float:
        """How many were expected to be wrong."""
        return sum(1 - one for one in self.sure)

    @property
    def wrong(self) -> int:
        """How many were wrong."""
        return self.right.count(False)


class Tally:
    """What sorting cost, and what the pages promised."""

    def __init__(self) -> None:
        self.gestures = self.letters = self.sorted = self.pages = 0
        self.told: list[ToldPage] = []
        self.story: list[str] = []


class Sorter:
    """Sorts by pages as a person would who knows everybody."""

    def __init__(self, dataset: Dataset, truth: Mapping[str, str], follow: bool) -> None:
        self.session = SortingSession(dataset)
        self.pages = Pages(self.session)
        self.truth = {r: truth[k] for k, r in self.session.tiles.rows_of(truth).items()}
        self.tally = Tally()
        self.follower = Follower(dataset) if follow else None

    def sort(self, enough: float = float("inf")) -> None:
        """File pages until nothing waits, or `enough` are sorted."""
        while self.tally.sorted < enough:
            if self.follower is not None:
                self.follower.solve()
            page = self.pages.next()
            if page is None:
                return
            self.one(page)

    def one(self, page: ClassPage) -> None:
        """Name groups, send what is on the wrong page where it belongs, and file the others."""
        true = [self.truth[tile.rows[0]] for tile in page.tiles]
        if page.kind is not PageKind.GROUPS:
            self.tally.told.append(self._told(page, true))
        said = self._said(page, true)
        gestures, tally = self.tally.gestures, self.tally
        sent = []
        last = None
        for place, (who, tile, label) in enumerate(zip(true, page.tiles, said, strict=True)):
            if who not in (label, last):  # neighbours are swept over with the key held down
                self._name(who, page)
            if who != label or page.kind is PageKind.GROUPS:
                self.session.to(tile.rows, who)
                sent.append(place)
            last = who if who != label else None
        whole = page.kind is PageKind.CLASS and said[0] != page.label
        if whole:
            self._name(said[0], page)
        else:
            tally.gestures += 1
        wrong = sum(who != label for who, label in zip(true, said, strict=True))
        tally.story.append(
            f"{page.kind[0]}{len(true)}:{wrong}/{page.expected_wrong:.0f}"
            f"={tally.gestures - gestures}"
        )
        tally.sorted += len(page.rows)
        self.pages.file(page, (), sent, said[0] if whole else None)

    def _told(self, page: ClassPage, true: Sequence[str]) -> ToldPage:
        proposals = [tile.proposal for tile in page.tiles]
        known = {row.name for row in self.session.tiles.counts().classes if row.count}
        return ToldPage(
            [one.confidence for one in proposals],
            [one.label == who for one, who in zip(proposals, true, strict=True)],
            not known >= set(self.truth.values()),
        )

    def _said(self, page: ClassPage, true: Sequence[str]) -> list[str | None]:
        """Return what each tile is said to be once groups are named, or the page as a whole."""
        if page.kind is PageKind.CLASS:
            most, number = Counter(true).most_common(1)[0]
            other = most != page.label and number > 0.6 * len(true)
            return [most if other else page.label] * len(true)
        if page.kind is not PageKind.GROUPS:
            return [tile.proposal.label for tile in page.tiles]
        said: list[str | None] = []
        for group in page.groups:
            most = Counter(true[len(said) : len(said) + group.size]).most_common(1)[0][0]
            if not said or said[-1] != most:  # a key held down sweeps over groups, too
                self._name(most, page)
            said += [most] * group.size
        return said

    def _name(self, who: str, page: ClassPage) -> None:
        """A key for a class that is there; else its letters and Enter, after / on most pages."""
        known = self.session.classes.id_of(who) is not None
        if not known:
            self.session.add_class(who)
        self.tally.gestures += 1 if known or page.kind is PageKind.GROUPS else 2
        self.tally.letters += 0 if known else len(who)


def chosen_part(truth: Mapping[str, str], asked: argparse.Namespace, part: int) -> dict[str, str]:
    """Return which pictures (by key) one part has: its own four fifths, or so many of a class."""
    dice = random.Random(part)
    names = sorted(set(truth.values()))
    if asked.classes:
        names = dice.sample(names, asked.classes)
    keys = sorted(key for key, who in truth.items() if who in names)
    dice.shuffle(keys)
    if asked.each:
        return {
            key: truth[key]
            for name in names
            for key in [one for one in keys if truth[one] == name][: asked.each]
        }
    return {key: truth[key] for key in keys[: 4 * len(keys) // 5]}


def cost(root: Path, truth: Mapping[str, str], follow: bool) -> Tally:
    """Sort these pictures of a dataset, as if there were no others.

    Every label is right in the end, but for frames of several classes in one stack.
    """
    with Dataset.open(root) as dataset:
        others = [(one.key,) for one in dataset.samples.by_key() if one.key not in truth]
        with dataset.db.write():
            dataset.db.many("UPDATE sample SET status='retired' WHERE key=?", others)
        sorter = Sorter(dataset, truth, follow)
        sorter.sort()
    found = labels(root)
    if wrong := sum(found[key] != who for key, who in truth.items()):
        print(f"  {wrong} wrong labels: a stack held two classes")
    return sorter.tally


def kept_set(folder: Path, kept: Path) -> FaceSet:
    """Return a dataset of all pictures of a folder, made where it is not there."""
    root = kept / folder.name
    told = kept / f"{folder.name}.json"
    if not told.exists():
        shutil.rmtree(root, ignore_errors=True)
        faces = real_set(root, folder, None)
        told.write_text(json.dumps(faces.truth))
        with Dataset.open(root) as dataset:
            Follower(dataset)  # its features are kept as well
    return FaceSet(root, json.loads(told.read_text()))


def main() -> None:
    """Print what each part of the pictures cost, and the mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--drawn", type=int, default=0)
    parser.add_argument("--frames", type=int, default=1)
    parser.add_argument("--parts", type=int, default=3)
    parser.add_argument("--classes", type=int, default=0)
    parser.add_argument("--each", type=int, default=0)
    parser.add_argument("--follow", action="store_true")
    parser.add_argument("--kept", type=Path)
    asked = parser.parse_args()
    for folder in [*asked.folders, None] if asked.drawn else asked.folders:
        with tempfile.TemporaryDirectory() as scratch:
            tallies = []
            for part in range(asked.parts):
                root = Path(scratch) / f"part-{part}"
                if folder is None:
                    truth = draw_set(root, asked.drawn, frames=asked.frames, seed=part).truth
                else:
                    whole = kept_set(folder, asked.kept or Path(scratch))
                    truth = chosen_part(whole.truth, asked, part)
                    shutil.copytree(whole.root, root)
                tallies.append((cost(root, truth, asked.follow), len(truth)))
        for tally, _ in tallies:
            print("  " + " ".join(tally.story))
        each = [1000 * tally.gestures / count for tally, count in tallies]
        letters = mean(1000 * tally.letters / count for tally, count in tallies)
        print(
            f"{folder.name if folder else 'drawn'}: {mean(each):.0f} gestures for 1,000 besides "
            f"{letters:.0f} letters ({', '.join(f'{one:.0f}' for one in each)})"
        )
        for line in calibration([page for tally, _ in tallies for page in tally.told]):
            print("  " + line, flush=True)


BINS = (0.0, 0.5, 1.5, 3.0, 5.0, float("inf"))
"""Of how many of a page are expected to be wrong."""
SURE = (0.0, 0.7, 0.85, 0.95, 0.99, 1.01)


def calibration(told: Sequence[ToldPage]) -> Iterator[str]:
    """Yield how many were expected to be wrong and were: in sum, by pages, by confidence."""
    for name, some in (
        ("while somebody has no name", [page for page in told if page.unnamed]),
        ("when all have a name", [page for page in told if not page.unnamed]),
    ):
        yield f"{name}: {_sums(some)}"
    for low, high in pairwise(BINS):
        some = [page for page in told if low <= page.expected < high]
        yield f"pages that expect {low:g} to {high:g}: {_sums(some)}"
    sure = [one for page in told for one in zip(page.sure, page.right, strict=True)]
    for low, high in pairwise(SURE):
        part = [one for one in sure if low <= one[0] < high]
        wrong = sum(not right for _, right in part)
        yield (
            f"faces at {low:g} to {high:g}: {len(part)}, expected wrong "
            f"{sum(1 - said for said, _ in part):.1f}, were {wrong}"
        )


def _sums(told: Sequence[ToldPage]) -> str:
    """Return sums, and how far a page is off beside what chance alone makes it."""
    off = mean([abs(page.expected - page.wrong) for page in told] or [0])
    # Of a normal distribution the mean deviation is sqrt(2 / pi) standard deviations.
    spread = mean([math.sqrt(2 / math.pi * sum(s * (1 - s) for s in p.sure)) for p in told] or [0])
    expected, wrong = sum(page.expected for page in told), sum(page.wrong for page in told)
    return (
        f"{len(told)} pages, {expected:.1f} expected to be wrong, {wrong} were; "
        f"a page is off by {off:.1f} (by chance {spread:.1f})"
    )


if __name__ == "__main__":
    main()

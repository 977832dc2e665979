"""Commands and a window in random order, beside a book that knows what each of them should do."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dataset_model import DatasetModel, Decision, Edit
from tools_for_tests import picture, run_here

from gleanset import Dataset
from gleanset.errors import UsageError
from gleanset.images.cropping import make_sample_key
from gleanset.records import Box
from labeler.sorting.session import SortingSession
from pipeline.listing import list_records

NAMES = ("Hana", "Rei", "Miku", "Sora", "Yuki", "Asuka")
PLACES = {
    ":not a face": (Decision("rejected"), None),
    ":other": (Decision("rejected"), "other"),
    ":later": (Decision(), "later"),
    ":queue": (Decision(), None),
}
PICTURES = tuple(picture(seed) for seed in range(24))
SIZE = Box(0, 0, 64, 48)
REJECTED = Decision("rejected")


def sha_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Walk:
    """A dataset, a window on it, and the book. Each method without an underscore is a step."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.root = folder, folder / "dataset"
        self.dice = random.Random(seed)
        self.book = DatasetModel()
        self.numbers = iter(range(1_000_000))
        self.data = {sha_of(data): data for data in PICTURES}
        with Dataset.create(self.root):
            pass
        self.window = Dataset.open(self.root)
        self.session = SortingSession(self.window)
        self.acts: list[Callable[[], None]] = [
            getattr(self, name) for name in sorted(vars(Walk)) if not name.startswith("_")
        ]

    def _step(self, act: Callable[[], None]) -> None:
        act()
        self._check()

    def _run(self, room: str, *words: str | Path, code: int = 0, root: Path | None = None) -> Any:
        ran = run_here(f"{room}.cli", *words, "--json", "-d", root or self.root)
        assert (ran.code, "Traceback" in ran.stderr) == (code, False), (words, ran)
        return ran.json if code == 0 else ran.stderr

    def _check(self) -> None:
        """The samples and classes are as the book has them."""
        result = {
            line["id"]: (line["status"], line["label"], line["split"])
            for line in list_records(self.window, "samples", ())
        }
        assert result == self.book.told()
        marks = self.session.tiles.get_marks(list(result))
        rows = self.session.tiles.get_ids(result)
        book = {key: one.mark for key, one in self.book.samples.items()}
        assert {key: marks[row] for key, row in rows.items()} == book
        self.session.poll()
        counts = self.book.counts()
        assert {row.name: row.count for row in self.session.progress().counts.classes} == {
            name: counts[name] for name in self.book.shown()
        }
        depths = (len(self.book.undo_stack), len(self.book.redo_stack))
        assert self.session.history.depths() == depths

    def _some(self, most: int = 5) -> list[str]:
        keys = sorted(self.book.samples)
        return self.dice.sample(keys, min(len(keys), self.dice.randint(1, most)))

    def _class(self) -> str:
        return self.dice.choice(sorted(self.book.shown()) or list(NAMES))

    # -- pictures

    def _folder(self, *hints: str) -> tuple[Path, dict[str, str]]:
        """A new folder with some pictures, each in a folder of its class; their classes."""
        top = self.folder / f"found-{next(self.numbers)}"
        chosen = self.dice.sample(sorted(self.data), self.dice.randint(1, 6))
        result = {sha: self.dice.choice(hints or [""]) for sha in chosen}
        for number, (sha, hint) in enumerate(result.items()):
            (top / hint).mkdir(parents=True, exist_ok=True)
            (top / hint / f"{number}.jpg").write_bytes(self.data[sha])
        return top, result

    def _met(self, found: dict[str, str]) -> tuple[int, int]:
        """Pictures that are found; how many were new, and how many there."""
        there = [sha for sha in found if sha in self.book.pictures]
        taken = [sha for sha in found if sha not in self.book.forgotten]
        for sha in taken:
            self.book.picture(sha, make_sample_key(sha, SIZE))
        return len(taken) - len(there), len(there)

    def harvest_by_folders(self) -> None:
        top, results = self._folder(*NAMES[:4])
        result = self._run("harvest", "folder", top, "--hints-from-folders", "--workers", "1")
        there = [sha for sha in results if sha in self.book.pictures]
        assert (result["added"], result["duplicate"]) == self._met(results)
        for sha in results.keys() & self.book.pictures.keys():
            self.book.pictures[sha].hints.add(results[sha])
        assert result.get("taken_back", 0) == self.book.retract(there)

    def harvest_without_hints(self) -> None:
        top, results = self._folder()
        result = self._run("harvest", "folder", top, "--workers", "1")
        assert (result["added"], result["duplicate"]) == self._met(results)
        assert "taken_back" not in result

    def search(self) -> None:
        result = self._run("facecrop", "run", "--detector", "whole", "--workers", "1")
        assert result["images"] == self.book.search()

    def forget(self) -> None:
        if self.book.pictures and self.dice.random() < 0.5:
            sha = self.dice.choice(sorted(self.book.pictures))
            self._run("pipeline", "forget", "--image", sha, "-y")
            self.book.forget(sha)

    def import_tree(self) -> None:
        top, results = self._folder(*NAMES)
        gone = results.keys() <= self.book.forgotten
        result = self._run("labeler", "import", top, "--workers", "1", code=3 if gone else 0)
        if gone:
            return
        assert (result["added"], result["duplicate"]) == self._met(results)
        wanted, disputed = [], 0
        for sha in results.keys() & self.book.pictures.keys():
            key, label = self.book.pictures[sha].key, self.book.resolved(results[sha])
            if self.book.new_sample(key).said.waits:
                wanted.append((key, Decision("labelled", self.book.find_or_make(label)), "import"))
            else:
                disputed += self.book.label_of(self.book.samples[key].said) != label
        assert result["disputed"] == disputed
        if wanted:
            self.book.take(wanted)
        self.search()  # else an undo leaves samples that nothing has found

    # -- decisions by command

    def label(self) -> None:
        if self.book.samples:
            keys, name = self._some(), self.dice.choice([*NAMES, self._class()])
            result = self._run("labeler", "label", name, *keys)
            assert result["decided"] == len(keys)
            message = Decision("labelled", self.book.find_or_make(self.book.resolved(name)))
            self.book.take([(key, message, "person") for key in keys])

    def reject(self) -> None:
        if self.book.samples:
            keys = self._some()
            self._run("labeler", "label", "--reject", *keys)
            self.book.take([(key, REJECTED, "person") for key in keys])

    def undo(self) -> None:
        step = self.book.last()
        result = self._run("labeler", "undo", code=0 if step else 2)
        if step is not None:
            assert (result["restored"], result["changed_since"]) == self.book.undo(step), result

    def accept_hints(self) -> None:
        if not self.book.samples:
            return
        simulated = self._run("labeler", "accept", "hints", "--simulate")
        result = self._run("labeler", "accept", "hints")
        assert simulated == result
        choices = []
        for sha, one in sorted(self.book.pictures.items()):
            hints = self.book.hinted(sha)
            waits = one.key in self.book.samples and self.book.samples[one.key].said.waits
            if waits and len(hints) == 1:
                label = self.book.find_or_make(min(hints))
                choices.append((one.key, Decision("labelled", label), "hint"))
        assert result.get("taken_back", 0) == self.book.retract()
        assert result["accepted"] == len(choices)
        if choices:
            self.book.take(choices)

    def split(self) -> None:
        labelled = [key for key, one in self.book.samples.items() if one.said.label]
        result = self._run("labeler", "split", code=0 if labelled else 3)
        if labelled:
            splits = {
                line["id"]: line["split"] for line in list_records(self.window, "samples", ())
            }
            assert all(splits[key] for key in labelled), result
            self.book.split(splits)

    # -- classes

    def class_add(self) -> None:
        name = f"Class {next(self.numbers)}"
        self._run("labeler", "classes", "add", name)
        row = self.book.find_or_make(name)
        self.book.take(edits=[Edit("into", row, row, None)])

    def class_rename(self) -> None:
        if self.book.shown():
            old, new = self._class(), f"Class {next(self.numbers)}"
            self._run("labeler", "classes", "rename", old, new)
            self._renamed(old, new)

    def _renamed(self, old: str, new: str, *, ours: bool = False) -> None:
        self.book.take(edits=[Edit("name", self.book.shown()[old], old, new)], ours=ours)

    def class_merge(self) -> None:
        if len(self.book.shown()) > 1:
            old, into = self.dice.sample(sorted(self.book.shown()), 2)
            self._run("labeler", "classes", "merge", old, into)
            self._merged(old, into)

    def _merged(self, old: str, into: str, *, ours: bool = False) -> None:
        source, target = self.book.shown()[old], self.book.shown()[into]
        moved = [key for key, one in self.book.samples.items() if one.said.label == source]
        self.book.take(
            [(key, Decision("labelled", target), "merge") for key in moved],
            [Edit("into", source, None, target)],
            ours=ours,
        )

    def class_delete(self) -> None:
        if self.book.shown():
            name = self._class()
            result = self._run("labeler", "classes", "delete", name)
            assert result["back_in_queue"] == self.book.counts()[name]
            self._deleted(name)

    def _deleted(self, name: str, *, ours: bool = False) -> None:
        row = self.book.shown()[name]
        back = [key for key, one in self.book.samples.items() if one.said.label == row]
        out = [Edit("split", key, None, None) for key in back if self.book.samples[key].split]
        self.book.take(
            [(key, Decision(), "delete") for key in back],
            [*out, Edit("into", row, None, row)],
            ours=ours,
        )

    # -- the whole

    def snapshot(self) -> None:
        name = f"v{next(self.numbers)}"
        result = self._run("pipeline", "snapshot", name)
        assert result["labelled"] == sum(self.book.counts().values())

    def export(self) -> None:
        out = self.folder / "exported"
        ready = [
            sample for sample in self.book.samples.values() if sample.said.label and sample.split
        ]
        self._run("labeler", "export", out, code=0 if ready else 3)
        if ready:
            files = Counter(path.parent.relative_to(out).as_posix() for path in out.rglob("*.jpg"))
            labels = Counter(f"{one.split}/{self.book.label_of(one.said)}" for one in ready)
            assert files == labels

    def look(self) -> None:
        """What is told of the whole, and the bytes of every picture."""
        result = self._run("pipeline", "status")
        status = Counter(sample.said.shown for sample in self.book.samples.values())
        assert (result["images"], result["samples"]) == (len(self.book.pictures), dict(status))
        assert result["labels"] == dict(self.book.counts())
        rows = self._run("labeler", "classes", "list")["classes"]
        assert {row["name"]: row["samples"] for row in rows} == {
            name: self.book.counts()[name] for name in self.book.shown()
        }
        files = {path.stem: path.read_bytes() for path in (self.root / "images").rglob("*.jpg")}
        assert files == {sha: self.data[sha] for sha in self.book.pictures}
        seen = self._run("pipeline", "verify")
        assert (seen["sound"], seen["strays"]) == (len(self.book.pictures), 0)
        # An undo may bring back what was in dispute; it is told.
        assert seen["disputed_labels"] == len(self.book.disputed())
        assert (seen["orphan_rows"], seen["duplicate_faces"]) == (0, 0)

    def sweep(self) -> None:
        result = self._run("pipeline", "gc", "--older", "0h")
        assert result["removed"] == 0

    def dedup(self) -> None:
        result = self._run("labeler", "dedup", "--workers", "1")
        assert (result["set_aside"], result["conflicts"]) == (0, 0)

    def merge(self) -> None:
        """Another person decides in a copy, we decide here, and theirs is taken in."""
        if len(self.book.samples) < 2:
            return
        copy = self.folder / f"copy-{next(self.numbers)}"
        shutil.copytree(self.root, copy)
        theirs: dict[str, tuple[Decision, str | None]] = {}
        for key in self._some(4):
            name = self.dice.choice([None, *sorted(self.book.shown()), "Newcomer"])
            words = ("label", "--reject", key) if name is None else ("label", name, key)
            self._run("labeler", *words, root=copy)
            theirs[key] = (REJECTED if name is None else Decision("labelled"), name)
        mine = self.dice.sample(sorted(theirs), self.dice.randint(0, len(theirs)))
        for key in mine:
            name = self._class()
            self._run("labeler", "label", name, key)
            row = self.book.find_or_make(name)
            self.book.take([(key, Decision("labelled", row), "person")])
        simulated = self._run("pipeline", "merge", copy, "--simulate")
        result = self._run("pipeline", "merge", copy)
        assert simulated["would_merge"] == result
        choices, conflicts = self.book.merge(theirs, mine)
        assert (result["decided"], result["conflicts"]) == (len(choices), conflicts)
        assert result.get("taken_back", 0) == self.book.retract()
        shutil.rmtree(copy)

    # -- a window

    def window_send(self) -> None:
        if self.book.samples:
            keys = self._some()
            target = self.dice.choice([*PLACES, *NAMES, *self.book.shown()])
            rows = self.session.tiles.get_ids(keys)
            assert self.session.to(list(rows.values()), target).count == len(keys)
            if target in PLACES:
                message, mark = PLACES[target]
            else:
                row = self.book.find_or_make(self.book.resolved(target))
                message, mark = Decision("labelled", row), None
            marks = [Edit("mark", k, None, mark) for k in keys if self.book.samples[k].mark != mark]
            self.book.take([(key, message, "by hand") for key in keys], marks, ours=True)

    def window_undo(self) -> None:
        self._back(self.book.undo_stack, self.session.undo)

    def window_redo(self) -> None:
        self._back(self.book.redo_stack, self.session.redo)

    def _back(self, stack: list[int], act: Callable[[], Any]) -> None:
        self.session.poll()
        if not stack:
            with pytest.raises(UsageError, match="nothing to"):
                act()
            return
        step = self.book.steps[stack[-1] - 1]
        if self.book.in_the_way(step):
            with pytest.raises(UsageError, match="left to"):
                act()
            return
        result = act()
        assert (result.count, result.changed_since) == self.book.undo(step, ours=True)

    def window_rename(self) -> None:
        if self.book.shown():
            old, new = self._class(), f"Class {next(self.numbers)}"
            self.session.rename_class(old, new)
            self._renamed(old, new, ours=True)

    def window_merge(self) -> None:
        if len(self.book.shown()) > 1:
            old, into = self.dice.sample(sorted(self.book.shown()), 2)
            self.session.merge_class(old, into)
            self._merged(old, into, ours=True)

    def window_delete(self) -> None:
        if self.book.shown():
            name = self._class()
            self.session.delete_class(name)
            self._deleted(name, ours=True)

    def window_anew(self) -> None:
        self.window.close()
        self.window = Dataset.open(self.root)
        self.session = SortingSession(self.window)
        self.book.reopened()


@pytest.fixture
def walks(tmp_path: Path) -> Iterator[Callable[[int, int], Walk]]:
    made: list[Walk] = []

    def walk(seed: int, steps: int) -> Walk:
        made.append(Walk(tmp_path, seed))
        taken = []
        try:
            for _ in range(steps):
                act = made[-1].dice.choice(made[-1].acts)
                taken.append(act.__name__)
                made[-1]._step(act)
        except BaseException as error:
            error.add_note(f"seed {seed}, step {len(taken)}: {' '.join(taken[-12:])}")
            raise
        made[-1].accept_hints()  # what an undo brought back is disputed still
        made[-1]._check()
        made[-1].look()
        return made[-1]

    yield walk
    for one in made:
        one.window.close()


def test_random_commands_match_model(walks: Callable[[int, int], Walk]) -> None:
    assert len(walks(0, 40).book.steps) > 10


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_500_random_commands_match_model(walks: Callable[[int, int], Walk], seed: int) -> None:
    walk = walks(seed, 500)
    assert len(walk.acts) >= 20
    assert len(walk.book.steps) > 100

"""Commands and a window in random order: counts agree, and undo restores the state before."""

import hashlib
import random
import shutil
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from tools_for_tests import picture, run_here

from gleanset import Dataset
from labeler.sorting.session import SortingSession, StepResult
from pipeline.listing import list_records

NAMES = ("Hana", "Rei", "Miku", "Sora")
TARGETS = (":not a face", ":other", ":later", ":queue", *NAMES)
IMAGES = {hashlib.sha256(data).hexdigest(): data for data in map(picture, range(24))}


class Walk:
    """A dataset and a window on it. Each method without an underscore is a step.

    A step may return the ids of the samples whose labels it may change.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.root = folder / "dataset"
        self.random = random.Random(seed)
        self.numbers = iter(range(1_000_000))
        self.forgotten: set[str] = set()
        with Dataset.create(self.root):
            pass
        self.window_reopen()
        self.steps: list[Callable[[], Collection[str] | None]] = [
            getattr(self, name)
            for name in sorted(vars(Walk))
            if not name.startswith("_")
        ]

    def _run(
        self, package: str, *words: str | Path, code: int = 0, root: Path | None = None
    ) -> Any:
        ran = run_here(f"{package}.cli", *words, "--json", "-d", root or self.root)
        assert (ran.code, "Traceback" in ran.stderr) == (code, False), (words, ran)
        return ran.json if code == 0 else ran.stderr

    def _samples(self) -> dict[str, tuple[str, str | None, str | None]]:
        return {
            line["id"]: (line["status"], line["label"], line["split"])
            for line in list_records(self.window, "samples", ())
        }

    def _classes(self) -> dict[str, int]:
        self.session.poll()
        return {row.name: row.count for row in self.session.progress().counts.classes}

    def _check(self) -> None:
        """Compare the counts of listing, window and journal."""
        samples = self._samples()
        labels = Counter(label for _, label, _ in samples.values() if label is not None)
        assert {
            name: count for name, count in self._classes().items() if count
        } == labels
        assert all(
            (status == "labelled") == bool(label)
            for status, label, _ in samples.values()
        )
        assert {sample.image for sample in self.window.samples.iterate()}.isdisjoint(
            self.forgotten
        )

    def _random_samples(self) -> list[str]:
        keys = sorted(
            key for key, (status, *_) in self._samples().items() if status != "retired"
        )
        return self.random.sample(keys, min(len(keys), self.random.randint(1, 5)))

    def _random_class(self) -> str:
        return self.random.choice(sorted(self._classes()) or list(NAMES))

    def _images(self) -> set[str]:
        return {image.sha256 for image in self.window.images.iterate()}

    # -- images

    def _write_images(self, *classes: str) -> tuple[Path, set[str]]:
        """Write images, into folders of classes if given; return the folder and their hashes."""
        top = self.folder / f"images-{next(self.numbers)}"
        chosen = self.random.sample(sorted(IMAGES), self.random.randint(1, 6))
        for number, sha256 in enumerate(chosen):
            file = top / self.random.choice(classes or ("",)) / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(IMAGES[sha256])
        return top, set(chosen)

    def harvest(self) -> None:
        top, chosen = self._write_images(*self.random.choice([(), NAMES]))
        known = self._images()
        result = self._run(
            "harvest", "folder", top, "--hints-from-folders", "--workers", "1"
        )
        assert result["added"] == len(chosen - known - self.forgotten)
        assert result["duplicate"] == len(chosen & known)

    def import_tree(self) -> None:
        top, chosen = self._write_images(*NAMES)
        known = self._images()
        gone = chosen <= self.forgotten
        result = self._run(
            "labeler", "import", top, "--workers", "1", code=3 if gone else 0
        )
        if not gone:
            assert result["added"] == len(chosen - known - self.forgotten)
            labels = {
                sample.image: sample.label for sample in self.window.samples.iterate()
            }
            assert all(labels[sha256] for sha256 in chosen - known - self.forgotten)
        self.search()  # otherwise an undo leaves samples that no search found

    def search(self) -> None:
        self._run("facecrop", "run", "--detector", "whole", "--workers", "1")
        assert {
            sample.image for sample in self.window.samples.iterate()
        } == self._images()

    def forget(self) -> None:
        if images := sorted(self._images()):
            sha256 = self.random.choice(images)
            self._run("pipeline", "forget", "--image", sha256, "-y")
            self.forgotten.add(sha256)

    # -- steps that undo reverts

    def _decide(self, decide: Callable[[], object], undo: Callable[[], object]) -> None:
        """Take a step; one time in three undo it and compare with the state before."""
        before = self._samples(), self._classes()
        decide()
        if self.random.random() < 1 / 3:
            undo()
            assert (self._samples(), self._classes()) == before

    def _command(self, *words: str) -> None:
        undo = ("labeler", "undo")
        self._decide(lambda: self._run("labeler", *words), lambda: self._run(*undo))

    def _gesture(self, act: Callable[..., StepResult], *arguments: Any) -> None:
        results: list[StepResult] = []

        def undo() -> None:
            # What changes nothing is no step: undo would take back an earlier one.
            if results[0].step:
                self.session.undo()

        self._decide(lambda: results.append(act(*arguments)), undo)

    def label(self) -> Collection[str]:
        if keys := self._random_samples():
            name = self.random.choice([*NAMES, self._random_class()])
            self._command("label", name, *keys)
        return keys

    def reject(self) -> Collection[str]:
        if keys := self._random_samples():
            self._command("label", "--reject", *keys)
            assert all(self._samples()[key][0] != "retired" for key in keys)
        return keys

    def class_add(self) -> None:
        self._command("classes", "add", f"Class {next(self.numbers)}")

    def class_rename(self) -> None:
        if self._classes():
            self._command(
                "classes", "rename", self._random_class(), f"Class {next(self.numbers)}"
            )

    def class_merge(self) -> None:
        if len(self._classes()) > 1:
            self._command(
                "classes", "merge", *self.random.sample(sorted(self._classes()), 2)
            )

    def class_delete(self) -> None:
        if self._classes():
            self._command("classes", "delete", self._random_class())

    def window_send(self) -> Collection[str]:
        if keys := self._random_samples():
            target = self.random.choice([*TARGETS, *self._classes()])
            ids = list(self.session.tiles.get_ids(keys).values())
            self._gesture(self.session.decide, ids, target)
        return keys

    def window_rename(self) -> None:
        if self._classes():
            new = f"Class {next(self.numbers)}"
            self._gesture(self.session.rename_class, self._random_class(), new)

    def window_merge(self) -> None:
        if len(self._classes()) > 1:
            classes = self.random.sample(sorted(self._classes()), 2)
            self._gesture(self.session.rename_class, *classes)

    def window_delete(self) -> None:
        if self._classes():
            self._gesture(self.session.delete_class, self._random_class())

    def window_reopen(self) -> None:
        if hasattr(self, "window"):
            self.window.close()
        self.window = Dataset.open(self.root)
        self.session = SortingSession(self.window)

    # -- whole dataset

    def accept_hints(self) -> None:
        if self._samples():
            simulated = self._run("labeler", "accept", "hints", "--simulate")
            assert simulated == self._run("labeler", "accept", "hints")
            assert self._run("labeler", "accept", "hints")["accepted"] == 0

    def split(self) -> Collection[str]:
        labelled = [key for key, (_, label, _) in self._samples().items() if label]
        self._run("labeler", "split", code=0 if labelled else 3)
        assert all(self._samples()[key][2] for key in labelled)
        return ()

    def export(self) -> Collection[str]:
        out = self.folder / "exported"
        samples = self._samples().values()
        expected = Counter(
            f"{split}/{label}" for _, label, split in samples if label and split
        )
        self._run("labeler", "export", out, code=0 if expected else 3)
        if expected:
            files = Counter(
                path.parent.relative_to(out).as_posix() for path in out.rglob("*.jpg")
            )
            assert files == expected
        return ()

    def merge(self) -> None:
        """Label in a copy and here, then merge the copy."""
        keys = self._random_samples()
        copy = self.folder / f"copy-{next(self.numbers)}"
        shutil.copytree(self.root, copy)
        for key in keys:
            self._run("labeler", "label", self.random.choice(NAMES), key, root=copy)
        for key in self.random.sample(keys, self.random.randint(0, len(keys))):
            self._run("labeler", "label", self._random_class(), key)
        simulated = self._run("pipeline", "merge", copy, "--simulate")
        assert simulated["would_merge"] == self._run("pipeline", "merge", copy)
        assert not any(self._run("pipeline", "merge", copy).values())
        shutil.rmtree(copy)

    def verify(self) -> None:
        """Compare status, files and `verify`; dedup and gc find nothing."""
        images, samples = self._images(), self._samples()
        status = self._run("pipeline", "status")
        assert status["images"] == len(images)
        assert status["labels"] == {name: n for name, n in self._classes().items() if n}
        listed = Counter(status for status, _, _ in samples.values())
        assert {name: status["samples"].get(name, 0) for name in listed} == listed
        files = {
            path.stem: path.read_bytes()
            for path in (self.root / "images").rglob("*.jpg")
        }
        assert files == {sha256: IMAGES[sha256] for sha256 in images}
        counts = self._run("pipeline", "verify")
        names = ("sound", "unused_files", "orphan_rows")
        assert [counts[name] for name in names] == [len(images), 0, 0]
        assert self._run("labeler", "dedup", "--workers", "1")["set_aside"] == 0
        assert self._run("pipeline", "gc", "--older", "0h")["removed"] == 0


def run_walk(folder: Path, seed: int, number: int) -> None:
    walk = Walk(folder, seed)
    names = list[str]()
    try:
        for _ in range(number):
            step = walk.random.choice(walk.steps)
            names.append(step.__name__)
            before = walk._samples()
            changed = step()
            walk._check()
            if changed is not None:
                after = walk._samples()
                assert all(
                    after[key][1] == before[key][1]
                    for key in before.keys() - {*changed}
                )
        walk.verify()
    except BaseException as error:
        error.add_note(f"seed {seed}, step {len(names)}: {' '.join(names[-12:])}")
        raise
    finally:
        walk.window.close()


def test_random_commands_keep_dataset_consistent(tmp_path: Path) -> None:
    run_walk(tmp_path, 0, 40)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_500_random_commands_keep_dataset_consistent(tmp_path: Path, seed: int) -> None:
    run_walk(tmp_path, seed, 500)

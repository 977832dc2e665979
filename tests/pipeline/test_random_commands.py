"""Commands and a window in random order, compared with a reference model after each step."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections import Counter
from collections.abc import Callable
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
IMAGES = tuple(picture(seed) for seed in range(24))
SIZE = Box(0, 0, 64, 48)
REJECTED = Decision("rejected")


def sha_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Walk:
    """A dataset, a window on it, and the model. Each method without an underscore is a step."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.root = folder, folder / "dataset"
        self.random = random.Random(seed)
        self.model = DatasetModel()
        self.numbers = iter(range(1_000_000))
        self.data = {sha_of(data): data for data in IMAGES}
        with Dataset.create(self.root):
            pass
        self.window = Dataset.open(self.root)
        self.session = SortingSession(self.window)
        self.steps: list[Callable[[], None]] = [
            getattr(self, name) for name in sorted(vars(Walk)) if not name.startswith("_")
        ]

    def _run(
        self, package: str, *words: str | Path, code: int = 0, root: Path | None = None
    ) -> Any:
        ran = run_here(f"{package}.cli", *words, "--json", "-d", root or self.root)
        assert (ran.code, "Traceback" in ran.stderr) == (code, False), (words, ran)
        return ran.json if code == 0 else ran.stderr

    def _check(self) -> None:
        """Compare samples, classes and undo stacks with the model."""
        result = {
            line["id"]: (line["status"], line["label"], line["split"])
            for line in list_records(self.window, "samples", ())
        }
        assert result == self.model.listed()
        marks = self.session.tiles.get_marks(list(result))
        rows = self.session.tiles.get_ids(result)
        expected_marks = {key: sample.mark for key, sample in self.model.samples.items()}
        assert {key: marks[row] for key, row in rows.items()} == expected_marks
        self.session.poll()
        counts = self.model.counts()
        assert {row.name: row.count for row in self.session.progress().counts.classes} == {
            name: counts[name] for name in self.model.visible_classes()
        }
        depths = (len(self.model.undo_stack), len(self.model.redo_stack))
        assert self.session.history.depths() == depths

    def _random_samples(self, most: int = 5) -> list[str]:
        keys = sorted(self.model.samples)
        return self.random.sample(keys, min(len(keys), self.random.randint(1, most)))

    def _random_class(self) -> str:
        return self.random.choice(sorted(self.model.visible_classes()) or list(NAMES))

    # -- images

    def _make_folder(self, *hints: str) -> tuple[Path, dict[str, str]]:
        """Write images into class folders; return the folder and the class of each image."""
        top = self.folder / f"images-{next(self.numbers)}"
        chosen = self.random.sample(sorted(self.data), self.random.randint(1, 6))
        result = {sha: self.random.choice(hints or [""]) for sha in chosen}
        for number, (sha, hint) in enumerate(result.items()):
            (top / hint).mkdir(parents=True, exist_ok=True)
            (top / hint / f"{number}.jpg").write_bytes(self.data[sha])
        return top, result

    def _add_images(self, images: dict[str, str]) -> tuple[int, int]:
        """Add harvested images to the model; return the numbers of new and known ones."""
        known_images = [sha for sha in images if sha in self.model.images]
        accepted = [sha for sha in images if sha not in self.model.forgotten]
        for sha in accepted:
            self.model.add_image(sha, make_sample_key(sha, SIZE))
        return len(accepted) - len(known_images), len(known_images)

    def harvest_by_folders(self) -> None:
        top, results = self._make_folder(*NAMES[:4])
        result = self._run("harvest", "folder", top, "--hints-from-folders", "--workers", "1")
        known_images = [sha for sha in results if sha in self.model.images]
        assert (result["added"], result["duplicate"]) == self._add_images(results)
        for sha in results.keys() & self.model.images.keys():
            self.model.images[sha].weak_labels.add(results[sha])
        assert result.get("taken_back", 0) == self.model.retract(known_images)

    def harvest_without_hints(self) -> None:
        top, results = self._make_folder()
        result = self._run("harvest", "folder", top, "--workers", "1")
        assert (result["added"], result["duplicate"]) == self._add_images(results)
        assert "taken_back" not in result

    def search(self) -> None:
        result = self._run("facecrop", "run", "--detector", "whole", "--workers", "1")
        assert result["images"] == self.model.search()

    def forget(self) -> None:
        if self.model.images and self.random.random() < 0.5:
            sha = self.random.choice(sorted(self.model.images))
            self._run("pipeline", "forget", "--image", sha, "-y")
            self.model.forget(sha)

    def import_tree(self) -> None:
        top, results = self._make_folder(*NAMES)
        gone = results.keys() <= self.model.forgotten
        result = self._run("labeler", "import", top, "--workers", "1", code=3 if gone else 0)
        if gone:
            return
        assert (result["added"], result["duplicate"]) == self._add_images(results)
        choices, disputed = [], 0
        for sha in results.keys() & self.model.images.keys():
            key, label = self.model.images[sha].key, self.model.resolve_name(results[sha])
            if self.model.add_retired_sample(key).decision.is_pending:
                choices.append(
                    (key, Decision("labelled", self.model.get_or_create(label)), "import")
                )
            else:
                disputed += self.model.label_of(self.model.samples[key].decision) != label
        assert result["disputed"] == disputed
        if choices:
            self.model.apply(choices)
        self.search()  # otherwise an undo leaves samples that no search found

    # -- decisions by command

    def label(self) -> None:
        if self.model.samples:
            keys, name = self._random_samples(), self.random.choice([*NAMES, self._random_class()])
            result = self._run("labeler", "label", name, *keys)
            assert result["decided"] == len(keys)
            message = Decision("labelled", self.model.get_or_create(self.model.resolve_name(name)))
            self.model.apply([(key, message, "person") for key in keys])

    def reject(self) -> None:
        if self.model.samples:
            keys = self._random_samples()
            self._run("labeler", "label", "--reject", *keys)
            self.model.apply([(key, REJECTED, "person") for key in keys])

    def undo(self) -> None:
        step = self.model.last_step()
        result = self._run("labeler", "undo", code=0 if step else 2)
        if step is not None:
            assert (result["restored"], result["changed_since"]) == self.model.undo(step), result

    def accept_hints(self) -> None:
        if not self.model.samples:
            return
        simulated = self._run("labeler", "accept", "hints", "--simulate")
        result = self._run("labeler", "accept", "hints")
        assert simulated == result
        choices = []
        for sha, image in sorted(self.model.images.items()):
            hints = self.model.weak_labels_of(sha)
            sample = self.model.samples.get(image.key)
            if sample is not None and sample.decision.is_pending and len(hints) == 1:
                label = self.model.get_or_create(min(hints))
                choices.append((image.key, Decision("labelled", label), "hint"))
        assert result.get("taken_back", 0) == self.model.retract()
        assert result["accepted"] == len(choices)
        if choices:
            self.model.apply(choices)

    def split(self) -> None:
        labelled = [key for key, sample in self.model.samples.items() if sample.decision.label]
        result = self._run("labeler", "split", code=0 if labelled else 3)
        if labelled:
            splits = {
                line["id"]: line["split"] for line in list_records(self.window, "samples", ())
            }
            assert all(splits[key] for key in labelled), result
            self.model.split(splits)

    # -- classes

    def class_add(self) -> None:
        name = f"Class {next(self.numbers)}"
        self._run("labeler", "classes", "add", name)
        row = self.model.get_or_create(name)
        self.model.apply(edits=[Edit("into", row, row, None)])

    def class_rename(self) -> None:
        if self.model.visible_classes():
            old, new = self._random_class(), f"Class {next(self.numbers)}"
            self._run("labeler", "classes", "rename", old, new)
            self._model_rename(old, new)

    def _model_rename(self, old: str, new: str, *, ours: bool = False) -> None:
        self.model.apply(
            edits=[Edit("name", self.model.visible_classes()[old], old, new)], ours=ours
        )

    def class_merge(self) -> None:
        if len(self.model.visible_classes()) > 1:
            old, into = self.random.sample(sorted(self.model.visible_classes()), 2)
            self._run("labeler", "classes", "merge", old, into)
            self._model_merge(old, into)

    def _model_merge(self, old: str, into: str, *, ours: bool = False) -> None:
        source, target = self.model.visible_classes()[old], self.model.visible_classes()[into]
        moved = [
            key for key, sample in self.model.samples.items() if sample.decision.label == source
        ]
        self.model.apply(
            [(key, Decision("labelled", target), "merge") for key in moved],
            [Edit("into", source, None, target)],
            ours=ours,
        )

    def class_delete(self) -> None:
        if self.model.visible_classes():
            name = self._random_class()
            result = self._run("labeler", "classes", "delete", name)
            assert result["back_in_queue"] == self.model.counts()[name]
            self._model_delete(name)

    def _model_delete(self, name: str, *, ours: bool = False) -> None:
        row = self.model.visible_classes()[name]
        back = [key for key, sample in self.model.samples.items() if sample.decision.label == row]
        out = [Edit("split", key, None, None) for key in back if self.model.samples[key].split]
        self.model.apply(
            [(key, Decision(), "delete") for key in back],
            [*out, Edit("into", row, None, row)],
            ours=ours,
        )

    # -- whole dataset

    def snapshot(self) -> None:
        name = f"v{next(self.numbers)}"
        result = self._run("pipeline", "snapshot", name)
        assert result["labelled"] == sum(self.model.counts().values())

    def export(self) -> None:
        out = self.folder / "exported"
        ready = [
            sample
            for sample in self.model.samples.values()
            if sample.decision.label and sample.split
        ]
        self._run("labeler", "export", out, code=0 if ready else 3)
        if ready:
            files = Counter(path.parent.relative_to(out).as_posix() for path in out.rglob("*.jpg"))
            labels = Counter(
                f"{sample.split}/{self.model.label_of(sample.decision)}" for sample in ready
            )
            assert files == labels

    def check_status_and_files(self) -> None:
        """Compare status, classes, files and `verify` with the model."""
        result = self._run("pipeline", "status")
        status = Counter(sample.decision.listed_status for sample in self.model.samples.values())
        assert (result["images"], result["samples"]) == (len(self.model.images), dict(status))
        assert result["labels"] == dict(self.model.counts())
        rows = self._run("labeler", "classes", "list")["classes"]
        assert {row["name"]: row["samples"] for row in rows} == {
            name: self.model.counts()[name] for name in self.model.visible_classes()
        }
        files = {path.stem: path.read_bytes() for path in (self.root / "images").rglob("*.jpg")}
        assert files == {sha: self.data[sha] for sha in self.model.images}
        report = self._run("pipeline", "verify")
        assert (report["sound"], report["strays"]) == (len(self.model.images), 0)
        # An undo may restore disputed labels; verify reports them.
        assert report["disputed_labels"] == len(self.model.disputed())
        assert (report["orphan_rows"], report["duplicate_faces"]) == (0, 0)

    def collect_garbage(self) -> None:
        result = self._run("pipeline", "gc", "--older", "0h")
        assert result["removed"] == 0

    def dedup(self) -> None:
        result = self._run("labeler", "dedup", "--workers", "1")
        assert (result["set_aside"], result["conflicts"]) == (0, 0)

    def merge(self) -> None:
        """Label in a copy and here, then merge the copy."""
        if len(self.model.samples) < 2:
            return
        copy = self.folder / f"copy-{next(self.numbers)}"
        shutil.copytree(self.root, copy)
        theirs: dict[str, tuple[Decision, str | None]] = {}
        for key in self._random_samples(4):
            name = self.random.choice([None, *sorted(self.model.visible_classes()), "Newcomer"])
            words = ("label", "--reject", key) if name is None else ("label", name, key)
            self._run("labeler", *words, root=copy)
            theirs[key] = (REJECTED if name is None else Decision("labelled"), name)
        mine = self.random.sample(sorted(theirs), self.random.randint(0, len(theirs)))
        for key in mine:
            name = self._random_class()
            self._run("labeler", "label", name, key)
            row = self.model.get_or_create(name)
            self.model.apply([(key, Decision("labelled", row), "person")])
        simulated = self._run("pipeline", "merge", copy, "--simulate")
        result = self._run("pipeline", "merge", copy)
        assert simulated["would_merge"] == result
        choices, conflicts = self.model.merge(theirs, mine)
        assert (result["decided"], result["conflicts"]) == (len(choices), conflicts)
        assert result.get("taken_back", 0) == self.model.retract()
        shutil.rmtree(copy)

    # -- window

    def window_send(self) -> None:
        if self.model.samples:
            keys = self._random_samples()
            target = self.random.choice([*PLACES, *NAMES, *self.model.visible_classes()])
            rows = self.session.tiles.get_ids(keys)
            assert self.session.to(list(rows.values()), target).count == len(keys)
            if target in PLACES:
                message, mark = PLACES[target]
            else:
                row = self.model.get_or_create(self.model.resolve_name(target))
                message, mark = Decision("labelled", row), None
            marks = [
                Edit("mark", k, None, mark) for k in keys if self.model.samples[k].mark != mark
            ]
            self.model.apply([(key, message, "by hand") for key in keys], marks, ours=True)

    def window_undo(self) -> None:
        self._undo_or_redo(self.model.undo_stack, self.session.undo)

    def window_redo(self) -> None:
        self._undo_or_redo(self.model.redo_stack, self.session.redo)

    def _undo_or_redo(self, stack: list[int], undo: Callable[[], Any]) -> None:
        self.session.poll()
        if not stack:
            with pytest.raises(UsageError, match="nothing to"):
                undo()
            return
        step = self.model.steps[stack[-1] - 1]
        if self.model.is_blocked(step):
            with pytest.raises(UsageError, match="left to"):
                undo()
            return
        result = undo()
        assert (result.count, result.changed_since) == self.model.undo(step, ours=True)

    def window_rename(self) -> None:
        if self.model.visible_classes():
            old, new = self._random_class(), f"Class {next(self.numbers)}"
            self.session.rename_class(old, new)
            self._model_rename(old, new, ours=True)

    def window_merge(self) -> None:
        if len(self.model.visible_classes()) > 1:
            old, into = self.random.sample(sorted(self.model.visible_classes()), 2)
            self.session.merge_class(old, into)
            self._model_merge(old, into, ours=True)

    def window_delete(self) -> None:
        if self.model.visible_classes():
            name = self._random_class()
            self.session.delete_class(name)
            self._model_delete(name, ours=True)

    def window_reopen(self) -> None:
        self.window.close()
        self.window = Dataset.open(self.root)
        self.session = SortingSession(self.window)
        self.model.reset_stacks()


def run_walk(folder: Path, seed: int, number: int) -> DatasetModel:
    """Run random steps and compare the dataset with the model after each."""
    walk, names = Walk(folder, seed), list[str]()
    try:
        for _ in range(number):
            step = walk.random.choice(walk.steps)
            names.append(step.__name__)
            step()
            walk._check()
        walk.accept_hints()
        walk._check()
        walk.check_status_and_files()
    except BaseException as error:
        error.add_note(f"seed {seed}, step {len(names)}: {' '.join(names[-12:])}")
        raise
    finally:
        walk.window.close()
    return walk.model


def test_random_commands_match_model(tmp_path: Path) -> None:
    assert len(run_walk(tmp_path, 0, 40).steps) > 10


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_500_random_commands_match_model(tmp_path: Path, seed: int) -> None:
    assert len(run_walk(tmp_path, seed, 500).steps) > 100

"""Names of classes against a simple model: each name means one class, whatever is renamed."""

import copy
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labeler_makers import add_faces, add_image, label, sample_states
from tools_for_tests import examples, run_here

from gleanset import Dataset
from gleanset.db.classes import list_aliases
from gleanset.db.proposals import (
    PrelabelledSample,
    Proposal,
    Proposals,
    iter_proposed_samples,
)
from gleanset.db.sorting import SampleTiles
from gleanset.errors import UsageError
from labeler.classes import ClassEditor

NAMES = ("cat", "dog", "neko", "kitty", "lion")
SAMPLES = 3


@dataclass
class Model:
    """Classes are numbers with a current name; `meaning` maps every name to a class."""

    names: dict[int, str] = field(default_factory=dict)
    meaning: dict[str, int] = field(default_factory=dict)
    in_use: set[int] = field(default_factory=set)
    labels: dict[int, int] = field(default_factory=dict)

    def resolve(self, name: str) -> str:
        return self.names[self.meaning[name]] if name in self.meaning else name

    def living(self, name: str) -> int | None:
        number = self.meaning.get(name)
        return number if number in self.in_use else None

    def make(self, name: str) -> int:
        """Return the class of a name, which is in use from now on."""
        name = self.resolve(name)
        if self.names.get(self.meaning.get(name, -1)) != name:
            number = len(self.names)
            self.names[number] = name
            self.meaning[name] = number
        self.in_use.add(self.meaning[name])
        return self.meaning[name]

    def add(self, name: str, _: str) -> None:
        if self.names.get(self.meaning.get(name, -1)) != name:
            self.meaning.pop(name, None)
        self.make(name)

    def rename(self, old: str, new: str) -> None:
        number = self.meaning[old]
        other = self.meaning.get(new)
        if other is not None and other != number and self.names[other] == new:
            # The names of a deleted class do not become names of this one.
            self.meaning = {name: n for name, n in self.meaning.items() if n != other}
        self.meaning[new] = number
        self.names[number] = new

    def merge(self, old: str, into: str) -> None:
        source, target = self.meaning[old], self.meaning[into]
        self.meaning = {
            name: target if n == source else n for name, n in self.meaning.items()
        }
        self.labels = {s: target if n == source else n for s, n in self.labels.items()}
        self.in_use.discard(source)

    def delete(self, name: str, _: str) -> None:
        number = self.meaning[name]
        self.labels = {s: n for s, n in self.labels.items() if n != number}
        self.in_use.discard(number)

    def add_alias(self, alias: str, name: str) -> None:
        other = self.meaning.get(alias)
        if other is not None and self.names[other] == alias:
            self.merge(alias, name)
        self.meaning[alias] = self.meaning[name]

    def remove_alias(self, alias: str, _: str) -> None:
        del self.meaning[alias]

    def label(self, name: str, sample: str) -> None:
        self.labels[NAMES.index(sample) % SAMPLES] = self.make(name)

    def state(self) -> tuple[dict[str, str], list[str | None]]:
        labels = [
            self.names[self.labels[s]] if s in self.labels else None
            for s in range(SAMPLES)
        ]
        return {name: self.resolve(name) for name in NAMES}, labels


@dataclass
class Player:
    """Plays operations on a dataset and on the model, which is a list of its states."""

    dataset: Dataset
    keys: list[str]
    states: list[Model] = field(default_factory=lambda: [Model()])
    undone: list[Model] = field(default_factory=list)

    def play(self, operation: str, first: str, second: str) -> None:
        if operation in ("undo", "redo"):
            getattr(self, operation)()
        elif self.is_possible(operation, first, second):
            try:
                self._operations()[operation](first, second)
            except UsageError:
                return
            model = copy.deepcopy(self.states[-1])
            getattr(model, operation)(first, second)
            self.states.append(model)
            self.undone.clear()

    def is_possible(self, operation: str, first: str, second: str) -> bool:
        model = self.states[-1]
        if operation == "remove_alias":
            return any(
                first in aliases for aliases in list_aliases(self.dataset.db).values()
            )
        if operation in ("rename", "delete") and model.living(first) is None:
            return False
        return operation not in ("merge", "add_alias") or (
            model.living(second) is not None
            and (operation == "add_alias" or model.living(first) is not None)
        )

    def _operations(self) -> dict[str, Callable[[str, str], Any]]:
        editor = ClassEditor(self.dataset)
        return {
            "add": lambda name, _: editor.add(name),
            "rename": editor.rename,
            "merge": editor.merge,
            "delete": lambda name, _: editor.delete(name),
            "add_alias": editor.add_alias,
            "remove_alias": lambda name, _: editor.remove_alias(name),
            "label": lambda name, sample: label(
                self.dataset, self.keys[NAMES.index(sample) % SAMPLES], name
            ),
        }

    def undo(self) -> None:
        if len(self.states) > 1:
            self.dataset.journal.undo()
            self.undone.append(self.states.pop())

    def redo(self) -> None:
        if self.undone:
            # The last step that is not undone itself is the last undo.
            steps = SampleTiles(self.dataset.db).list_steps()
            reverted = {step.undoes for step in steps}
            last = max(
                step.id for step in steps if step.undoes and step.id not in reverted
            )
            self.dataset.journal.undo(last)
            self.states.append(self.undone.pop())

    def state(self) -> tuple[dict[str, str], list[str | None]]:
        meanings = {name: self.dataset.classes.resolve_alias(name) for name in NAMES}
        states = sample_states(self.dataset)
        return meanings, [states[key][1] for key in self.keys]


OPERATIONS = st.tuples(
    st.sampled_from(
        [
            "add",
            "rename",
            "merge",
            "delete",
            "add_alias",
            "remove_alias",
            "label",
            "undo",
            "redo",
        ]
    ),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
)


@settings(
    max_examples=examples(80, 1000),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(OPERATIONS, min_size=4, max_size=14))
def test_every_name_means_the_class_of_the_model(
    operations: list[tuple[str, str, str]],
) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        with Dataset.create(root / "ds") as dataset:
            keys = [
                add_faces(dataset, add_image(dataset, f"p{n}"))[0]
                for n in range(SAMPLES)
            ]
            player = Player(dataset, keys)
            for operation in operations:
                player.play(*operation)
                assert player.state() == player.states[-1].state(), operation
    finally:
        shutil.rmtree(root)


def labelled_cats(dataset: Dataset, number: int = 2) -> list[str]:
    """Label faces as cat, also called neko and once kitty; dog is another class."""
    image = add_image(dataset, "cats")
    keys = add_faces(dataset, image, [30 * n for n in range(number)])
    label(dataset, keys[0], "kitty")
    editor = ClassEditor(dataset)
    editor.rename("kitty", "cat")
    editor.add_alias("neko", "cat")
    editor.add("dog")
    return keys


def swap_names(dataset: Dataset) -> None:
    """Merge cat into dog, call it cat, and use the free name for another class."""
    editor = ClassEditor(dataset)
    editor.merge("cat", "dog")
    editor.rename("dog", "cat")
    editor.add("dog")


def test_other_names_stay_with_their_class(dataset: Dataset) -> None:
    keys = labelled_cats(dataset)
    predicted = [PrelabelledSample(keys[1], 0, (Proposal("cat", 0.9),))]
    Proposals(dataset.db).replace(predicted, {})
    swap_names(dataset)
    aliases = list_aliases(dataset.db, with_former_names=True)
    assert aliases == {"cat": ["kitty", "neko"]}
    (sample,) = iter_proposed_samples(dataset.db)
    assert [proposal.label for proposal in sample.proposals] == ["cat"]
    listed = (
        run_here("labeler.cli", "classes", "list", "-d", dataset.root).checked().stdout
    )
    row = next(line for line in listed.splitlines() if line.startswith("cat "))
    assert row.endswith("  kitty, neko")


def test_merge_into_a_mistyped_name_makes_no_class(dataset: Dataset) -> None:
    labelled_cats(dataset)
    before = sample_states(dataset)
    for old, into, missing in (("cat", "dgo", "dgo"), ("nobody", "dog", "nobody")):
        run_here(
            "labeler.cli", "classes", "merge", old, into, "-d", dataset.root
        ).refused(2, f"there is no class '{missing}'", "labeler classes list -d")
    assert dataset.classes.list_names() == ["cat", "dog"]
    assert sample_states(dataset) == before


def test_class_takes_name_of_merged_class(dataset: Dataset) -> None:
    labelled_cats(dataset)
    editor = ClassEditor(dataset)
    editor.merge("cat", "dog")
    editor.add("pet")
    editor.merge("dog", "pet")
    editor.rename("pet", "cat")
    meanings = {
        name: dataset.classes.resolve(name) for name in ("cat", "neko", "dog", "pet")
    }
    assert meanings == dict.fromkeys(meanings, "cat")
    dataset.journal.undo()
    assert dataset.classes.list_names() == ["pet"]
    assert dataset.classes.resolve("cat") == "pet"


def test_undo_out_of_order_gives_no_label_of_another_class(dataset: Dataset) -> None:
    """A window undoes its own merge after commands have used the name again."""
    cat, other = labelled_cats(dataset)
    label(dataset, other, "cat")
    label(dataset, other, "dog")
    relabelled = SampleTiles(dataset.db).list_steps()[-1].id
    swap_names(dataset)
    merge = SampleTiles(dataset.db).list_steps()[-3].id
    dataset.journal.undo(merge)
    assert sample_states(dataset)[cat][:2] == ("labelled", "cat"), (
        "not the new class dog"
    )
    dataset.journal.undo(relabelled)
    assert sample_states(dataset)[other][1] in (None, "cat")


def test_undo_of_deletion_does_not_label_with_a_renamed_class(dataset: Dataset) -> None:
    cat, _ = labelled_cats(dataset)
    editor = ClassEditor(dataset)
    deletion = editor.delete("cat").step
    editor.rename("dog", "cat")
    dataset.journal.undo(deletion)
    assert sample_states(dataset)[cat][:2] == ("queue", None)
    assert dataset.classes.resolve("neko") == "neko", (
        "not the class that was called dog"
    )


def test_undo_restores_the_class_that_another_was_merged_into(dataset: Dataset) -> None:
    cat, _ = labelled_cats(dataset)
    label(dataset, cat, "lion")
    relabelled = SampleTiles(dataset.db).list_steps()[-1].id
    ClassEditor(dataset).merge("cat", "dog")
    dataset.journal.undo(relabelled)
    assert sample_states(dataset)[cat][:2] == ("labelled", "dog")


def test_merged_dataset_brings_aliases_of_their_class(tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "other") as other:
        labelled_cats(other)
        editor = ClassEditor(other)
        editor.merge("cat", "dog")
        editor.rename("dog", "cat")
    with Dataset.create(tmp_path / "here") as here:
        image = add_image(here, "dogs")
        label(here, add_faces(here, image)[0], "dog")
    words = ("merge", tmp_path / "other", "-d", tmp_path / "here")
    run_here("pipeline.cli", *words).checked()
    with Dataset.open(tmp_path / "here") as here:
        assert here.classes.resolve("neko") == "cat", "dog is a class of its own here"

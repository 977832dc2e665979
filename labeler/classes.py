"""Editing the classes of a dataset; each edit is a step of the journal, which can be undone.

An alias is another name of a class, for instance that of a merged class. Typed, weak and imported
labels with that name mean the class.
"""

from collections.abc import Sequence
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.classes import Changes, normalize_alias, normalize_class_name
from gleanset.db.journal import MERGE, Choice
from gleanset.db.sorting import SampleTiles
from gleanset.errors import UsageError
from gleanset.operations import make_operation


class ClassEdit(NamedTuple):
    """The number of the step, and the number of samples it changed."""

    step: int
    sample_count: int = 0


class ClassEditor:
    """Editor for the classes of a dataset; names of existing classes may be aliases of them."""

    def __init__(self, dataset: Dataset):
        self._dataset = dataset
        self._classes = dataset.classes
        self._tiles = SampleTiles(dataset.db)

    def add(self, name: str) -> ClassEdit:
        """Create a class. Raises `UsageError` if it exists."""
        name = normalize_class_name(name)
        with self._dataset.db.transaction():
            step = self._apply("new-class", name=name)
            self._classes.create(step, name)
        return ClassEdit(step)

    def rename(self, old: str, new: str) -> ClassEdit:
        """Rename a class. Raises `UsageError` if the new name is in use."""
        new = normalize_class_name(new)
        with self._dataset.db.transaction():
            old = self._classes.resolve(old)
            if old == new:
                raise UsageError(
                    f"the class is called {new!r} already", "name another one"
                )
            step = self._apply("rename-class", old=old, new=new)
            self._classes.rename(step, old, new)
        return ClassEdit(step)

    def merge(self, old: str, into: str) -> ClassEdit:
        """Move all samples of a class into another one; its name becomes an alias of that class."""
        with self._dataset.db.transaction():
            # Before labelling, which would create a class with a mistyped name.
            old = self._resolve_class(old)
            into = self._resolve_class(into)

            samples = self._tiles.get_keys(self._tiles.list_labelled(old))
            step = self._apply(
                "merge-class",
                [Choice(key, "label", into, MERGE) for key in samples],
                old=old,
                into=into,
                count=len(samples),
            )
            self._classes.merge(step, old, into)

        return ClassEdit(step, len(samples))

    def delete(self, name: str) -> ClassEdit:
        """Delete a class; its samples, also duplicates, are queued and lose their split."""
        with self._dataset.db.transaction():
            current = self._resolve_class(name)
            rows = self._tiles.list_labelled(current)
            samples = self._tiles.get_keys(rows)
            step = self._apply(
                "delete-class",
                [Choice(key, "clear", None, "delete") for key in samples],
                name=current,
                count=len(samples),
            )
            # In the same step, so that undoing it restores the splits, too.
            changes = Changes(self._dataset.db)
            changes.apply(step, changes.list_split_removals(rows))
            self._classes.hide(step, current)

        return ClassEdit(step, len(samples))

    def _resolve_class(self, name: str) -> str:
        """Return the current name of a class. Raises `UsageError` if there is none."""
        current = self._classes.resolve(name)
        if current not in self._classes.list_names():
            raise UsageError(
                f"there is no class {name!r}",
                "list them: labeler classes list",
            )
        return current

    def add_alias(self, alias: str, name: str) -> ClassEdit:
        """Add an alias of a class. Raises `UsageError` if it is the name of another class."""
        alias = normalize_alias(alias)
        with self._dataset.db.transaction():
            # An error below undoes the step.
            name = self._resolve_class(name)
            step = self._apply("add-alias", alias=alias, name=name)
            is_taken = self._classes.get_id(alias) is not None
            if is_taken and self._classes.resolve_alias(alias) in self._classes:
                raise UsageError(
                    f"{alias!r} is already a class or an alias",
                    "merge the classes: labeler classes merge OLD INTO",
                )
            self._classes.get_or_create_alias(alias)
            self._classes.merge(step, alias, name)

        return ClassEdit(step)

    def remove_alias(self, alias: str) -> ClassEdit:
        """Remove an alias. Raises `UsageError` if it is not an alias."""
        alias = normalize_alias(alias)
        with self._dataset.db.transaction():
            # Any other text is returned unchanged; a class may have the name of an alias.
            name = self._classes.resolve_alias(alias)
            if alias in (name, *self._classes.list_names()):
                raise UsageError(
                    f"{alias!r} is not an alias",
                    "list them: labeler classes list",
                )
            step = self._apply("remove-alias", alias=alias, name=name)
            self._classes.hide(step, alias)

        return ClassEdit(step)

    def _apply(
        self, kind: str, choices: Sequence[Choice] = (), **values: str | int
    ) -> int:
        return self._dataset.journal.apply(
            make_operation(kind, **values),
            choices,
        )

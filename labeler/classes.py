"""Editing the classes of a dataset; each edit is a step of the journal, which can be undone.

An alias is another name of a class, for instance that of a merged class. Typed, weak and imported
labels with that name mean the class.
"""

from __future__ import annotations

from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.classes import Changes, alias_name, class_name
from gleanset.db.journal import MERGED, Choice
from gleanset.db.sorting import SampleTiles
from gleanset.errors import UsageError
from gleanset.operations import operation


class ClassEdit(NamedTuple):
    """The number of the step, and the number of samples it changed."""

    step: int
    changed: int = 0


class ClassEditor:
    """Editor for the classes of a dataset; all names may be aliases."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset, self._classes = dataset, dataset.classes
        self._tiles = SampleTiles(dataset.db)

    def add(self, name: str) -> ClassEdit:
        """Create a class. Raises `UsageError` if it exists."""
        name = class_name(name)
        with self._dataset.db.write():
            step = self._dataset.journal.step(operation("new-class", name=name), [])
            self._classes.make(step, name)
        return ClassEdit(step)

    def rename(self, old: str, new: str) -> ClassEdit:
        """Rename a class. Raises `UsageError` if the new name is in use."""
        new = class_name(new)
        with self._dataset.db.write():
            old = self._classes.resolved(old)
            step = self._dataset.journal.step(operation("rename-class", old=old, new=new), [])
            self._classes.rename(step, old, new)
        return ClassEdit(step)

    def set_show(self, name: str, show: str) -> ClassEdit:
        """Set the show of a class; empty for none. Raises `UsageError` for an invalid name."""
        show = class_name(show) if show.strip() else ""
        kind = "class-show" if show else "class-no-show"
        with self._dataset.db.write():
            name = self._classes.resolved(name)
            did = operation(kind, name=name, show=show) if show else operation(kind, name=name)
            step = self._dataset.journal.step(did, [])
            self._classes.set_show(step, name, show or None)
        return ClassEdit(step)

    def merge(self, old: str, into: str) -> ClassEdit:
        """Move all samples of a class into another one, of which its name becomes an alias."""
        with self._dataset.db.write():
            old, into = self._classes.resolved(old), self._classes.resolved(into)
            samples = self._tiles.keys_of(self._tiles.labelled(old))
            did = operation("merge-class", old=old, into=into, count=len(samples))
            choices = [Choice(key, "label", into, MERGED) for key in samples]
            step = self._dataset.journal.step(did, choices)
            self._classes.merge(step, old, into)
        return ClassEdit(step, len(samples))

    def delete(self, name: str) -> ClassEdit:
        """Delete a class; its samples, also duplicates, are queued and lose their split."""
        with self._dataset.db.write():
            name = self._classes.resolved(name)
            rows = self._tiles.labelled(name)
            samples, changes = self._tiles.keys_of(rows), Changes(self._dataset.db)
            did = operation("delete-class", name=name, count=len(samples))
            choices = [Choice(key, "clear", None, "delete") for key in samples]
            step = self._dataset.journal.step(did, choices)
            changes.make(step, changes.out_of_splits(rows))
            self._classes.hide(step, name)
        return ClassEdit(step, len(samples))

    def add_alias(self, alias: str, name: str) -> ClassEdit:
        """Add an alias of a class. Raises `UsageError` if it is the name of another class."""
        alias = alias_name(alias)
        with self._dataset.db.write():
            name = self._classes.resolved(name)
            did = operation("add-alias", alias=alias, name=name)
            step = self._dataset.journal.step(did, [])
            self._alias(step, alias, name)
        return ClassEdit(step)

    def remove_alias(self, alias: str) -> ClassEdit:
        """Remove an alias. Raises `UsageError` if it is not an alias."""
        alias = alias_name(alias)
        with self._dataset.db.write():
            name = self._classes.meaning_of(alias)
            if alias in (name, *self._classes.names()):
                raise UsageError(f"{alias!r} is not an alias", "list them: labeler classes list")
            step = self._dataset.journal.step(operation("remove-alias", alias=alias, name=name), [])
            self._classes.hide(step, alias)
        return ClassEdit(step)

    def _alias(self, step: int, alias: str, name: str) -> None:
        if self._classes.id_of(name) is None:
            raise UsageError(f"there is no class {name!r}", "create it: labeler classes add NAME")
        if self._classes.meaning_of(alias) in self._classes.names():
            raise UsageError(
                f"{alias!r} is already a class or an alias",
                "merge the classes: labeler classes merge OLD INTO",
            )
        self._classes.find_or_make_alias(alias)
        self._classes.merge(step, alias, name)

"""The classes of a dataset as a rail shows them: their keys, their order, names of old."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from gleanset import Dataset
from gleanset.config import read_toml
from gleanset.db.changes import Change, Changes
from gleanset.db.journal import class_name
from gleanset.errors import DiskFull, NotWritable, UsageError
from gleanset.settings import FILE, Settings, write_settings
from labeler.sorting.keys import assigned, with_key


class Classes:
    """Names live in the catalogue, keys and order in `dataset.toml`."""

    def __init__(self, dataset: Dataset, changes: Changes) -> None:
        self._dataset = dataset
        self._changes = changes
        self._kept: dict[str, str] = {}
        self.target = 0
        self.reload()

    def reload(self) -> None:
        """Read the keys anew: another window may have set some."""
        settings = read_toml(self._dataset.root / FILE, Settings)
        self._kept, self.target = dict(settings.keys), settings.target

    def id_of(self, name: str) -> int | None:
        """The row of a class by its name, or by one that it had before it was renamed."""
        row = self._dataset.db.one("SELECT id FROM class WHERE name=?", (name,))
        return int(row[0]) if row else self._changes.once_called(name)

    def name_of(self, row: int) -> str:
        """The name of a class."""
        found = self._dataset.db.one("SELECT name FROM class WHERE id=?", (row,))
        return str(found[0]) if found else ""

    def _now(self, row: int) -> int:
        """The class (row) that a class was merged into, itself where it was not."""
        seen: set[int] = set()
        while row not in seen:
            seen.add(row)
            into = self._dataset.db.number("SELECT merged_into FROM class WHERE id=?", (row,))
            row = into or row
        return row

    def resolved(self, name: str) -> str:
        """The name of a class now: another window may have renamed or merged it meanwhile."""
        name = class_name(name)
        row = self.id_of(name)
        return name if row is None else self.name_of(self._now(row))

    def keys(self, names: Sequence[str]) -> dict[str, str]:
        """The key of each class, in the order of the rail; new ones are kept from now on."""
        kept: dict[str, str] = {}
        for name, key in self._kept.items():
            now = name if name in names else self.resolved_or_none(name)
            if now is not None:
                kept.setdefault(now, key)
        found = assigned(names, kept)
        if any(key and self._kept.get(name) != key for name, key in found.items()):
            # Where nothing can be written now, they are the same the next time.
            with suppress(DiskFull, NotWritable):
                self._keep(found)
        return found

    def resolved_or_none(self, name: str) -> str | None:
        """The present name of a class that once was called so."""
        row = self._changes.once_called(name)
        return None if row is None else self.name_of(row)

    def set_key(self, names: Sequence[str], name: str, key: str) -> dict[str, str]:
        """Give a class a key; whoever had it takes the old one."""
        self._keep(with_key(self.keys(names), name, key))
        return self.keys(names)

    def set_order(self, names: Sequence[str]) -> None:
        """Put the classes into this order; keys stay with their classes."""
        keys = self.keys(names)
        self._keep({name: keys[name] for name in names})

    def set_target(self, target: int) -> None:
        """How many samples of each class are wanted; 0 for no wish."""
        settings = read_toml(self._dataset.root / FILE, Settings)
        write_settings(self._dataset.root, msgspec.structs.replace(settings, target=target))
        self.target = target

    def _keep(self, keys: dict[str, str]) -> None:
        """Write keys into `dataset.toml`; whatever else stands there stays."""
        settings = read_toml(self._dataset.root / FILE, Settings)
        gone = {name: key for name, key in settings.keys.items() if name not in keys}
        written = {name: key for name, key in keys.items() if key}
        self._kept = {**written, **{n: k for n, k in gone.items() if k not in written.values()}}
        write_settings(self._dataset.root, msgspec.structs.replace(settings, keys=self._kept))

    def make(self, step: int, name: str) -> None:
        """Make a class as a part of a step: undoing it hides the class."""
        db = self._dataset.db
        row = db.one("SELECT id, merged_into FROM class WHERE name=?", (name,))
        if row is not None and row["merged_into"] is None:
            raise UsageError(f"there is a class {name!r} already")
        number = row["id"] if row else db.run("INSERT INTO class(name) VALUES(?)", (name,))
        if row is None:
            db.run("UPDATE class SET merged_into=id WHERE id=?", (number,))
        self._changes.make(step, [Change("merged", number, None)])

    def rename(self, step: int, old: str, new: str) -> None:
        """Rename a class as a part of a step. `UsageError` for a name that is taken."""
        row, taken = (
            self.id_of(old),
            self._dataset.db.one("SELECT 1 FROM class WHERE name=?", (new,)),
        )
        if row is None:
            raise UsageError(f"there is no class {old!r}")
        if taken is not None:
            raise UsageError(f"there is a class {new!r} already", "merge the two instead")
        self._changes.make(step, [Change("name", row, new)])

    def merge(self, step: int, old: str, into: str) -> None:
        """Hide a class whose samples were given to another one, as a part of a step."""
        source, target = self.id_of(old), self.id_of(into)
        if source is None or target is None or source == target:
            raise UsageError(f"cannot merge {old!r} into {into!r}", "name two classes that exist")
        self._changes.make(step, [Change("merged", source, target)])

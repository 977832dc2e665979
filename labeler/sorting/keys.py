"""Which key means which class. Order and keys never change by themselves.

Digits come first, then the letters that no command of the window uses, then codes of two keys: a
comma or a full stop, and any letter or digit. What a person sets
stands in `dataset.toml` under `[keys]`, and its order there is the order of the classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import msgspec

from gleanset import Dataset
from gleanset.config import read_toml
from gleanset.errors import GleansetError, UsageError
from gleanset.settings import FILE, Settings, write_settings

DIGITS = "1234567890"
TAKEN = frozenset("bcgklnoqs")
"""Letters that are commands: blink, check, groups, keep all, later, new, other, queue, split."""

LETTERS = "qwertyuiopasdfghjklzxcvbnm"
KEYS = DIGITS + "".join(c for c in LETTERS if c not in TAKEN)
PREFIXES = ",."
SECONDS = DIGITS + LETTERS
CODES = (*KEYS, *(prefix + second for prefix in PREFIXES for second in SECONDS))
"""All keys of classes; those of two keys are pressed one after the other."""


def assigned(names: Iterable[str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return the key of each class, in the order of the list; empty where keys have run out.

    Classes with a key of their own keep it, the first of several that have the same; the others
    take the first free ones, in the order in which they were made.
    """
    there = list(names)
    keys: dict[str, str] = {}
    for name, key in settings.items():
        if name in set(there) and valid(key) and valid(key) not in keys.values():
            keys[name] = valid(key)
    free = iter([key for key in CODES if key not in keys.values()])
    for name in there:
        if name not in keys:
            keys[name] = next(free, "")
    return keys


def valid(key: str) -> str:
    """Return a key as it is kept; empty for one that cannot be a class key."""
    key = key.lower()
    return key if key in CODES else ""


def with_key(keys: Mapping[str, str], name: str, key: str) -> dict[str, str]:
    """Return the keys with this one for `name`; the class that had it takes the old one.

    Raises `UsageError` for what is not a class key.
    """
    if not valid(key):
        raise UsageError(
            f"{key!r} cannot be the key of a class",
            f"choose one of {' '.join(KEYS)}, or , or . followed by a letter or digit",
        )
    changed = dict(keys)
    for other, its in keys.items():
        if its == valid(key) and other != name:
            changed[other] = keys.get(name, "")
    return {**changed, name: valid(key)}


class ClassKeys:
    """The keys and the order of the classes of a dataset, kept in its `dataset.toml`.

    `of` only reads: what it gives to classes without a key is written by the next `save`.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._kept: dict[str, str] = {}
        self.reload()

    def reload(self) -> None:
        """Read the keys anew: another window may have set some. Raises what `read_toml` raises."""
        self._kept = _with_others(self._settings().keys, self._kept)

    def follow(self) -> None:
        """Read the keys anew where `dataset.toml` can be read: an editor may just be saving it."""
        with suppress(GleansetError):
            self.reload()

    def of(self, names: Sequence[str]) -> dict[str, str]:
        """Return the key of each class, in the order of the list; they stay for this session."""
        kept: dict[str, str] = {}
        for name, key in self._kept.items():
            now = name if name in names else self._dataset.classes.find_renamed(name)
            if now is not None:
                kept.setdefault(now, key)
        found = assigned(names, kept)
        self._kept = _with_others(found, self._kept)
        return found

    def save(self) -> None:
        """Write the keys of all classes, where `dataset.toml` lacks one.

        Where it can be neither read nor written now, they are the same the next time: what they
        are saved after is decided, and must not be taken for failed.
        """
        keys = self.of(self._dataset.classes.list_by_creation())
        with suppress(GleansetError):
            written = self._settings().keys
            if any(key and written.get(name) != key for name, key in keys.items()):
                self._write(keys)

    def set_key(self, names: Sequence[str], name: str, key: str) -> dict[str, str]:
        """Give a class a key; whoever had it takes the old one. Return the keys of all `names`."""
        self._write(with_key(self.of(names), name, key))
        return self.of(names)

    def set_order(self, names: Sequence[str]) -> None:
        """Put the classes into this order; keys stay with their classes."""
        keys = self.of(names)
        self._write({name: keys[name] for name in names})

    def _write(self, keys: Mapping[str, str]) -> None:
        settings = self._settings()
        self._kept = _with_others(keys, settings.keys)
        write_settings(self._dataset.root, msgspec.structs.replace(settings, keys=self._kept))

    def _settings(self) -> Settings:
        return read_toml(self._dataset.root / FILE, Settings)


def _with_others(keys: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """Return `keys`, and behind them those of other classes whose key is still free."""
    given = {name: key for name, key in keys.items() if key}
    free = {n: k for n, k in others.items() if n not in keys and k not in given.values()}
    return {**given, **free}

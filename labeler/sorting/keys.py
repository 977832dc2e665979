"""Which key means which class. Order and keys never change by themselves.

Digits come first, then the letters that no command of the window uses. What a person sets
stands in `dataset.toml` under `[keys]`, and its order there is the order of the classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gleanset.errors import UsageError

DIGITS = "1234567890"
TAKEN = frozenset("bcgklnoqs")
"""Letters that are commands: blink, check, groups, keep all, later, new, other, queue, split."""

KEYS = DIGITS + "".join(c for c in "qwertyuiopasdfghjklzxcvbnm" if c not in TAKEN)


def assigned(names: Iterable[str], settings: Mapping[str, str]) -> dict[str, str]:
    """The key of each class, in the order of the rail; empty where keys have run out.

    Classes with a key of their own keep it; the others take the first free ones, in the order
    in which they were made.
    """
    there = list(names)
    found = {
        name: valid(key) for name, key in settings.items() if name in set(there) and valid(key)
    }
    free = iter([key for key in KEYS if key not in found.values()])
    for name in there:
        if name not in found:
            found[name] = next(free, "")
    return found


def valid(key: str) -> str:
    """A key as it is kept; empty for one that cannot be a class key."""
    key = key.lower()
    return key if len(key) == 1 and key in KEYS else ""


def with_key(keys: Mapping[str, str], name: str, key: str) -> dict[str, str]:
    """The keys after a person gave `name` this key; whoever had it takes the old one in exchange.

    Raises `UsageError` for what is no class key.
    """
    if not valid(key):
        raise UsageError(f"{key!r} cannot be the key of a class", f"choose one of {' '.join(KEYS)}")
    changed = dict(keys)
    for other, its in keys.items():
        if its == valid(key) and other != name:
            changed[other] = keys.get(name, "")
    return {**changed, name: valid(key)}

"""Keys of classes, which only a person changes.

Digits come first, then codes of two keys: a comma or a full stop, and any letter or digit. Keys set
by a person are in `dataset.toml` under `[keys]`. They may also be letters that are not commands of
the window, which class pages take for a name. Classes are listed in the order of their keys.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from gleanset import Dataset
from gleanset.errors import GleansetError
from gleanset.settings import Settings, read_own_settings, set_texts

DIGITS = "1234567890"
COMMAND_LETTERS = frozenset("bcgklnoqs")
"""Letters that are, or were, commands of the window."""

LETTERS = "qwertyuiopasdfghjklzxcvbnm"
KEYS = DIGITS + "".join(c for c in LETTERS if c not in COMMAND_LETTERS)
PREFIXES = ",."
SECOND_KEYS = DIGITS + LETTERS
CODES = tuple(prefix + second for prefix in PREFIXES for second in SECOND_KEYS)
CLASS_KEYS = (*KEYS, *CODES)
"""All keys of classes; two characters are pressed one after the other."""

ASSIGNED_KEYS = (*DIGITS, *CODES)
"""The keys that classes get in order. Letters are a name on class pages."""


def assign_keys(names: Iterable[str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return the key of each class, in the order of the keys; empty where they have run out.

    Classes with a key of their own keep it, the first of several that have the same; the others get
    the first free ones.
    """
    existing = dict.fromkeys(names)
    keys: dict[str, str] = {}
    for name, key in ((name, key.lower()) for name, key in settings.items()):
        if key in CLASS_KEYS and name in existing and key not in keys.values():
            keys[name] = key

    free = iter([key for key in ASSIGNED_KEYS if key not in keys.values()])
    for name in existing:
        if name not in keys:
            keys[name] = next(free, "")

    order = (*CLASS_KEYS, "")
    return dict(sorted(keys.items(), key=lambda item: order.index(item[1])))


class ClassKeys:
    """The keys and the order of the classes of a dataset, stored in its `dataset.toml`.

    `assign` only reads: keys that it assigns are written by the next `save`.
    """

    def __init__(self, dataset: Dataset):
        self._dataset = dataset
        self._keys: dict[str, str] = dict(self._settings().keys)

    def follow(self) -> None:
        """Read keys that another window has set; an editor may be saving `dataset.toml` now."""
        with suppress(GleansetError):
            self._keys = _merge_free_keys(
                self._settings().keys,
                self._keys,
            )

    def assign(self, names: Sequence[str]) -> dict[str, str]:
        """Return the key of each class, in the order of the keys, which stay for this session."""
        # The known keys, by the current names of their classes; a deleted class keeps its name.
        keys_now: dict[str, str] = {}
        for name, key in self._keys.items():
            current = (
                name if name in names else self._dataset.classes.find_renamed(name)
            )
            keys_now.setdefault(current or name, key)

        assigned_keys = assign_keys(names, keys_now)
        merged = _merge_free_keys(assigned_keys, keys_now)
        # A merged or deleted class keeps its place, for an undo.
        self._keys = {
            name: merged[name] for name in {**keys_now, **merged} if name in merged
        }
        return assigned_keys

    def save(self) -> None:
        """Write the keys of all classes if `dataset.toml` lacks one.

        Errors are ignored: the keys will be the same next time, and the preceding decision has
        succeeded.
        """
        keys = self.assign(self._dataset.classes.list_by_creation())
        with suppress(GleansetError):
            settings = self._settings()
            if any(
                key and settings.keys.get(name) != key for name, key in keys.items()
            ):
                self._keys = _merge_free_keys(self._keys, settings.keys)
                # None removes the key of a class that is not in `_keys`.
                set_texts(
                    self._dataset.root,
                    "keys",
                    {**dict.fromkeys(settings.keys), **self._keys},
                )

    def _settings(self) -> Settings:
        return read_own_settings(self._dataset.root)


def _merge_free_keys(
    keys: Mapping[str, str], others: Mapping[str, str]
) -> dict[str, str]:
    """Return `keys`, followed by other classes whose key is still free."""
    assigned = {name: key for name, key in keys.items() if key}
    free = {
        n: k for n, k in others.items() if n not in keys and k not in assigned.values()
    }
    return {**assigned, **free}

"""The words of a command that asks for a harvest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def valued(**values: object) -> list[str]:
    """Return the options that have a value, as words."""
    given = ((name, value) for name, value in values.items() if value is not None)
    return [word for name, value in given for word in (f"--{name.replace('_', '-')}", str(value))]


def command_words(name: str, options: Sequence[str], arguments: Iterable[str | Path]) -> list[str]:
    """Return the words of a command; nothing that begins with a dash is read as an option."""
    named = [str(one) for one in arguments]
    if any(word.startswith("-") for word in named):
        return ["harvest", name, *options, "--", *named]
    return ["harvest", name, *named, *options]

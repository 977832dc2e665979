"""Commands and options of earlier development versions (`removed.toml`), and what replaces them."""

import tomllib
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

_TABLES = tomllib.loads(Path(__file__).with_name("removed.toml").read_text("utf-8"))
REMOVED_COMMANDS: dict[str, str] = _TABLES["commands"]
"""A command, perhaps with an option and its value, and the hint of the error."""

REMOVED_SOURCE_OPTIONS: dict[str, str] = _TABLES["sources"]
"""Option of a source (`SOURCE.KEY`), and the hint of the error."""


class Removed(NamedTuple):
    """What a command line has of an earlier version, and how to replace it."""

    name: str
    hint: str


def find_removed(words: Sequence[str]) -> Removed | None:
    """Return the removed command, option or value in a command line that was refused."""
    parts = []
    for word in words:
        parts += word.split("=", 1) if word.startswith("--") else [word]

    # Every program is also a subcommand of gleanset.
    for line in (parts, parts[1:] if parts[0] == "gleanset" else parts):
        # Long names first: of an option rather than of its command.
        for name in sorted(REMOVED_COMMANDS, key=len, reverse=True):
            if _has_words(line, name.split()):
                return Removed(name, REMOVED_COMMANDS[name])
    return None


def _has_words(line: Sequence[str], name: Sequence[str]) -> bool:
    """Return whether a line begins with the command of a name and has its option."""
    command = list(takewhile(lambda word: not word.startswith("-"), name))
    if list(line[: len(command)]) != command:
        return False

    # The option may stand anywhere behind the command.
    option = list(name[len(command) :])
    rest = list(line[len(command) :])
    places = range(len(rest) - len(option) + 1)
    return any(rest[at : at + len(option)] == option for at in places)


def find_removed_key(steps: Sequence[str]) -> str | None:
    """Return the hint for a key of a TOML file that was in an earlier version, if any."""
    *tables, key = (step for step in steps if not step.isdigit())
    if not tables and key in _TABLES["settings"]:
        return str(_TABLES["settings"][key])

    # A key of a recipe is an option of the command: `names` of [[export]] is --names.
    option = f"--{key.replace('_', '-')}" if tables else key
    words = " ".join((*tables, option))
    for name, hint in REMOVED_COMMANDS.items():
        _, _, command_words = name.partition(" ")
        if command_words == words:
            return hint
    return None

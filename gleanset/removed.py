"""Commands and options of earlier development versions (`removed.toml`), and what replaces them."""

import re
import tomllib
from collections.abc import Sequence
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
    # `--option=value` as `--option value `: the space ends the last word.
    line = re.sub(r"( --[\w-]+)=", r"\1 ", " ".join(words)) + " "
    # Every program is also a subcommand of gleanset.
    lines = (line, line.removeprefix("gleanset "))
    # Long names first: of an option rather than of its command.
    for name in sorted(REMOVED_COMMANDS, key=len, reverse=True):
        command = name.partition(" -")[0]
        option = name.removeprefix(command)  # with its space and dash, or empty
        for text in lines:
            if text.startswith(f"{command} ") and f"{option} " in text:
                return Removed(name, REMOVED_COMMANDS[name])
    return None


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

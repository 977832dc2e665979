"""Commands and options of earlier development versions (`gone.toml`), and what to use instead."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from gleanset.errors import UsageError

_REMOVED = tomllib.loads(Path(__file__).with_name("gone.toml").read_text("utf-8"))
REMOVED_COMMANDS: dict[str, str] = _REMOVED["commands"]
"""Full name of a command, or of a command with an option, and the hint of the error."""

REMOVED_SOURCE_OPTIONS: dict[str, str] = _REMOVED["sources"]
"""Option of a source (`SOURCE.KEY`), and the hint of the error."""

UNUSED_BALANCE = f"not used: balance of an earlier version ({REMOVED_COMMANDS['labeler balance']})"
"""Warning of commands that used what `labeler balance` stored."""


def find_removed_key(steps: Sequence[str]) -> str | None:
    """Return the hint for a key of a TOML file that was in an earlier version, if any."""
    *tables, key = (step for step in steps if not step.isdigit())
    if not tables and key in _REMOVED["settings"]:
        return str(_REMOVED["settings"][key])
    # In recipes, `names` of [[export]] is the option of `labeler export --names`.
    option = " ".join((*tables, f"--{key.replace('_', '-')}" if tables else key))
    return next(
        (hint for name, hint in REMOVED_COMMANDS.items() if name.partition(" ")[2] == option), None
    )


def check_not_removed(name: str) -> None:
    """Raise `UsageError` with a hint if a command or option was in an earlier version."""
    # Every program is also a subcommand of gleanset.
    for command in (name, name.removeprefix("gleanset ")):
        if command in REMOVED_COMMANDS:
            raise UsageError(f"{command} no longer exists", REMOVED_COMMANDS[command])

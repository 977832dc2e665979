"""What `bootstrap.py` installs, and when it need not."""

import runpy
import tomllib

from tools_for_tests import ROOT

BOOTSTRAP = runpy.run_path(str(ROOT / "bootstrap.py"))
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def installed_by(command: str) -> set[str]:
    """The extras that a command installs, those of extras included."""
    found: set[str] = set()
    waiting = BOOTSTRAP["EXTRAS"][command].strip(".[]").split(",")
    while waiting:
        extra = waiting.pop()
        found.add(extra)
        for needed in EXTRAS[extra]:
            if needed.startswith("gleanset["):
                waiting += needed.removeprefix("gleanset[").strip("]").split(",")
    return found


def test_a_command_takes_what_another_installed_only_where_that_is_enough() -> None:
    for command in BOOTSTRAP["EXTRAS"]:
        for other in BOOTSTRAP["EXTRAS"]:
            enough = installed_by(command) <= installed_by(other)
            assert (other in BOOTSTRAP["including"](command)) == enough, (command, other)


def test_the_tests_have_every_extra_that_can_stand_beside_the_others() -> None:
    assert installed_by("test") == set(EXTRAS) - {"litert"}

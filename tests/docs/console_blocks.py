"""Commands and named files in the code blocks of a page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\S*) ?(.*)$")


@dataclass(frozen=True)
class Command:
    """A line after `$`, with its continuation lines, without its comment."""

    line: int
    text: str

    @property
    def plain(self) -> str:
        """Return the command in one line."""
        return re.sub(r"\s*\\\n\s*", " ", self.text)


@dataclass(frozen=True)
class NamedFile:
    """A block such as ```toml pets.toml, to be saved under that name."""

    line: int
    name: str
    text: str


Step = Command | NamedFile


def steps(page: Path) -> Iterator[Step]:
    """Yield the commands and named files of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    begin, language, name = None, "", ""
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if begin is None:
            begin = number
            (language, name) = fence.groups()
            continue
        inside = lines[begin : number - 1]
        if language == "console":
            yield from _commands(inside, begin + 1)
        elif name:
            yield NamedFile(begin, name, "\n".join([*inside, ""]))
        begin = None


def _commands(lines: list[str], first: int) -> Iterator[Command]:
    # Lines after a command that do not continue it are its output.
    typed: list[str] = []
    for number, line in enumerate(lines, start=first):
        if not typed and not line.startswith("$ "):
            continue
        typed.append(_without_remark(line.removeprefix("$ ")))
        if not typed[-1].endswith("\\"):
            yield Command(number - len(typed) + 1, "\n".join(typed))
            typed = []


def _without_remark(line: str) -> str:
    """Remove a comment after two spaces and a `#`."""
    return re.split(r"\s{2,}# ", line, maxsplit=1)[0].rstrip()

"""The blocks of a page that a reader types or copies: commands, and files with a name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\S*) ?(.*)$")


@dataclass(frozen=True)
class Command:
    """One line behind a `$`, with those that continue it, without its remark."""

    line: int
    text: str

    @property
    def plain(self) -> str:
        """The command in one line."""
        return re.sub(r"\s*\\\n\s*", " ", self.text)


@dataclass(frozen=True)
class NamedFile:
    """A block such as ```toml pets.toml, which a reader saves under that name."""

    line: int
    name: str
    text: str


Step = Command | NamedFile


def steps(page: Path) -> Iterator[Step]:
    """Read the commands and named files of a page, in its order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    begin, language, name = None, "", ""
    for number, line in enumerate(lines, start=1):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if begin is None:
            begin, (language, name) = number, fence.groups()
            continue
        inside = lines[begin : number - 1]
        if language == "console":
            yield from _commands(inside, begin + 1)
        elif name:
            yield NamedFile(begin, name, "\n".join([*inside, ""]))
        begin = None


def _commands(lines: list[str], first: int) -> Iterator[Command]:
    """What follows a command without being continued is what it says."""
    typed: list[str] = []
    for number, line in enumerate(lines, start=first):
        if not typed and not line.startswith("$ "):
            continue
        typed.append(_without_remark(line.removeprefix("$ ")))
        if not typed[-1].endswith("\\"):
            yield Command(number - len(typed) + 1, "\n".join(typed))
            typed = []


def _without_remark(line: str) -> str:
    """Drop what stands behind two blanks and a `#`."""
    return re.split(r"\s{2,}# ", line, maxsplit=1)[0].rstrip()

"""Commands and named files in the code blocks of a page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_FENCE = re.compile(r"^```(\S*) ?(.*)$")


@dataclass(frozen=True)
class Command:
    """A line after `$`, with its continuation lines, without its comment.

    `output` is what the page shows below it.
    """

    line: int
    text: str
    output: str = ""

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
    begin = None
    language = ""
    name = ""
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
    begins = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for begin, end in pairwise([*begins, len(lines)]):
        typed = [_without_remark(lines[begin].removeprefix("$ "))]
        while typed[-1].endswith("\\"):
            typed.append(_without_remark(lines[begin + len(typed)]))
        output = "\n".join(lines[begin + len(typed) : end])
        yield Command(first + begin, "\n".join(typed), output)


def _without_remark(line: str) -> str:
    """Remove a comment after two spaces and a `#`."""
    return re.split(r"\s{2,}# ", line, maxsplit=1)[0].rstrip()

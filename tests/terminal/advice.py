"""Commands of ours in advice: after `next:`, `hint:` and `undo:`, and in the source."""

import ast
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import click
from tools_for_tests import ROOT

from gleanset import errors
from gleanset.cli import HELP
from gleanset.errors import GleansetError, UsageError
from tools.code_measures import PACKAGES
from tools.command_reference import GROUPS

PROGRAMS: dict[str, click.Command] = {
    str(module.commands.name): module.commands for module in GROUPS
}


def list_leaves(command: click.Command, words: list[str]) -> Iterator[list[str]]:
    """Yield the words of each command that is not a group."""
    if not isinstance(command, click.Group):
        yield words
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None and inner.name not in PROGRAMS:
            yield from list_leaves(inner, [*words, name])


LEAVES = [
    leaf for name, program in PROGRAMS.items() for leaf in list_leaves(program, [name])
]


_COMMAND = re.compile(
    r"(?<![\w/.\[-])(gleanset|harvest|facecrop|labeler|baseline|webapp) (?=[a-z-])"
)
_ADVICE = re.compile(r"^( *)(next|hint|undo|see|pairs to decide|list [a-z ]+):")
PLACEHOLDER = re.compile(r"^([A-Z]{2,}|[KN])([|.].*)?$")
"""Words that a person replaces: DIR, NAME, OUT.html."""


def read_advice(lines: list[str]) -> Iterator[str]:
    """Yield the texts after `next:`, `hint:`, `undo:` and `see:`, with their further lines.

    A further command on a line of its own is a text of its own.
    """
    text = ""
    indent = 0
    for line in [*lines, ""]:
        begins = _ADVICE.match(line)
        is_further = (
            bool(text) and len(line) - len(line.lstrip()) > indent and not begins
        )
        if is_further and not (_COMMAND.match(line.strip()) and commands_in(text)):
            text = f"{text} {line.strip()}"
            continue
        if text:
            yield text
        if begins:
            text = line.strip()
            indent = len(begins.group(1))
        elif is_further:
            text = line.strip()
        else:
            text = ""


def commands_in(text: str) -> list[str]:
    """Return the commands of ours in a text; each ends where the text or the next one ends."""
    return [text[match.start() :] for match in _COMMAND.finditer(text)]


def has_placeholder(command: str) -> bool:
    """Return whether a person has to replace a word, such as DIR."""
    return any(PLACEHOLDER.match(word) for word in shlex.split(command))


def parse(command: str) -> str:
    """Return why a command line is not valid, or an empty text."""
    try:
        words = shlex.split(re.split(r" [|>] ", command)[0])
        _parse_words(words)
    except ValueError as error:
        return str(error)
    except click.UsageError as error:
        return "" if VALUE in error.format_message() else error.format_message()
    except UsageError as error:
        return "" if VALUE in error.what else error.what
    return ""


def _parse_words(words: list[str]) -> None:
    program, *rest = words
    command: click.Command = PROGRAMS[program]
    above: click.Context | None = None
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        above = click.Context(command, parent=above, **HELP)
        inner = command.get_command(above, rest[0])
        if inner is None:
            raise ValueError(f"no such command: {rest[0]}")
        command = inner
        rest = rest[1:]
    if isinstance(command, click.Group) and not command.invoke_without_command:
        raise ValueError("a command is missing")
    with command.make_context(program, rest, parent=above):
        pass


def takes_dataset(command: str) -> bool:
    """Return whether a command has --dataset."""
    found: click.Command | None = None
    for word in shlex.split(command):
        if found is None:
            found = PROGRAMS[word]
        elif isinstance(found, click.Group):
            found = found.commands.get(word, found)
    return found is not None and any(
        option.name == "dataset" for option in found.params
    )


VALUE = "VALUE"
_ERRORS = [
    name
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, GleansetError)
]


class SourceHint(NamedTuple):
    """A hint in the source; `{…}` of an f-string stands as VALUE."""

    place: str
    text: str


def source_hints() -> Iterator[SourceHint]:
    """Yield the texts of errors' hints in the product that name a command."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            # Parsing takes long, and most modules print no command.
            if not _COMMAND.search(source):
                continue
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Call):
                    for text in _hint_texts(node):
                        yield SourceHint(
                            f"{path.relative_to(ROOT)}:{node.lineno}", text
                        )


def _hint_texts(call: ast.Call) -> Iterator[str]:
    function = call.func
    name = (
        function.attr
        if isinstance(function, ast.Attribute)
        else getattr(function, "id", "")
    )
    arguments = [
        *call.args[1:],
        *(word.value for word in call.keywords if word.arg in ("fix", "hint")),
    ]
    if name not in _ERRORS:
        return
    for argument in arguments:
        text = _text_of(argument)
        if text and commands_in(text):
            yield text


def _text_of(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text_of(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "-d shapes" if ast.unparse(node.value).endswith("option") else VALUE
    return ""

"""What TAB offers for an option or an argument: names of the dataset, or of a fixed list.

click asks, by scripts of its own. In Bash those put a value on the line as it is, where a name
with a space or `$(…)` would be words or a command: there names are offered as they are typed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem

from gleanset.settings import FILE

Complete: TypeAlias = Callable[[click.Context, click.Parameter, str], "list[CompletionItem[str]]"]


def _dataset(context: click.Context) -> Path | None:
    """Return the folder that `-d` names, or that would be taken."""
    given = context.params.get("dataset")
    if given is None and not Path(FILE).exists():
        given = os.environ.get("GLEANSET_DATASET")
    return Path(str(given or ""))


def _beginning(names: Iterable[str], incomplete: str) -> list[CompletionItem[str]]:
    matching = [name for name in names if name.startswith(incomplete)]
    if any(shell == "bash_complete" for shell in _asked_by()):
        matching = [typed for name in matching if (typed := _typed_in_bash(name))]
    # zsh and fish put what is offered in the place of all of `--option=val`.
    line = os.environ.get("COMP_WORDS", "").rstrip("\n")
    before = re.search(r"(?:^|\s)(--[\w-]+=)\S*$", line)
    return [CompletionItem(f"{before[1] if before else ''}{name}") for name in matching]


def _asked_by() -> Iterator[str]:
    """Yield what shells call themselves when they ask, in a variable for each program."""
    return (value for name, value in os.environ.items() if name.endswith("_COMPLETE"))


def _typed_in_bash(name: str) -> str | None:
    """Return a name as a person types it behind an open quote, if any, such that nothing of it is
    carried out; None where the quote does not allow that.
    """
    words = os.environ.get("COMP_WORDS", "").split("\n")
    at = os.environ.get("COMP_CWORD", "")
    word = words[int(at)] if at.isdecimal() and int(at) < len(words) else ""
    if word.startswith("'"):
        typed = None if "'" in name else name
    elif word.startswith('"'):
        # In double quotes no backslash helps against the history.
        typed = None if "!" in name else re.sub(r'([\\"$`])', r"\\\1", name)
    else:
        typed = re.sub(r"([^\w@%+,./-])", r"\\\1", name)
    # The script's own `read` takes one backslash of two away.
    return None if typed is None else typed.replace("\\", "\\\\")


def _files(wanted: bool) -> list[CompletionItem[str]]:
    return [CompletionItem("", type="file")] if wanted else []


def named_here(kind: str, *, or_files: bool = False) -> Complete:
    """Offer the names of a kind that the dataset has: classes, hints, detectors or runs.

    With `or_files` files as well.
    """

    def complete(
        context: click.Context, _: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        from gleanset.db.connection import names_at_a_glance

        root = _dataset(context)
        found = _beginning(names_at_a_glance(root, kind) if root else (), incomplete)
        return [*found, *_files(or_files)]

    return complete


def snapshots_here(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Offer the names of the dataset's snapshots."""
    from gleanset.db.snapshots import Snapshots

    root = _dataset(context)
    return _beginning(Snapshots(root).names() if root else (), incomplete)


def one_of(names: Callable[[], Iterable[str]], *, or_files: bool = False) -> Complete:
    """Offer what `names` returns when it is asked, and files as well where one may stand there."""

    def complete(
        _: click.Context, __: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        return [*_beginning(names(), incomplete), *_files(or_files)]

    return complete


def registered_in(package: str) -> list[str]:
    """Return the modules that a package registers, by the imports of its first page.

    Importing them, and with them what they work with, would take longer than a person waits.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return []
    text = Path(spec.origin).read_text(encoding="utf-8")
    found = re.findall(rf"^from {re.escape(package)}\.(\w+) import", text, re.MULTILINE)
    return [name for name in found if name != "base"]


classes_here = named_here("classes")
hints_here = named_here("hints")
detectors_here = named_here("detectors")
runs_here = named_here("runs")
runs_here_or_files = named_here("runs", or_files=True)

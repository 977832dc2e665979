"""What may stand for an option or an argument: names of the dataset at hand, or of a fixed list."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import click
from click.shell_completion import CompletionItem

from gleanset.places import in_bucket
from gleanset.settings import FILE

Complete: TypeAlias = Callable[[click.Context, click.Parameter, str], "list[CompletionItem[str]]"]


def _dataset(context: click.Context) -> Path | None:
    """Return the folder that `-d` names, or that would be taken; none for one in a bucket."""
    given = context.params.get("dataset")
    if given is None and not Path(FILE).exists():
        given = os.environ.get("GLEANSET_DATASET")
    text = str(given or "")
    return None if in_bucket(text) else Path(text)


def _beginning(names: Iterable[str], incomplete: str) -> list[CompletionItem[str]]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _files(wanted: bool) -> list[CompletionItem[str]]:
    return [CompletionItem("", type="file")] if wanted else []


def named_here(kind: str, *, or_files: bool = False) -> Complete:
    """Offer the names of a kind that the dataset has: classes, hints, detectors, runs or snapshots.

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
snapshots_here = named_here("snapshots")

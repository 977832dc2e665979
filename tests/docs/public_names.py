"""Write the reference of docs/extending.md from the code: `python tests/docs/public_names.py`."""

from __future__ import annotations

import inspect
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
sys.path.insert(0, str(FILE.parents[1]))

from gleanset import Dataset  # noqa: E402
from harvest.http import Client  # noqa: E402
from harvest.sources import Source  # noqa: E402

PUBLIC = FILE.read_text(encoding="utf-8").partition("## What is public")[2]
NAMES, REFERENCE = re.findall(r"```text\n(.*?)```", PUBLIC, re.DOTALL)
WIDTH = 130
NO_BREAK = "\N{NO-BREAK SPACE}"
MEMBERS = {
    "Dataset": (
        *("open", "create", "close", "name", "root", "read_only", "image_path", "crop_path"),
        *("images.count", "images.iterate", "images.get"),
        *("samples.count", "samples.iter_by_key", "samples.get", "samples.iter_in_splits"),
    ),
    "Source": ("pages", "parse_json", "check_status"),
    "Client": ("page",),
}
"""Of these classes, some members are public."""


def public() -> dict[str, Any]:
    """Return the objects that the page names, by qualified name."""
    things = {}
    for line in NAMES.splitlines():
        module, _, names = line.partition(": ")
        for name in names.split():
            things[f"{module}.{name}"] = getattr(import_module(module), name)
    return things


def reference() -> str:
    """Return fields or arguments of public records and functions, with docstrings."""
    named = {name.rpartition(".")[2]: thing for name, thing in public().items()}
    parts = [
        _part(f"{name}{shape}", thing)
        for name, thing in sorted(named.items())
        if (shape := _shape(thing))
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        Dataset.create(Path(folder) / "data") as dataset,
    ):
        owners = {"Dataset": dataset, "Source": Source, "Client": Client}
        for owner, paths in MEMBERS.items():
            members = ((path, attrgetter(path)(owners[owner])) for path in paths)
            parts += [_part(f"{owner}.{path}{_shape(member)}", member) for path, member in members]
    return "\n".join(parts)


def _part(line: str, thing: Any) -> str:
    text = inspect.getdoc(thing) if callable(thing) else ""
    paragraphs = [" ".join(part.split()) for part in (text or "").split("\n\n")]
    wrapped = textwrap.wrap(line, WIDTH, subsequent_indent=" " * 8, break_long_words=False)
    for paragraph in filter(None, paragraphs):
        wrapped += textwrap.wrap(
            paragraph, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4
        )
    return "\n".join(wrapped).replace(NO_BREAK, " ")


def _shape(thing: Any) -> str:
    if is_dataclass(thing) and isinstance(thing, type):
        return f"({', '.join(_fields(thing))})"
    if isinstance(thing, type) and hasattr(thing, "_fields"):
        defaults = thing._field_defaults
        return f"({', '.join(_typed(*item, defaults) for item in _annotations(thing))})"
    if inspect.isfunction(thing) or inspect.ismethod(thing):
        signature = inspect.signature(thing)
        inputs = {
            name: parameter for name, parameter in signature.parameters.items() if name != "self"
        }
        defaults = {
            n: parameter.default
            for n, parameter in inputs.items()
            if parameter.default is not parameter.empty
        }
        arguments = (
            _typed(name, str(parameter.annotation), defaults) for name, parameter in inputs.items()
        )
        return f"({', '.join(arguments)}) -> {signature.return_annotation}"
    return ""


def _annotations(thing: Any) -> Iterator[tuple[str, str]]:
    for name, kind in thing.__annotations__.items():
        yield name, str(getattr(kind, "__forward_arg__", kind))


def _fields(thing: Any) -> Iterator[str]:
    for field in fields(thing):
        factory_default = (
            {} if field.default_factory is MISSING else {field.name: field.default_factory()}
        )
        known = factory_default if field.default is MISSING else {field.name: field.default}
        yield _typed(field.name, str(field.type), known)


def _typed(name: str, kind: str, defaults: dict[str, Any]) -> str:
    text = f"{name}: {kind}" + (f" = {defaults[name]!r}" if name in defaults else "")
    return text.replace(" ", NO_BREAK)


if __name__ == "__main__":
    text = FILE.read_text(encoding="utf-8")
    FILE.write_text(text.replace(REFERENCE, reference() + "\n"), encoding="utf-8")

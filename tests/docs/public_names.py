"""Write the reference of docs/extending.md from the code: `python tests/docs/public_names.py`."""

import inspect
import re
import sys
import tempfile
import textwrap
from dataclasses import is_dataclass
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
        *(
            "open",
            "create",
            "close",
            "name",
            "root",
            "read_only",
            "image_path",
            "crop_path",
        ),
        *("images.count", "images.iterate", "images.get"),
        *(
            "samples.count",
            "samples.iter_by_key",
            "samples.get",
            "samples.iter_in_splits",
        ),
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
            parts += [
                _part(f"{owner}.{path}{_shape(member)}", member)
                for path, member in members
            ]
    return "\n".join(parts)


def _part(line: str, thing: Any) -> str:
    text = inspect.getdoc(thing) if callable(thing) else ""
    paragraphs = [" ".join(part.split()) for part in (text or "").split("\n\n")]
    wrapped = textwrap.wrap(
        line, WIDTH, subsequent_indent=" " * 8, break_long_words=False
    )
    for paragraph in filter(None, paragraphs):
        wrapped += textwrap.wrap(
            paragraph, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4
        )
    return "\n".join(wrapped).replace(NO_BREAK, " ")


def _shape(thing: Any) -> str:
    """Return fields with defaults, or arguments with the type of the result."""
    is_record = is_dataclass(thing) or hasattr(thing, "_fields")
    if not (is_record or inspect.isfunction(thing) or inspect.ismethod(thing)):
        return ""
    signature = inspect.signature(thing)
    parameters = [
        parameter for name, parameter in signature.parameters.items() if name != "self"
    ]
    inputs = ", ".join(_typed(parameter) for parameter in parameters)
    return (
        f"({inputs})" if is_record else f"({inputs}) -> {signature.return_annotation}"
    )


def _typed(parameter: inspect.Parameter) -> str:
    kind = parameter.annotation
    text = f"{parameter.name}: {getattr(kind, '__forward_arg__', kind)}"
    if parameter.default is not parameter.empty:
        # A dataclass hides the empty dict behind a factory.
        text += f" = {parameter.default!r}".replace("<factory>", "{}")
    return text.replace(" ", NO_BREAK)


if __name__ == "__main__":
    text = FILE.read_text(encoding="utf-8")
    FILE.write_text(text.replace(REFERENCE, reference() + "\n"), encoding="utf-8")

"""TOML that people write: typed, checked, and when wrong answered with key, line and mend.

The shape of a file is a `msgspec.Struct` that forbids unknown fields; msgspec does the
checking, this module turns its verdict into a line a person can act on.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from gleanset.errors import InputUnusable, RecipeError

T = TypeVar("T")


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of every table that a person writes in TOML."""


def read_toml(path: Path, shape: type[T]) -> T:
    """The file as a `shape`. Raises `RecipeError` naming key, line and what was meant."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputUnusable(f"cannot read {path}: {error}", "check the name of the file") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}", "mend that line") from error
    try:
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as error:
        raise _explained(error, path, text, shape) from error


def _explained(error: Exception, path: Path, text: str, shape: type) -> RecipeError:
    message = str(error)
    where = re.search(r" - at `\$\.?(.*)`$", message)
    steps = re.findall(r"\.\.\.|[^.\[\]]+", where.group(1)) if where else []
    unknown = re.search(r"unknown field `(.*?)`", message)
    if unknown:
        key = unknown.group(1)
        line = line_of(text, [*steps, key])
        known = sorted(_fields(shape, steps))
        close = difflib.get_close_matches(key, known, n=1)
        mend = f"did you mean {close[0]!r}? " if close else ""
        return RecipeError(
            f"{path}, line {line}: there is no key {key!r} here",
            f"{mend}known keys: {', '.join(known)}",
        )
    line = line_of(text, steps)
    name = ".".join(s for s in steps if s != "..." and not s.isdigit()) or "the file"
    problem = message.split(" - at ")[0].replace("`", "")
    return RecipeError(
        f"{path}, line {line}: {name}: {problem[0].lower()}{problem[1:]}", "change that value"
    )


def _fields(shape: Any, steps: list[str]) -> set[str]:
    """The keys that the table at the end of `steps` may have."""
    for step in steps:
        if not step.isdigit() and step != "...":
            shape = get_type_hints(_struct(shape))[step]
    found = _struct(shape)
    return set(get_type_hints(found)) if found else set()


def _struct(shape: Any) -> Any:
    """The struct inside `list[X]`, `X | None` or `Annotated[X, …]`."""
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        return shape
    for inner in get_args(shape):
        if found := _struct(inner):
            return found
    return None


def line_of(text: str, steps: list[str]) -> int:
    """The line on which a key stands; `steps` is its path, list indices as digits."""
    want = [step for step in steps if not step.isdigit()]
    index = next((int(step) for step in steps if step.isdigit()), 0)
    table: list[str] = []
    seen: dict[str, int] = {}
    best = 1
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[(\[?)([^\[\]]+)\]", line):
            table = [part.strip(" '\"") for part in header.group(2).split(".")]
            seen[header.group(2)] = seen.get(header.group(2), -1) + bool(header.group(1))
            place = table
        elif key := re.match(r"\s*([\w\"'.-]+)\s*=", line):
            place = [*table, *(part.strip("'\"") for part in key.group(1).split("."))]
        else:
            continue
        # msgspec writes `...` for a name that the person chose.
        fits = all(part in ("...", here) for part, here in zip(want, place, strict=False))
        if fits and len(place) <= len(want) and max(seen.get(".".join(table), 0), 0) == index:
            best = number
            if len(place) == len(want):
                return number
    return best

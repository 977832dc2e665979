"""Reading of TOML files with types, and errors that name the key, the line and a hint.

The schema of a file is a `msgspec.Struct` that forbids unknown fields. msgspec validates; this
module converts its errors to messages for users, and reports all mistakes at once.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import (
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from gleanset.errors import InputUnusable, RecipeError, UsageError
from gleanset.removed import find_removed_key

T = TypeVar("T")


@dataclass(frozen=True)
class Param:
    """Metadata of a field for command-line options and recipes (see `gleanset.request`).

    - `help`, `metavar`, `short`: of the option; `option`: its long form, if not the field's
      name. `show_default`: show the default value, or this text instead.
    - `argument`: a positional argument, `required` or not. `common`: shared by commands.
    - `path`: a path, in a recipe relative to that recipe. `example`: of a KEY=VALUE.
    - `opposite`: the negative option, by default `--no-NAME`.
    - `in_files`: whether files, which somebody else may have written, can set the field.
    - `parse`: converts a value, or raises `UsageError`.
    """

    help: str = ""
    metavar: str | None = None
    _: KW_ONLY
    option: str = ""
    short: str = ""
    argument: bool = False
    required: bool = False
    common: bool = False
    path: bool = False
    in_files: bool = True
    example: str = ""
    show_default: bool | str = False
    opposite: str = ""
    parse: Callable[[Any], Any] | None = None


class TomlTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base class of the tables in TOML files that users write."""


def read_toml(path: Path, shape: type[T]) -> T:
    """Read a file as `shape`. Raises `RecipeError` with key and line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputUnusable(
            f"cannot read {path}: {error}", _reading_fix(error)
        ) from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            f"{path} is not valid TOML: {error}", "fix that line"
        ) from error
    if mistakes := list(_mistakes(data, shape, ())):
        raise _recipe_error(path, text, mistakes)
    try:
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as error:
        raise _recipe_error(
            path, text, [_Mistake((), _lowered(error), WRONG_VALUE)]
        ) from error


def _reading_fix(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "save it as UTF-8"
    if isinstance(error, PermissionError):
        return "change its permissions so that you may read it"
    return "check the name of the file"


WRONG_VALUE = "change that value"


class _Mistake(NamedTuple):
    """A mistake at `place` (keys and list indices), with a hint as `fix`."""

    place: tuple[str, ...]
    what: str
    fix: str
    has_place: bool = True


def _mistakes(value: Any, shape: Any, place: tuple[str, ...]) -> Iterator[_Mistake]:
    struct = _struct(shape)
    if struct and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _mistakes(item, struct, (*place, str(number)))
    elif struct and isinstance(value, dict) and get_origin(shape) is dict:
        for name, item in value.items():
            yield from _mistakes(item, struct, (*place, name))
    elif struct and isinstance(value, dict):
        yield from _mistakes_of_table(value, struct, place)
    else:
        try:
            msgspec.convert(value, shape)
        except msgspec.ValidationError as error:
            problem = _lowered(error).partition(" - at ")[0]
            yield _Mistake(place, problem, _allowed(value, shape) or WRONG_VALUE)
        else:
            yield from _refused(value, shape, place)


def _mistakes_of_table(
    table: dict[str, Any], struct: type[msgspec.Struct], place: tuple[str, ...]
) -> Iterator[_Mistake]:
    hints = get_type_hints(struct, include_extras=True)
    shapes = {
        key: shape
        for key, shape in hints.items()
        if get_origin(shape) is not ClassVar and (get_param(shape) or Param()).in_files
    }
    for key, value in table.items():
        if key in shapes:
            yield from _mistakes(value, shapes[key], (*place, key))
        else:
            known = (
                f"{did_you_mean(key, shapes)}known keys: {', '.join(sorted(shapes))}"
            )
            fix = find_removed_key((*place, key)) or known
            yield _Mistake((*place, key), f"unknown key {key!r}", fix, has_place=False)
    for field in msgspec.structs.fields(struct):
        if field.required and field.name not in table:
            yield _Mistake(
                place, f"the key {field.name!r} is missing", f"write {field.name} = …"
            )


def get_param(shape: Any) -> Param | None:
    """Return the `Param` in an `Annotated` type, if any."""
    notes = getattr(shape, "__metadata__", ())
    return next((note for note in notes if isinstance(note, Param)), None)


def _refused(value: Any, shape: Any, place: tuple[str, ...]) -> Iterator[_Mistake]:
    param = get_param(shape)
    if param is None or param.parse is None:
        return
    for item in value if isinstance(value, list) else [value]:
        try:
            param.parse(item)
        except UsageError as error:
            yield _Mistake(place, error.what, error.fix)


def _allowed(value: object, shape: Any) -> str:
    """Return a hint with the allowed values, '' if not a choice."""
    choices = [str(choice) for choice in _choices(shape)]
    values = value if isinstance(value, list) else [value]
    wrong = next((str(choice) for choice in values if choice not in choices), "")
    return (
        f"{did_you_mean(wrong, choices)}allowed: {', '.join(choices)}"
        if choices
        else ""
    )


def _choices(shape: Any) -> tuple[object, ...]:
    if get_origin(shape) is Literal:
        return get_args(shape)
    return next(
        (choices for inner in get_args(shape) if (choices := _choices(inner))), ()
    )


def did_you_mean(
    word: str, words: Iterable[str], form: str = "did you mean {!r}? "
) -> str:
    """Return `form` with the most similar known word, or ''."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return form.format(close[0]) if close else ""


def _recipe_error(path: Path, text: str, mistakes: Sequence[_Mistake]) -> RecipeError:
    lines = sorted(
        (find_line(text, list(m.place)), _describe(m), m.fix) for m in mistakes
    )
    if len(lines) == 1:
        line, problem, fix = lines[0]
        return RecipeError(f"{path}, line {line}: {problem}", fix)
    listed = [f"  line {line}: {problem}; {fix}" for line, problem, fix in lines]
    return RecipeError(
        "\n".join((f"{path} has {len(lines)} mistakes:", *listed)), "fix them all"
    )


def _describe(mistake: _Mistake) -> str:
    name = ".".join(step for step in mistake.place if not step.isdigit()) or "the file"
    return f"{name}: {mistake.what}" if mistake.has_place else mistake.what


def _lowered(error: Exception) -> str:
    message = str(error).replace("`", "")
    return message[0].lower() + message[1:]


def _struct(shape: Any) -> Any:
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        return shape
    return next(filter(None, map(_struct, get_args(shape))), None)


def find_line(text: str, steps: list[str]) -> int:
    """Return the line number of a key path (list indices as digits)."""
    keys = [step for step in steps if not step.isdigit()]
    index = next((int(step) for step in steps if step.isdigit()), 0)
    table: list[str] = []
    table_counts: dict[str, int] = {}
    best = 1
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[(\[?)([^\[\]]+)\]", line):
            table = [part.strip(" '\"") for part in header.group(2).split(".")]
            table_counts[header.group(2)] = table_counts.get(
                header.group(2), -1
            ) + bool(header.group(1))
            place = table
        elif key := re.match(r"\s*([\w\"'.-]+)\s*=", line):
            place = [*table, *(part.strip("'\"") for part in key.group(1).split("."))]
        else:
            continue
        is_at_index = max(table_counts.get(".".join(table), 0), 0) == index
        if place == keys[: len(place)] and is_at_index:
            best = number
            if len(place) == len(keys):
                return number
    return best

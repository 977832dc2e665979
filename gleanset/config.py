"""Reading of TOML files with types, and errors that name the key, the line and a hint.

The schema of a file is a `msgspec.Struct` that forbids unknown fields. msgspec validates; this
module converts its errors to messages for users, and reports all mistakes at once.
"""

import difflib
import re
import tomllib
from collections import Counter
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


class TomlTable(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    omit_defaults=True,
):
    """Base class of the tables in TOML files that users write."""


def read_toml(path: Path, shape: type[T]) -> T:
    """Read a file as `shape`. Raises `RecipeError` with key and line."""
    try:
        # utf-8-sig: editors on Windows write a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputUnusable(
            f"cannot read {path}: {error.args[-1]}", _hint_for_reading(error)
        ) from error

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            f"{path} is not valid TOML: {error}", "fix that line"
        ) from error

    # msgspec stops at the first mistake, and says neither the line nor what is allowed.
    mistakes = list(_find_mistakes(data, shape, place=()))
    if mistakes:
        raise _recipe_error(path, text, mistakes)
    try:
        # This checks the rest: what classes check themselves.
        return msgspec.convert(data, shape)
    except msgspec.ValidationError as error:
        mistake = _Mistake((), _describe_problem(error), WRONG_VALUE)
        raise _recipe_error(path, text, [mistake]) from error


def _hint_for_reading(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "save it as UTF-8"
    if isinstance(error, PermissionError):
        return "change its permissions so that you may read it"
    return "check the name of the file"


WRONG_VALUE = "change that value"


class _Mistake(NamedTuple):
    """A mistake at `place` (keys and list indices), with a hint as `fix`.

    Without `has_place` the message `what` names the key itself.
    """

    place: tuple[str, ...]
    what: str
    fix: str
    has_place: bool = True


def _find_mistakes(
    value: Any, shape: Any, place: tuple[str, ...]
) -> Iterator[_Mistake]:
    """Yield the mistakes of a value at `place` whose type should be `shape`.

    Tables are searched key by key: those of an array, those of a `dict` by name, or a single one.
    Other values are converted by msgspec, which reports one mistake at most.
    """
    struct = _find_struct(shape)
    if struct and isinstance(value, list):
        for number, item in enumerate(value):
            yield from _find_mistakes(
                item,
                struct,
                (*place, str(number)),
            )
    elif struct and isinstance(value, dict) and get_origin(shape) is dict:
        for name, item in value.items():
            yield from _find_mistakes(item, struct, (*place, name))
    elif struct and isinstance(value, dict):
        yield from _find_mistakes_in_table(value, struct, place)
    else:
        try:
            msgspec.convert(value, shape)
        except msgspec.ValidationError as error:
            hint = _list_choices(value, shape) or WRONG_VALUE
            yield _Mistake(place, _describe_problem(error), hint)
        else:
            yield from _find_unparsable(value, shape, place)


def _find_mistakes_in_table(
    table: dict[str, Any], struct: type[msgspec.Struct], place: tuple[str, ...]
) -> Iterator[_Mistake]:
    shapes = {}
    for key, shape in get_type_hints(struct, include_extras=True).items():
        param = get_param(shape)
        is_in_files = not param or param.in_files
        if is_in_files and get_origin(shape) is not ClassVar:
            shapes[key] = shape

    for key, value in table.items():
        if key in shapes:
            yield from _find_mistakes(
                value,
                shapes[key],
                (*place, key),
            )
        else:
            hint = f"{did_you_mean(key, shapes)}known keys: {', '.join(sorted(shapes))}"
            yield _Mistake(
                (*place, key),
                f"unknown key {key!r}",
                hint,
                has_place=False,
            )

    for field in msgspec.structs.fields(struct):
        if field.required and field.name not in table:
            yield _Mistake(
                place, f"the key {field.name!r} is missing", f"write {field.name} = …"
            )


def get_param(shape: Any) -> Param | None:
    """Return the `Param` in an `Annotated` type, if any."""
    notes = getattr(shape, "__metadata__", ())
    return next((note for note in notes if isinstance(note, Param)), None)


def _find_unparsable(
    value: Any, shape: Any, place: tuple[str, ...]
) -> Iterator[_Mistake]:
    """Yield the values that the function for the option of a command refuses."""
    param = get_param(shape)
    if not param or not param.parse:
        return
    for item in value if isinstance(value, list) else [value]:
        try:
            param.parse(item)
        except UsageError as error:
            yield _Mistake(place, error.what, error.fix)


def _list_choices(value: object, shape: Any) -> str:
    """Return a hint with the allowed values, '' if not a choice."""
    choices = [str(choice) for choice in _find_choices(shape)]
    if not choices:
        return ""
    values = value if isinstance(value, list) else [value]
    wrong = [str(choice) for choice in values if choice not in choices]
    guess = did_you_mean(wrong[0], choices) if wrong else ""
    return f"{guess}allowed: {', '.join(choices)}"


def _find_choices(shape: Any) -> tuple[object, ...]:
    if get_origin(shape) is Literal:
        return get_args(shape)
    return next(filter(None, map(_find_choices, get_args(shape))), ())


def did_you_mean(
    word: str, words: Iterable[str], form: str = "did you mean {!r}? "
) -> str:
    """Return `form` with the most similar known word, or ''."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return form.format(close[0]) if close else ""


def _recipe_error(path: Path, text: str, mistakes: Sequence[_Mistake]) -> RecipeError:
    by_line = sorted(
        (find_line(text, list(mistake.place)), _describe(mistake), mistake.fix)
        for mistake in mistakes
    )
    if len(by_line) == 1:
        line, problem, hint = by_line[0]
        return RecipeError(f"{path}, line {line}: {problem}", hint)

    lines = [f"{path} has {len(by_line)} mistakes:"]
    lines += [f"  line {line}: {problem}; {hint}" for line, problem, hint in by_line]
    return RecipeError("\n".join(lines), "fix them all")


def _describe(mistake: _Mistake) -> str:
    name = ".".join(step for step in mistake.place if not step.isdigit()) or "the file"
    return f"{name}: {mistake.what}" if mistake.has_place else mistake.what


def _describe_problem(error: msgspec.ValidationError) -> str:
    """Return msgspec's message without the path of keys: `_describe` names the key."""
    message = str(error).replace("`", "").partition(" - at ")[0]
    return message[0].lower() + message[1:]


def _find_struct(shape: Any) -> Any:
    if isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        return shape
    return next(filter(None, map(_find_struct, get_args(shape))), None)


def find_line(text: str, steps: list[str]) -> int:
    """Return the line number of a key, or of its table if it is missing.

    `steps` is the path to the key; digits are the index of a table in an array: `export`, `1`,
    `format` is in the second [[export]].
    """
    keys = [step for step in steps if not step.isdigit()]
    indices = [int(step) for step in steps if step.isdigit()]
    # Of nested arrays, only the outermost tables are numbered here.
    index = indices[0] if indices else 0
    table = []
    table_index = 0
    # By name, how many [[tables]] of an array were passed.
    counts = Counter[str]()
    best_line = 1
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE_HEADER.match(line):
            is_in_array, name = header.groups()
            table = [part.strip(" '\"") for part in name.split(".")]
            table_index = counts[name] if is_in_array else 0
            counts[name] += 1
            path = table
        elif key := _KEY.match(line):
            path = [*table, *(part.strip("'\"") for part in key[1].split("."))]
        else:
            continue

        # The line of the table is the best one so far: the key itself may be missing.
        if path == keys[: len(path)] and table_index == index:
            best_line = number
            if len(path) == len(keys):
                return number
    return best_line


_TABLE_HEADER = re.compile(r"\s*\[(\[?)([^\[\]]+)\]")
_KEY = re.compile(r"\s*([\w\"'.-]+)\s*=")

"""Requests: the arguments of a command, declared once for the command line and for recipes.

A request is a frozen struct. Each field has a type, a default and a `Param` (help, metavar,
parser). It defines

- the options and arguments of the command (`request_options`), with ranges and choices;
- the table in a recipe; `gleanset.config` reports unknown keys and invalid values;
- the validation and normalization of texts (`Param.parse`).

A field becomes the option of the same name: `bool` is a flag, `bool | None` a flag with an
opposite, `Literal` a choice, a tuple is repeatable, `str | tuple[str, ...]` takes one or several
texts, and a `dict` takes KEY=VALUE.
"""

import functools
import math
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeVar, get_type_hints

import click
import msgspec
from msgspec import inspect

from gleanset.cli import parse_key_values
from gleanset.command_result import JsonDict
from gleanset.config import Param, TomlTable, get_param
from gleanset.errors import InputUnusable
from gleanset.files.encodings import check_encoding

T = TypeVar("T")
Table = TypeVar("Table", bound=msgspec.Struct)
Count = Annotated[int, msgspec.Meta(ge=1)]
WorkerCount = Annotated[int, msgspec.Meta(ge=1, le=256)]
Encoding = Annotated[
    str | None,
    Param(
        "Encoding of texts and names that are not UTF-8, such as cp1252. Default: guessed, and the "
        "guess is printed.",
        metavar="NAME",
        parse=check_encoding,
    ),
]
URL_PREFIXES = ("http://", "https://")


def make_validator(parse: Callable[[str], object]) -> Callable[[str], str]:
    """Return a function that validates text with `parse` and returns it."""

    def validate(text: str) -> str:
        parse(text)
        return text

    return validate


def as_tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return a tuple of one or several texts."""
    return (value,) if isinstance(value, str) else value


class Request(TomlTable, frozen=True, kw_only=True):
    """Arguments of a command; `COMMAND` is its program and name."""

    COMMAND: ClassVar[str]

    def __post_init__(self) -> None:
        """Validate and normalize all texts. Raises `UsageError` if one is invalid."""
        for field in list_fields(type(self)):
            value = getattr(self, field.name)
            if value is None:
                continue
            if field.repeated:
                value = as_tuple(value)

            parse = field.param.parse
            if parse:
                value = tuple(map(parse, value)) if field.repeated else parse(value)
            msgspec.structs.force_setattr(self, field.name, value)

    def at(self, folder: Path) -> Self:
        """Return a copy whose paths are relative to `folder`. Raises `InputUnusable`."""
        paths: JsonDict = {}
        for field in list_fields(type(self)):
            value = getattr(self, field.name)
            if not field.param.path or value is None:
                continue
            paths[field.name] = (
                tuple(_resolve_path(text, folder) for text in value)
                if field.repeated
                else _resolve_path(value, folder)
            )
        return msgspec.structs.replace(self, **paths)


class Field(NamedTuple):
    """A field of a request: `kind` is the type of a value, with its range.

    A `repeated` option may be given several times; one that `has_opposite` is `bool | None`.
    """

    name: str
    param: Param
    kind: inspect.Type
    default: Any
    repeated: bool
    has_opposite: bool

    @property
    def option(self) -> str:
        """Long name of the option."""
        return self.param.option or f"--{self.name.replace('_', '-')}"

    @property
    def is_dict(self) -> bool:
        """Whether the option takes KEY=VALUE."""
        return isinstance(self.kind, inspect.DictType)


@cache
def list_fields(kind: type[msgspec.Struct]) -> tuple[Field, ...]:
    """Return the fields that have a `Param`; common options come last."""
    hints = get_type_hints(kind, include_extras=True)
    fields = []
    for info in msgspec.structs.fields(kind):
        default = None if info.required else info.default
        if info.default_factory is not msgspec.NODEFAULT:
            default = info.default_factory()

        field = _make_field(info.name, hints[info.name], default)
        if field:
            fields.append(field)
    return tuple(sorted(fields, key=lambda field: field.param.common))


def _make_field(name: str, annotation: Any, default: Any) -> Field | None:
    """Return a field from its annotation, None if that has no `Param`."""
    param = get_param(annotation)
    if not param:
        return None
    info = inspect.type_info(annotation)
    kinds = info.types if isinstance(info, inspect.UnionType) else (info,)
    values = [kind for kind in kinds if not isinstance(kind, inspect.NoneType)]
    # Of a tuple, the kind of its items.
    items = [
        kind.item_type for kind in values if isinstance(kind, inspect.VarTupleType)
    ]
    value_kinds = items or values
    # A value of several types is a text on the command line (see `_choose_click_type`).
    kind = value_kinds[0] if len(value_kinds) == 1 else info
    return Field(
        name=name,
        param=param,
        kind=kind,
        default=default,
        repeated=bool(items),
        has_opposite=len(kinds) > 1 and isinstance(kind, inspect.BoolType),
    )


def _parse_table(texts: tuple[str, ...], field: Field) -> JsonDict:
    """Return KEY=VALUE texts as a table; GROUP.KEY=VALUE is a value of a table in it."""
    option = field.param.short or field.option
    values = parse_key_values(texts, field.param.example, option)
    table: JsonDict = {}
    for name, value in values.items():
        group, dot, key = name.partition(".")
        if dot:
            table.setdefault(group, {})[key] = value
        else:
            table[name] = value
    return table


def _resolve_path(text: str, folder: Path) -> str:
    if text.lower().startswith(URL_PREFIXES):
        return text
    try:
        return str(folder / Path(text).expanduser())
    except RuntimeError as error:
        raise InputUnusable(
            f"{text}: {error}",
            "write the whole path",
        ) from error


def request_options(
    kind: type[Table],
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Add the options of a request to a command, which gets the request as `request`."""

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(function)
        # click passes each option by name; the command gets one request.
        def run(*args: Any, **values: Any) -> T:
            return function(*args, request=_build_request(kind, values), **values)

        # A decorator puts its parameter before those of earlier ones.
        for parameter in reversed(list(_make_parameters(kind))):
            run = parameter(run)
        return run

    return decorate


def _build_request(kind: type[Table], values: JsonDict) -> Table:
    """Return a request from click's values of its fields, which are removed from `values`."""
    arguments = {}
    for field in list_fields(kind):
        value = values.pop(field.name)
        if field.is_dict:
            value = _parse_table(value, field)
        # An argument without values was left out on purpose; an option was not given.
        if value is not None and (value != () or field.param.argument):
            arguments[field.name] = value
    return kind(**arguments)


def _make_parameters(kind: type[msgspec.Struct]) -> Iterator[Callable[[Any], Any]]:
    for field in list_fields(kind):
        if field.param.argument:
            yield click.argument(
                field.name,
                nargs=-1 if field.repeated else 1,
                required=field.param.required,
                type=_choose_click_type(field),
                metavar=field.param.metavar,
            )
        else:
            yield _make_option(field)


def _make_option(field: Field) -> Callable[[Any], Any]:
    param = field.param
    name = field.option
    if field.has_opposite:
        name += "/" + (param.opposite or f"--no-{name.removeprefix('--')}")
    is_flag = isinstance(field.kind, inspect.BoolType)
    # Other options that are not given are None here: `_build_request` leaves them out, and the
    # request has its own default.
    has_default = is_flag or param.show_default is True
    spellings = [param.short, name] if param.short else [name]
    return click.option(
        *spellings,
        field.name,
        type=None if is_flag else _choose_click_type(field),
        is_flag=is_flag,
        multiple=field.is_dict or field.repeated,
        default=field.default if has_default else None,
        show_default=param.show_default,
        metavar=param.metavar,
        required=param.required,
        help=param.help,
    )


def _choose_click_type(field: Field) -> click.ParamType[Any]:
    if field.param.path:
        return click.Path()
    match field.kind:
        case inspect.LiteralType(values=choices):
            return click.Choice(choices)
        case inspect.IntType(ge=None, le=None):
            return click.INT
        case inspect.FloatType(ge=None, le=None):
            return click.FLOAT
        case inspect.IntType(ge=minimum, le=maximum):
            return click.IntRange(minimum, maximum)
        case inspect.FloatType(ge=minimum, le=maximum):
            return _FloatRange(minimum, maximum)
    return click.STRING


class _FloatRange(click.FloatRange):
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Convert a text to a finite number within the range."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number

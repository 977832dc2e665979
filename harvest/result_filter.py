"""The expressions of `--filter`, evaluated by simpleeval with the operators listed here.

A filter is tested on a candidate with every field, so that an invalid one is rejected before the
first request. Fields that a site did not provide are unknown: arithmetic with them is unknown, and
no comparison is true except `x == None`.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable
from typing import Any

from simpleeval import EvalWithCompoundTypes, InvalidExpression

from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.records import Candidate, Origin

MAX_FILTER_CHARS = 500
FIELDS = (
    *("width", "height", "title", "author", "licence"),
    *("tags", "ai", "rating", "url", "page_url"),
)
_ERRORS = (InvalidExpression, TypeError, ValueError, LookupError, AttributeError, RecursionError)
_SAMPLE_ORIGIN = Origin(
    *("x", "x"),
    page_url="x",
    author="x",
    licence="x",
    title="x",
    tags=("x",),
    rating="x",
    ai=True,
)
_SAMPLE = Candidate("x", _SAMPLE_ORIGIN, 640, 480)


class _Unknown:
    def __bool__(self) -> bool:
        return False


UNKNOWN = _Unknown()


def _typed(
    types: tuple[type, ...], function: Callable[..., Any], unknown: Any
) -> Callable[..., Any]:
    """Return an operator on values of one type; `unknown` is its result for unknown values."""

    def checked(*values: Any) -> Any:
        if UNKNOWN in values:
            return unknown
        if not any(all(isinstance(value, kind) for value in values) for kind in types):
            names = " and ".join(type(value).__name__ for value in values)
            raise TypeError(f"not possible with {names}")
        try:
            return function(*values)
        except (ZeroDivisionError, OverflowError):
            return UNKNOWN

    return checked


def _arithmetic(function: Callable[..., Any]) -> Callable[..., Any]:
    # No powers, shifts and texts: their results may fill the memory.
    return _typed((float | int,), function, UNKNOWN)  # type: ignore[arg-type]


def _order(function: Callable[..., Any]) -> Callable[..., Any]:
    return _typed((float | int, str), function, unknown=False)  # type: ignore[arg-type]


def _lower(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    return value.lower() if isinstance(value, str) else tuple(map(str.lower, value))


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _arithmetic(operator.add),
    ast.Sub: _arithmetic(operator.sub),
    ast.Mult: _arithmetic(operator.mul),
    ast.Div: _arithmetic(operator.truediv),
    ast.FloorDiv: _arithmetic(operator.floordiv),
    ast.Mod: _arithmetic(operator.mod),
    ast.USub: _arithmetic(operator.neg),
    ast.Lt: _order(operator.lt),
    ast.LtE: _order(operator.le),
    ast.Gt: _order(operator.gt),
    ast.GtE: _order(operator.ge),
    ast.Eq: lambda a, b: None in (a, b) if UNKNOWN in (a, b) else a == b,
    ast.NotEq: lambda a, b: UNKNOWN not in (a, b) and a != b,
    ast.In: lambda item, container: UNKNOWN not in (item, container) and item in container,
    ast.NotIn: lambda item, container: UNKNOWN not in (item, container) and item not in container,
    ast.Not: operator.not_,
}
_FUNCTIONS = {
    "len": _typed((str, tuple, list), len, UNKNOWN),
    "lower": _typed((str, tuple), _lower, UNKNOWN),
}
_NODES = (
    *(ast.Name, ast.Constant, ast.Tuple, ast.List, ast.UnaryOp, ast.BinOp, ast.BoolOp),
    *(ast.Compare, ast.Call),
)


class _Filter(EvalWithCompoundTypes):  # type: ignore[misc]
    def __init__(self, candidate: Candidate) -> None:
        fields = {name: getattr(candidate.origin, name, None) for name in FIELDS}
        fields |= {name: getattr(candidate, name) for name in ("width", "height", "url")}
        names = {name: UNKNOWN if value is None else value for name, value in fields.items()}
        super().__init__(_OPERATORS, _FUNCTIONS, names)
        for node in {*self.nodes}.difference(_NODES):
            del self.nodes[node]
        self.nodes[ast.BoolOp] = self._eval_all

    def _eval_all(self, node: ast.BoolOp) -> bool:
        """Evaluate every part, so that an error after `or` is reported."""
        values = [bool(self._eval(value)) for value in node.values]
        return all(values) if isinstance(node.op, ast.And) else any(values)


def parse_filter(text: str) -> Callable[[Candidate], bool]:
    """Return the condition in `text` as a function. Raises `UsageError`."""
    tree = _parse(text)
    try:
        result = _Filter(_SAMPLE).eval(text, tree)
    except _ERRORS as error:
        near = did_you_mean(getattr(error, "name", None) or "", FIELDS, ", did you mean {!r}?")
        raise _filter_error(text, f"{error}{near}") from None
    if not isinstance(result, bool | int | float | str | tuple):
        raise _filter_error(text, "not a condition")

    def is_met(candidate: Candidate) -> bool:
        try:
            return bool(_Filter(candidate).eval(text, tree))
        except _ERRORS:
            return False

    return is_met


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_FILTER_CHARS:
        raise _filter_error(text, f"more than {MAX_FILTER_CHARS} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _filter_error(text, "not an expression") from None


def _filter_error(text: str, reason: str) -> UsageError:
    fix = f"write for instance 'width >= 800 and not ai'; fields: {', '.join(FIELDS)}"
    return UsageError(f"--filter {text[:MAX_FILTER_CHARS]!r}: {reason}", fix)

"""Which results of a query are meant: `--range` by their number, `--filter` by what is told.

A filter is a small expression that is never run.

The text is parsed by Python's own parser, and each node that we know is turned into a
function; whatever is not listed here is refused. Kinds (number, text, words, truth) are
checked on the way, so a wrong expression is found before the first request, and a right one
cannot fail on a candidate. What a site did not tell is unknown: arithmetic with it is
unknown, and no comparison with it holds, but for `x == None` and `x != None`.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.records import Candidate

Test = Callable[[Candidate], bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """Results number `first` to `last` (counted from 1, both included) for which `test` holds."""

    first: int = 1
    last: int | None = None
    test: Test | None = None

    @property
    def size(self) -> int | None:
        """How many results that can be at most, where it has an end."""
        return None if self.last is None else self.last - self.first + 1

    def among(
        self, results: Iterable[Candidate], left_out: Callable[[], None] = lambda: None
    ) -> Iterator[Candidate]:
        """Yield the results meant; `left_out` is called for each one that fails the test."""
        for candidate in islice(results, self.first - 1, self.last):
            if self.test is None or self.test(candidate):
                yield candidate
            else:
                left_out()


ALL = Selection()


def parse_range(text: str) -> tuple[int, int | None]:
    """'11-20', '11-', '-20' or '11' as first and last. Raises `UsageError`."""
    # More digits than a slice can count would be no number of a result.
    match = re.fullmatch(r"(\d{0,9})(-?)(\d{0,9})", text.replace(" ", ""), re.ASCII)
    if match and (match[1] or match[3]):
        first = int(match[1] or 1)
        last = int(match[3]) if match[3] else None if match[2] else first
        if first >= 1 and (last is None or last >= first):
            return first, last
    raise UsageError(
        f"--range {text}: not a range of results", "write for instance 11-20, or 11- for the rest"
    )


Value = Any
Get = Callable[[Candidate], Value]
LONGEST = 500
DEEPEST = 30

_FIELDS: Mapping[str, tuple[str, Get]] = {
    "width": ("number", lambda c: c.width),
    "height": ("number", lambda c: c.height),
    "title": ("text", lambda c: c.origin.title),
    "author": ("text", lambda c: c.origin.author),
    "licence": ("text", lambda c: c.origin.licence),
    "tags": ("words", lambda c: c.origin.tags),
    "ai": ("truth", lambda c: c.origin.ai),
    "rating": ("text", lambda c: c.origin.rating),
    "url": ("text", lambda c: c.url),
    "page_url": ("text", lambda c: c.origin.page_url),
}
FIELDS = tuple(_FIELDS)
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_ORDER: Mapping[type[ast.cmpop], Callable[[Value, Value], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_KINDS: Mapping[type, str] = {
    bool: "truth",
    int: "number",
    float: "number",
    str: "text",
    type(None): "unknown",
}


class Part(NamedTuple):
    """A piece of the expression: the kind of its value, and how to get it."""

    kind: str
    get: Get


class Refused(Exception):
    """Why a piece of an expression is not taken."""


def parse_filter(text: str) -> Callable[[Candidate], bool]:
    """Return the test that `text` describes. Raises `UsageError`."""
    try:
        part = _part(_tree(text), DEEPEST)
    except Refused as why:
        raise UsageError(
            f"--filter {text[:LONGEST]!r}: {why}",
            f"Write for instance 'width >= 800 and not ai'. Fields: {', '.join(FIELDS)}.",
        ) from None
    return lambda candidate: bool(part.get(candidate))


def _tree(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise Refused(f"it has more than {LONGEST} characters")
    try:
        with warnings.catch_warnings():
            # Odd escapes and the like are the person's business.
            warnings.simplefilter("ignore")
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Refused("it is no expression") from error


def _part(node: ast.expr, depth: int) -> Part:
    make = _MAKERS.get(type(node))
    if make is None:
        raise Refused(f"{_shown(node)!r} is not possible here")
    if depth == 0:
        raise Refused("it is too deeply nested")
    return make(node, depth - 1)


def _constant(node: ast.Constant, _: int) -> Part:
    kind = _KINDS.get(type(node.value))
    if kind is None:
        raise Refused(f"{_shown(node)!r} is not possible here")
    value = node.value
    return Part(kind, lambda candidate: value)


def _name(node: ast.Name, _: int) -> Part:
    if node.id not in _FIELDS:
        near = did_you_mean(node.id, _FIELDS, ", did you mean {!r}?")
        raise Refused(f"there is no {node.id!r}{near}")
    return Part(*_FIELDS[node.id])


def _words(node: ast.Tuple | ast.List, depth: int) -> Part:
    parts = [_part(item, depth) for item in node.elts]
    kinds = {part.kind for part in parts}
    if kinds - {"text"} and kinds - {"number"}:
        raise Refused(f"{_shown(node)!r} may hold texts or numbers, not both")
    kind = "numbers" if kinds == {"number"} else "words"
    return Part(kind, lambda c: tuple(part.get(c) for part in parts))


def _junction(node: ast.BoolOp, depth: int) -> Part:
    parts = [_part(value, depth) for value in node.values]
    holds = all if isinstance(node.op, ast.And) else any
    return Part("truth", lambda c: holds(part.get(c) for part in parts))


def _unary(node: ast.UnaryOp, depth: int) -> Part:
    part = _part(node.operand, depth)
    if isinstance(node.op, ast.Not):
        return Part("truth", lambda c: not part.get(c))
    if part.kind != "number" or not isinstance(node.op, ast.USub):
        raise Refused(f"{_shown(node)!r} is not possible here")
    return Part("number", lambda c: None if (value := part.get(c)) is None else -value)


def _arithmetic(node: ast.BinOp, depth: int) -> Part:
    # No powers and no shifts: they make numbers that fill the memory.
    work = _ARITHMETIC.get(type(node.op))
    left, right = _part(node.left, depth), _part(node.right, depth)
    if work is None or {left.kind, right.kind} != {"number"}:
        raise Refused(f"{_shown(node)!r} is not possible: only + - * / // % between numbers")
    return Part("number", lambda c: _worked(work, left.get(c), right.get(c)))


def _worked(work: Callable[[Value, Value], Value], left: Value, right: Value) -> Value:
    if left is None or right is None:
        return None
    try:
        value = work(left, right)
    except (ZeroDivisionError, OverflowError):
        return None
    return None if isinstance(value, float) and math.isnan(value) else value


def _comparison(node: ast.Compare, depth: int) -> Part:
    parts = [_part(value, depth) for value in (node.left, *node.comparators)]
    links = [
        _link(op, left, right, node)
        for op, left, right in zip(node.ops, parts, parts[1:], strict=False)
    ]
    return Part("truth", lambda c: all(link(c) for link in links))


def _link(op: ast.cmpop, left: Part, right: Part, node: ast.Compare) -> Get:
    if isinstance(op, ast.In | ast.NotIn):
        return _membership(left, right, node, inside=isinstance(op, ast.In))
    alike = left.kind == right.kind
    if isinstance(op, ast.Eq | ast.NotEq) and (alike or "unknown" in (left.kind, right.kind)):
        return _equality(left, right, same=isinstance(op, ast.Eq))
    order = _ORDER.get(type(op))
    if order is None or not alike or left.kind not in ("number", "text"):
        raise Refused(f"{_shown(node)!r} compares {left.kind} with {right.kind}")
    return lambda c: _both(order, left.get(c), right.get(c))


def _both(holds: Callable[[Value, Value], bool], left: Value, right: Value) -> bool:
    return left is not None and right is not None and holds(left, right)


def _equality(left: Part, right: Part, *, same: bool) -> Get:
    if "unknown" in (left.kind, right.kind):
        return lambda c: (left.get(c) == right.get(c)) is same
    return lambda c: _both(lambda a, b: (a == b) is same, left.get(c), right.get(c))


def _membership(left: Part, right: Part, node: ast.Compare, *, inside: bool) -> Get:
    if (left.kind, right.kind) not in {("text", "text"), ("text", "words"), ("number", "numbers")}:
        raise Refused(f"{_shown(node)!r} looks for {left.kind} in {right.kind}")
    return lambda c: _both(lambda a, b: (a in b) is inside, left.get(c), right.get(c))


def _call(node: ast.Call, depth: int) -> Part:
    name = node.func.id if isinstance(node.func, ast.Name) else None
    if name not in ("len", "lower") or len(node.args) != 1 or node.keywords:
        raise Refused(f"{_shown(node)!r}: only len(…) and lower(…) can be called")
    part = _part(node.args[0], depth)
    if name == "len" and part.kind in ("text", "words", "numbers"):
        return Part("number", lambda c: None if (v := part.get(c)) is None else len(v))
    if name == "lower" and part.kind in ("text", "words"):
        return Part(part.kind, lambda c: _lower(part.get(c)))
    raise Refused(f"{_shown(node)!r}: there is no {name} of a {part.kind}")


def _lower(value: Value) -> Value:
    if isinstance(value, tuple):
        return tuple(_lower(word) for word in value)
    return None if value is None else value.lower()


def _shown(node: ast.AST) -> str:
    try:
        return ast.unparse(node)[:80]
    except (RecursionError, ValueError):
        return type(node).__name__


_MAKERS: Mapping[type[ast.expr], Callable[[Any, int], Part]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Tuple: _words,
    ast.List: _words,
    ast.BoolOp: _junction,
    ast.UnaryOp: _unary,
    ast.BinOp: _arithmetic,
    ast.Compare: _comparison,
    ast.Call: _call,
}

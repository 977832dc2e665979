"""The expressions of `--filter`, evaluated by simpleeval.

A filter is tested on a candidate with every field, so that an invalid one is rejected before the
first request. A result for which it cannot be evaluated, because its site did not provide a field,
does not meet it.
"""

import ast
import warnings
from collections.abc import Callable

from simpleeval import DEFAULT_OPERATORS, EvalWithCompoundTypes, InvalidExpression

from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.records import Candidate, Origin

ResultFilter = Callable[[Candidate], bool]
MAX_FILTER_CHARS = 500
FIELDS = (
    "width",
    "height",
    "title",
    "author",
    "licence",
    "tags",
    "ai",
    "rating",
    "url",
    "page_url",
)
# What evaluating an expression raises for values that it does not fit.
_ERRORS = (
    InvalidExpression,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
_SAMPLE_ORIGIN = Origin(
    source="x",
    key="x",
    page_url="x",
    author="x",
    licence="x",
    title="x",
    tags=("x",),
    rating="x",
    ai=True,
)
_SAMPLE = Candidate("x", _SAMPLE_ORIGIN, 640, 480)
# Not attributes, subscripts and comprehensions: a recipe of somebody else may have a filter.
_NODES = (
    ast.Name,
    ast.Constant,
    ast.Tuple,
    ast.List,
    ast.UnaryOp,
    ast.BinOp,
    ast.BoolOp,
    ast.Compare,
    ast.Call,
)


def _lower(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Return a text, or each tag, in lower case."""
    return value.lower() if isinstance(value, str) else tuple(map(str.lower, value))


def _remainder(value: object, divisor: float) -> float:
    # Formatting a text may fill the memory: "%99999999999d" % 1
    if not isinstance(value, int | float):
        raise TypeError("% is for numbers")
    return value % divisor


_FUNCTIONS = {"len": len, "lower": _lower}


class _Filter(EvalWithCompoundTypes):  # type: ignore[misc]
    def __init__(self, candidate: Candidate):
        names = {name: getattr(candidate.origin, name, None) for name in FIELDS}
        for name in ("width", "height", "url"):
            names[name] = getattr(candidate, name)
        super().__init__({**DEFAULT_OPERATORS, ast.Mod: _remainder}, names=names)
        # Set later: the class adds `list` and others to those that it is given.
        self.functions = _FUNCTIONS
        for node in set(self.nodes).difference(_NODES):
            del self.nodes[node]


def parse_filter(text: str) -> ResultFilter:
    """Return the condition in `text` as a function. Raises `UsageError`."""
    tree = _parse(text)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    unknown = sorted(names.difference(FIELDS, _FUNCTIONS))
    if unknown:
        near = did_you_mean(unknown[0], FIELDS, ", did you mean {!r}?")
        raise _filter_error(
            text,
            f"{unknown[0]} is not a field{near}",
        )

    try:
        if callable(_Filter(_SAMPLE).eval(text, tree)):
            raise _filter_error(text, "not a condition")
    except _ERRORS as error:
        raise _filter_error(text, str(error)) from None

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
    return UsageError(
        f"--filter {text[:MAX_FILTER_CHARS]!r}: {reason}",
        fix,
    )

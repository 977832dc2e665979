"""Measure the size and density of the product's code.

    python -m tools.code_measures

prints, for each package, the tokens (what the limit of `tests/test_architecture.py` counts) and how
dense its lines are. Comments, docstrings, blank lines, brackets, commas and dots are not tokens, so
that neither a comment nor a blank line costs anything and packing lines gains nothing.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "gleanset",
    "curation",
    "harvest",
    "facecrop",
    "labeler",
    "baseline",
    "pipeline",
    "webapp",
)
MAX_TOKENS = 290_000
# So that lines stay easy to read: expressions and statements a line, and room between steps.
MAX_NODES_PER_LINE = 5.5
MIN_BLANK_SHARE = 0.04
MIN_COMMENT_SHARE = 0.03
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
LINE_STARTS = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
FREE_OPERATORS = frozenset("()[]{},:.")


@dataclass
class Measures:
    """Counts of one or more modules; lines and nodes are those within functions."""

    tokens: int = 0
    nodes: int = 0
    body_lines: int = 0
    blank_lines: int = 0
    comment_lines: int = 0
    packed: int = 0

    @property
    def nodes_per_line(self) -> float:
        """Expressions and statements a line of code."""
        return self.nodes / self.body_lines

    @property
    def blank_share(self) -> float:
        """Share of blank lines within functions."""
        return self.blank_lines / self._all_lines

    @property
    def comment_share(self) -> float:
        """Share of lines within functions that are comments."""
        return self.comment_lines / self._all_lines

    @property
    def _all_lines(self) -> int:
        return self.body_lines + self.blank_lines + self.comment_lines

    def add(self, other: "Measures") -> None:
        """Add the counts of another module."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def measure_package(package: str) -> Measures:
    """Return the measures of all modules of a package."""
    total = Measures()
    for path in sorted((ROOT / package).rglob("*.py")):
        total.add(measure_module(path.read_text(encoding="utf-8")))
    return total


def measure_module(source: str) -> Measures:
    """Return the measures of a module."""
    tree = ast.parse(source)
    measures = Measures(
        tokens=count_tokens(source), packed=len(list(packed_assignments(tree)))
    )
    lines = source.splitlines()
    for function in outermost_functions(tree.body):
        _add_function(measures, function, lines)
    return measures


def count_tokens(source: str) -> int:
    """Count names, numbers, strings and operators, without docstrings."""
    count = 0
    is_line_start = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in LAYOUT:
            is_line_start = is_line_start or token.type in LINE_STARTS
            continue
        is_docstring = is_line_start and token.type == tokenize.STRING
        is_free = token.type == tokenize.OP and token.string in FREE_OPERATORS
        count += not (is_docstring or is_free)
        is_line_start = False
    return count


def outermost_functions(
    body: list[ast.stmt],
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield functions and methods, but not the functions within them."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from outermost_functions(node.body)


def _add_function(
    measures: Measures,
    function: ast.FunctionDef | ast.AsyncFunctionDef,
    lines: list[str],
) -> None:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return

    # Comments before the first statement belong to the body, too.
    start = (
        function.body[0].end_lineno or 0
        if len(body) < len(function.body)
        else body[0].lineno - 1
    )
    texts = [line.strip() for line in lines[start : function.end_lineno]]

    measures.blank_lines += texts.count("")
    comments = sum(text.startswith("#") for text in texts)
    measures.comment_lines += comments
    measures.body_lines += len(texts) - texts.count("") - comments

    nodes = (node for statement in body for node in ast.walk(statement))
    measures.nodes += sum(isinstance(node, ast.expr | ast.stmt) for node in nodes)


def packed_assignments(tree: ast.AST) -> Iterator[int]:
    """Yield the line of each `a, b = x, y` that is neither a swap nor fields of one value.

    Fields of one value, `x, y = box.x, box.y`, differ only in attributes or indices.
    """
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)):
            continue
        target = node.targets[0]
        if not isinstance(target, ast.Tuple):
            continue
        names = [ast.unparse(element) for element in target.elts]
        values = node.value.elts
        if not (_is_dependent(names, values) or _are_fields(values)):
            yield node.lineno


def _is_dependent(names: list[str], values: list[ast.expr]) -> bool:
    """Return whether a value reads what an earlier assignment would have changed."""
    for index, value in enumerate(values):
        parts = {ast.unparse(part) for part in ast.walk(value)}
        if parts.intersection(names[:index]):
            return True
    return False


def _are_fields(values: list[ast.expr]) -> bool:
    texts = [ast.unparse(value) for value in values]
    forms = {re.sub(r"\.\w+|\[[^]]*\]", ".field", text) for text in texts}
    return (
        len(forms) == 1
        and ".field" in forms.pop()
        and not any(isinstance(value, ast.Compare) for value in values)
    )


def measure_product() -> dict[str, Measures]:
    """Return the measures of each package, and of "all" together."""
    total = Measures()
    by_package = {}
    for package in PACKAGES:
        by_package[package] = measure_package(package)
        total.add(by_package[package])
    return by_package | {"all": total}


def main() -> None:
    """Print the measures of each package and of all together."""
    sys.stdout.write("package      tokens  nodes/line  blank  comment  packed\n")
    for name, measures in measure_product().items():
        sys.stdout.write(_row(name, measures))
    sys.stdout.write(f"limit: {MAX_TOKENS:,} tokens\n")


def _row(name: str, measures: Measures) -> str:
    return (
        f"{name:<10}{measures.tokens:>9,}{measures.nodes_per_line:>12.2f}"
        f"{measures.blank_share:>7.1%}{measures.comment_share:>9.1%}"
        f"{measures.packed:>8}\n"
    )


if __name__ == "__main__":
    main()

"""Plain words: house words in names and texts are counted for each package, and only get fewer.

A name says what it holds, with the field's word for it; a text is in normal word order. The words
below were used in many places where the field has a better one. A package that uses fewer of them
than `MAX_COUNTS` allows lowers its figure here.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Pronouns, participles and adverbs that are the whole name of something.
WHOLE_NAMES = re.compile(
    "one|found|told|known|kept|given|asked|wanted|seen|came|who|said|shown|chosen|taken|made|held|"
    "learnt|meant|here|there|again|what|why|how|where|whose|such|some|few|most|more|every|both|"
    "which|beside|besides|alone|gone|begun|named|judged|decided|waiting|ours|mine|theirs|of|among|"
    "looks|look|whole|once|nowhere"
)
# Words within names, between underscores or capitals.
NAME_WORDS = re.compile(
    "(?:^|_)(?:told|said|pictures?|mend|moments?|aside|anew|strangers?|likeness|spared?|takedown|"
    "sure|besides?|alike|familiarity|nobody|whoever|untold|softer|hardly|bearable|fewest|most|"
    "longest|shortest|least|faintest)(?:_|$)"
)
PHRASES = re.compile(
    r"\b(?:told|mends?|mended|anew|set aside|put aside|in vain|as ever|as it stands|besides|nobody|"
    r"whoever|so many|of which|(?:is|are) no [a-z]+|tells? apart|lies (?:in|beside|on)|pictures?|"
    r"moments?|strangers?|likeness|familiarity|how sure|surest|met again|takes? in|taken in|said|"
    r"stands? in|one that|those that|those of|that of|who (?:is|finds|answers|gave|decides)|"
    r"for ever|at hand|the like|look-alikes?|how far|visitors?|put off|telling)\b",
    re.IGNORECASE,
)
MAX_COUNTS = {
    "gleanset": 268,
    "curation": 34,
    "harvest": 54,
    "facecrop": 25,
    "labeler": 65,
    "baseline": 110,
    "pipeline": 40,
    "webapp": 30,
}


def names_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each definition, parameter and assigned name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def is_house_name(name: str) -> bool:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("_")
    return bool(WHOLE_NAMES.fullmatch(words) or NAME_WORDS.search(words))


def house_words(source: str) -> list[str]:
    """Return house words of a module as `line: word`: names, then docstrings, texts, comments."""
    names = [f"{line}: {name}" for line, name in names_of(ast.parse(source)) if is_house_name(name)]
    texts = [
        f"{token.start[0]}: {match[0]}"
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        # Text with a space is for people; else it is a key or a path.
        if token.type in (tokenize.STRING, tokenize.COMMENT) and " " in token.string
        for match in PHRASES.finditer(token.string)
    ]
    return names + texts


@pytest.mark.parametrize("package", MAX_COUNTS)
def test_house_words_only_get_fewer(package: str) -> None:
    places = [
        f"{path.relative_to(ROOT).as_posix()}:{place}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for place in house_words(path.read_text(encoding="utf-8"))
    ]
    assert len(places) <= MAX_COUNTS[package], "\n".join(places)


@pytest.mark.parametrize(
    ("code", "places"),
    [
        ("def f(found): ...", ["1: found"]),
        ("class PictureSet: ...", ["1: PictureSet"]),
        ("MOST_BYTES = 1", ["1: MOST_BYTES"]),
        ("def f():\n    '''Take in what nobody told.'''", ["2: Take in", "2: nobody", "2: told"]),
        ("key = 'picture'  # a key", []),
        ("def read_header(path): ...  # A header may be truncated.", []),
    ],
)
def test_house_words_are_noticed(code: str, places: list[str]) -> None:
    assert house_words(code) == places

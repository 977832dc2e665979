"""Plain words: names and texts use the words of the field.

A name says what it holds, with the field's word for it; a text is in normal word order. The words
below were used in many places where the field has a better one.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

from tools.code_measures import PACKAGES

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
# Phrases that pages may not contain either; a page may name a user's pictures.
_EVERYWHERE = (
    "told|mends?|mended|anew|set aside|put aside|in vain|as ever|as it stands|besides|whoever|"
    "so many|(?<!there )(?:is|are) no (?!longer|such|one)[a-z]+|tells? apart|surest|met again|"
    "lies (?:in|beside|on)|taken in|who (?:finds|answers|gave|decides)|for ever|look-alikes?"
)
# The window's mark "Nobody I collect" is not about code.
_IN_CODE = (
    "nobody(?! I collect)|pictures?|strangers?|likeness|familiarity|how sure|takes? in|"
    "stands? in|put off"
)
PHRASES = re.compile(rf"\b(?:{_EVERYWHERE}|{_IN_CODE})\b", re.IGNORECASE)
PAGE_PHRASES = re.compile(rf"\b(?:{_EVERYWHERE})\b", re.IGNORECASE)
# Words that made names of tests read as riddles.
TEST_WORDS = re.compile(
    "_(?:told|said|mend|moments?|anew|aside|strangers?|nobody|whoever|likeness|besides?|whose|whom|"
    "those|such|what|which|it|they|them|is_no|are_no)(?:_|$)"
)
# Names in texts: in backticks, in braces, or described in a list of fields.
IDENTIFIERS = re.compile(r"`[^`]*`|\{[^}]*\}|^ +[\w, ]+ : ", re.MULTILINE)
CODE = re.compile(r"```.*?```|`[^`]*`|^    .*$", re.DOTALL | re.MULTILINE)
PRODUCT = PACKAGES
OTHERS = ("benchmarks", "datasets", "docker", "docs", "tools")
EXCEPTIONS = frozenset(
    {
        # Columns of the catalogue, and fields of its records and of errors.
        *(
            "what",
            "kept",
            "gone",
            "decided",
            "mark",
            "asked",
            "known",
            "named",
            "chosen",
        ),
        # Keys of files of runs and exports, of JSON output and of the REST API; inputs of models.
        *("pictures", "picture", "of", "whole", "alike", "found", "shown", "set_aside"),
        *("sure", "of_no_class_at_most", "rejected_sure", "left_out_sure"),
        # Settings and options.
        *("every", "sure_from", "waiting"),
        # Arguments that scripts write.
        "where",
    }
)
"""Names of the product that are columns, keys or options, which scripts of users contain."""


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


def is_banned_name(name: str, exceptions: Set[str]) -> bool:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("_")
    if words in exceptions:
        return False
    return bool(WHOLE_NAMES.fullmatch(words) or NAME_WORDS.search(words))


def find_banned_words(source: str, exceptions: Set[str] = frozenset()) -> list[str]:
    """Return banned words of a module as `line: word`: names, then docstrings, texts, comments."""
    names = [
        f"{line}: {name}"
        for line, name in names_of(ast.parse(source))
        if is_banned_name(name, exceptions)
    ]
    if PHRASES.search(source) is None:  # reading tokens takes most of the time
        return names
    texts = [
        f"{token.start[0]}: {match[0]}"
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        # Text with a space is for people; else it is a key or a path.
        if token.type in (tokenize.STRING, tokenize.COMMENT) and " " in token.string
        for match in PHRASES.finditer(IDENTIFIERS.sub("", token.string))
    ]
    return names + texts


@pytest.mark.parametrize(
    "pattern", [*(f"{name}/**/*.py" for name in PRODUCT + OTHERS), "*.py"]
)
def test_code_contains_no_banned_words(pattern: str) -> None:
    exceptions = EXCEPTIONS if pattern.split("/")[0] in PRODUCT else frozenset[str]()
    findings = []
    for path in sorted(ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        places = find_banned_words(path.read_text(encoding="utf-8"), exceptions)
        findings += [f"{name}:{place}" for place in places]
        findings += [name] if is_banned_name(path.stem, exceptions) else []
    assert findings == []


def test_banned_words_are_found() -> None:
    source = '"""Tell the picture apart."""\nsure = [who for who in kept]\n'
    assert find_banned_words(source) == ["2: sure", "2: who", "1: picture"]
    assert find_banned_words("kept, gone = 1, 2", EXCEPTIONS) == []


def test_names_of_tests_contain_no_banned_words() -> None:
    findings = [
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for name in re.findall(
            r"^ *def (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        if TEST_WORDS.search(name)
    ]
    assert findings == []


def test_pages_contain_no_banned_words() -> None:
    findings = []
    for path in [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]:
        prose = CODE.sub("", path.read_text(encoding="utf-8"))
        findings += [
            f"{path.name}: {match[0]}" for match in PAGE_PHRASES.finditer(prose)
        ]
    assert findings == []

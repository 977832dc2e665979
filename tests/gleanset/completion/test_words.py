"""Words as they are typed, and names as they are written for a shell."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gleanset.completion.words import quoted, replacement, typed_words

BREAKS = " \t\n\"'@><=;|&(:"
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1)


@pytest.mark.parametrize(
    ("line", "values", "quote"),
    [
        ("harvest ", ["harvest", ""], ""),
        ("labeler label my\\ cl", ["labeler", "label", "my cl"], ""),
        ("labeler label 'my cl", ["labeler", "label", "my cl"], "'"),
        ('labeler label "a\\$b \\n', ["labeler", "label", "a$b \\n"], '"'),
        ("x 'a'\"b\"c\\'d", ["x", "abc'd"], ""),
        ("x 'it'\\''s", ["x", "it's"], "'"),
        ("x 'a\\' b", ["x", "a\\", "b"], ""),
        ("x a\\\\ b", ["x", "a\\", "b"], ""),
    ],
)
def test_a_line_is_read_as_the_shell_does(line: str, values: list[str], quote: str) -> None:
    words = typed_words(line)
    assert [word.value for word in words] == values
    assert words[-1].open_quote == quote


@given(NAMES)
def test_what_is_quoted_is_read_back(name: str) -> None:
    for before in ("", "'", '"'):
        assert typed_words(before + quoted(name, before) + before)[-1].value == name


def test_bash_itself_reads_it_back() -> None:
    names = ["$(touch x)", "`x`", "a b", "it's", "!x", "~root", "{a,b}", "#", "*", "猫 ", "a=b;c&d"]
    names += ["\\", '"', "[a]", "^a", "-n", "%1", "a\u3000b", "\u00e9"]
    for before in ("", "'", '"'):
        line = " ".join(before + quoted(name, before) + before for name in names)
        done = subprocess.run(
            ["bash", "--norc", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True
        )
        assert done.stdout.decode().split("\0")[:-1] == names


@pytest.mark.parametrize(
    ("typed", "value", "put"),
    [
        ("my\\ cl", "my class", "my\\ class"),
        ("'my cl", "my class", "my class"),
        ('"my cl', "my $class", "my \\$class"),
        ("--class=my", "--class=my class", "my\\ class"),
        ("--class='my", "--class=my class", "my class"),
        ("s3", "s3", "s3"),
        ("a=b", "a=b c", "b\\ c"),
    ],
)
def test_bash_is_told_what_takes_the_place_of_its_word(typed: str, value: str, put: str) -> None:
    assert replacement(typed_words(f"x {typed}")[-1], value, BREAKS) == put

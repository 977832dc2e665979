"""`-o KEY=VALUE`, as all commands read it."""

from __future__ import annotations

import pytest

from gleanset.cli import key_values
from gleanset.errors import UsageError


def test_the_last_one_of_a_key_wins_and_values_may_hold_anything() -> None:
    given = ("epochs=10", " lr = 0.1", "epochs=20", "note=a=b", "empty=")
    assert key_values(given, "epochs=10") == {
        "epochs": "20",
        "lr": "0.1",
        "note": "a=b",
        "empty": "",
    }
    assert key_values(["bing.size=large"], "bing.size=large") == {"bing.size": "large"}


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ("epochs", "epochs=10"),
        ("=10", "epochs=10"),
        ("size=large", "bing.size=large"),
        (".size=large", "bing.size=large"),
        ("bing.=large", "bing.size=large"),
    ],
)
def test_anything_else_names_what_to_write(text: str, example: str) -> None:
    with pytest.raises(UsageError, match=f"not {'SOURCE.' * ('.' in example)}KEY=VALUE") as raised:
        key_values([text], example)
    assert example in str(raised.value)

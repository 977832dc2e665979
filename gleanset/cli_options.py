"""Settings on a command line: `-o KEY=VALUE`, as often as one likes."""

from __future__ import annotations

from collections.abc import Iterable

from gleanset.errors import UsageError


def key_values(options: Iterable[str], example: str) -> dict[str, str]:
    """`epochs=10` as {'epochs': '10'}; the last one of a key wins.

    Where the key of the `example` has a dot (`bing.size=large`), theirs must have one. Raises
    `UsageError` with the example for anything else.
    """
    dotted = "." in example.partition("=")[0]
    found: dict[str, str] = {}
    for text in options:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not (key and equals) or (dotted and not all(key.partition("."))):
            form = "SOURCE.KEY=VALUE" if dotted else "KEY=VALUE"
            raise UsageError(f"-o {text}: not {form}", f"write for instance {example}")
        found[key] = value
    return found

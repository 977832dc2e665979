"""Results of commands and stages: typed records that print themselves and become JSON."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gleanset.terminal import format_result


class CommandResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a command or a stage of a recipe did.

    The fields are the keys of `--json`; those that have their default are left out. A result is
    printed in the same way wherever it appears: by its command, by a recipe, after an error.
    Nothing is recognised by the keys of a result.
    """

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return fields

    def summary(self) -> Mapping[str, Any]:
        """Return what people read, by name, for `format_result`."""
        return self.to_json()

    def lines(self, indent: str = "") -> list[str]:
        """Return the lines that people read, wrapped to the width of the terminal."""
        return format_result(self.summary(), indent)

"""Results of commands and stages: typed records that print themselves and become JSON."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import msgspec

from gleanset.terminal import format_result

JsonDict = dict[str, Any]
"""A JSON object."""


class CommandResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a command or a stage of a recipe did.

    The fields are the keys of `--json`; those that have their default are left out. A result is
    printed in the same way wherever it appears: by its command, by a recipe, after an error.
    Nothing is recognised by the keys of a result.
    """

    ONLY_PRINTED: ClassVar[tuple[str, ...]] = ()
    """Fields that are for people, and are not in `--json`."""
    WORDS: ClassVar[Mapping[str, str]] = {}
    """Printed names of fields, where they are not the fields' own."""
    ONLY_IN_FULL: ClassVar[tuple[str, ...]] = ()
    """Fields that the command prints, but not a recipe."""

    def to_json(self) -> JsonDict:
        """Return the fields as JSON values."""
        fields: JsonDict = msgspec.to_builtins(self)
        return {
            key: value for key, value in fields.items() if key not in self.ONLY_PRINTED
        }

    def summary(self) -> Mapping[str, Any]:
        """Return what people read, by name, for `format_result`."""
        return {
            self.WORDS.get(name, name): value for name, value in self.to_json().items()
        }

    def lines(self) -> list[str]:
        """Return the lines that people read, wrapped to the width of the terminal."""
        return format_result(self.summary())

    def brief(self) -> Mapping[str, Any]:
        """Return what a recipe prints of this stage: the command itself prints more."""
        facts = self.summary().items()
        return {name: value for name, value in facts if name not in self.ONLY_IN_FULL}

    def with_facts(self, facts: Mapping[str, Any]) -> Self:
        """Return the result with these fields set; unknown names raise `TypeError`."""
        return msgspec.structs.replace(self, **facts)


class AliasedResult(CommandResult, kw_only=True):
    """Result of names that may be aliases, see `Classes.explain_aliases`."""

    alias: str = ""
    to_make_it_a_class: str = ""

"""Which columns of a list of URLs say what, on a command line and in a recipe."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

ColumnRole = Literal["url", "caption", "label", "licence", "author", "page"]


@dataclass(frozen=True, slots=True)
class ListColumns:
    """The names of the columns that say these things. They are also found in other case (`URL`)."""

    url: str = "url"
    caption: str | None = None
    label: str | None = None
    licence: str | None = None
    author: str | None = None
    page: str | None = None

    def named(self) -> dict[str, str]:
        """Return the columns to be read, by what they say."""
        return {what: name for what, name in asdict(self).items() if name is not None}

    def words(self) -> list[str]:
        """Return the options that ask for this."""
        plain = PLAIN.named()
        given = [(what, name) for what, name in self.named().items() if plain.get(what) != name]
        return [word for what, name in given for word in (f"--{what}-column", name)]


PLAIN = ListColumns()

"""Schema of the catalogue: `schema.sql` for new ones, and a file in `migrations/` for each change.

A migration is named by its number and subject; they are applied in this order.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

OLDEST_COMMIT = "4fea4a6a"
"""Last development version that upgrades older catalogues to `oldest`."""


class CatalogueSchema(NamedTuple):
    """SQL of a new catalogue (`tables`), and migrations (`steps`) for those since `oldest`."""

    tables: str
    oldest: str
    steps: tuple[tuple[str, str], ...] = ()

    @property
    def newest(self) -> str:
        """Name of the last migration; new catalogues already include it."""
        return self.steps[-1][0] if self.steps else self.oldest


def _read_schema() -> CatalogueSchema:
    folder = Path(__file__).parent
    files = sorted((folder / "migrations").glob("*.sql"))
    migrations = tuple((file.stem, file.read_text("utf-8")) for file in files)
    tables = (folder / "schema.sql").read_text("utf-8")
    return CatalogueSchema(tables, "0030-no-outliers", migrations)


SCHEMA = _read_schema()

"""How a person wants the net to be used, on a command line and in a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gleanset import Dataset
    from harvest.http import Client


@dataclass(frozen=True, slots=True)
class NetOptions:
    """How the person wants the net to be used. `sleep` is in seconds, from request to request."""

    allow_private: bool = False
    sleep: float = 0.0
    ignore_robots: frozenset[str] = frozenset()

    def client(self, dataset: Dataset | None = None) -> Callable[[], Client]:
        """Return what opens the downloader, with the dataset's settings for the net."""
        from gleanset.settings import NetSettings
        from harvest.http import Client, DownloadLimits

        net = dataset.settings.net if dataset else NetSettings()
        limits = DownloadLimits.of(net, delay=self.sleep)
        return lambda: Client(
            limits,
            allow_private=self.allow_private,
            contact=net.contact,
            ignore_robots=self.ignore_robots,
        )

    def words(self) -> list[str]:
        """Return the options that ask for this."""
        return [
            *(["--sleep", repr(self.sleep)] if self.sleep else []),
            *(word for said in sorted(self.ignore_robots) for word in ("--ignore-robots", said)),
            *(["--allow-private"] if self.allow_private else []),
        ]

"""Errors that a user can fix, and unreadable images.

A `GleansetError` has a message, a hint how to fix it, and the documented exit code of the command.
Any other exception that leaves a command is a bug and is printed with its traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gleanset.command_result import CommandResult


class GleansetError(Exception):
    """An error that the user can fix: `what` is wrong, and how to `fix` it."""

    exit_code = 3

    def __init__(self, what: str, fix: str = "", result: CommandResult | None = None):
        super().__init__(what, fix)
        self.what = what
        self.fix = fix
        self.result = result
        """Result of the command to print before the error, if it was partly done."""

    def __str__(self) -> str:
        return f"{self.what}\nhint: {self.fix}" if self.fix else self.what


class UsageError(GleansetError):
    """Invalid command line or setting."""

    exit_code = 2


class InputUnusable(GleansetError):
    """Unusable input: not a video, not a folder, no labels yet."""


class CurrentFolderMissing(InputUnusable):
    """The folder in which the command was started was deleted."""

    def __init__(self) -> None:
        super().__init__(
            "the current folder no longer exists", "change to another one: cd ~"
        )


class DatasetMissing(InputUnusable):
    """The folder contains no dataset."""


class DatasetNewer(InputUnusable):
    """The dataset was written by a newer Gleanset."""


class DatasetOlder(InputUnusable):
    """The dataset was written by a development version that is no longer supported."""


class DatasetBusy(InputUnusable):
    """Another process locks the catalogue or runs the same stage."""


class CatalogueCorrupt(InputUnusable):
    """`catalog.sqlite` is damaged or not a catalogue."""


class DoneInPart(InputUnusable):
    """The command was completed, but items were invalid or left out."""


class NotWritable(InputUnusable):
    """The folder is not writable: permissions or a read-only disk."""


class DiskFull(InputUnusable):
    """No space left on the device."""


class RecipeError(InputUnusable):
    """A recipe or `dataset.toml` has a wrong key or value."""


class SiteError(GleansetError):
    """A site did not return results. It is never treated as "no results"."""

    exit_code = 4


class Blocked(SiteError):
    """The site refused: a captcha, a consent page, or status 403."""


class Changed(SiteError):
    """The response no longer has the expected structure."""


class RateLimited(SiteError):
    """Too many requests."""


class Unreachable(SiteError):
    """The site does not respond."""


class Incomplete(SiteError):
    """A search that did not reach its end: there are more results than were listed."""


class NeedsLogin(GleansetError):
    """A key or login is missing or was refused."""

    exit_code = 5


class MissingComponent(GleansetError):
    """A required component is missing: ffmpeg, a Python extra, weights or a display."""

    exit_code = 6


FORGOTTEN = "forgotten"
"""Reason of an image that was removed for good."""


class Unreadable(Exception):
    """An image that cannot be used: a `reason` from a fixed set, and any `detail`."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason

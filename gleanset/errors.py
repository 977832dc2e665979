"""Everything that a user can fix, as exceptions; every rejection of one item, as a value.

A `GleansetError` says what happened, to what, and the command or setting that fixes it.
Its `exit_code` is the one documented for the command lines. Any other exception that
leaves a command is a bug of ours and is shown as a traceback.
"""

from __future__ import annotations

from typing import Any


class GleansetError(Exception):
    """An error that the user can fix. `what` happened, and the `fix` for it."""

    exit_code = 3
    result: dict[str, Any] | None = None
    """Printed before it, as that of any command, where there is one all the same."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}\nhint: {self.fix}" if self.fix else self.what


class UsageError(GleansetError):
    """The command line or a setting makes no sense."""

    exit_code = 2


class InputUnusable(GleansetError):
    """What was given cannot be used: not a video, not a folder, nothing labelled yet."""


class DatasetMissing(InputUnusable):
    """There is no dataset in that folder."""


class DatasetNewer(InputUnusable):
    """The dataset was written by a newer Gleanset."""


class DatasetOlder(InputUnusable):
    """The dataset was written by a development version that we know no more."""


class DatasetBusy(InputUnusable):
    """Another program holds the catalogue for too long, or runs the same stage."""


class CatalogueCorrupt(InputUnusable):
    """`catalog.sqlite` is damaged or is not a catalogue."""


class DoneInPart(InputUnusable):
    """A command did its work, and the exit code says that something was wrong or left out."""

    def __init__(self, what: str, fix: str, result: dict[str, Any]) -> None:
        super().__init__(what, fix)
        self.result = result


class NotWritable(InputUnusable):
    """The folder cannot be written to: permissions, or a read-only disk."""


class DiskFull(InputUnusable):
    """No space left on the device."""


class RecipeError(InputUnusable):
    """A recipe or `dataset.toml` has a wrong key or value."""


class SiteError(GleansetError):
    """A site did not give what was asked. Never turned into an empty list."""

    exit_code = 4


class Blocked(SiteError):
    """Turned away: a captcha, a consent page, a 403."""


class Changed(SiteError):
    """The answer no longer has the shape we expect."""


class RateLimited(SiteError):
    """Asked too often; `retry_after` in seconds where the site said so."""

    def __init__(self, what: str, fix: str = "", retry_after: float | None = None) -> None:
        super().__init__(what, fix)
        self.retry_after = retry_after


class Unreachable(SiteError):
    """The site does not answer at all."""


class Incomplete(SiteError):
    """A search whose end was not seen: there are results that were not listed."""

    def __init__(self, what: str, fix: str = "", result: dict[str, Any] | None = None) -> None:
        super().__init__(what, fix)
        self.result = result


class NeedsLogin(GleansetError):
    """A key or login is missing or was refused."""

    exit_code = 5


class MissingComponent(GleansetError):
    """ffmpeg, a Python extra, weights or a display is not there."""

    exit_code = 6


class Unreadable(Exception):
    """An image that cannot be used; `reason` is one of few words, for counts, `detail` is free."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

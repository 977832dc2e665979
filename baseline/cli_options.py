"""Options that several `baseline` commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from baseline.settings import check_preset


def _checked(_: click.Context, __: click.Parameter, name: str) -> str:
    check_preset(name)
    return name


def preset_option(default: str, help_text: str) -> Callable[[Any], Any]:
    """Add `--preset NAME`; a name that no preset has is refused before anything is loaded."""
    return click.option(
        "--preset", default=default, show_default=True, callback=_checked, help=help_text
    )

"""`labeler` without a subcommand, and `labeler open`: the desktop window, or a picture of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gleanset.cli import Command, CommandGroup, CommandJob, Result, job_options
from gleanset.errors import DatasetMissing, MissingComponent

COMMAND_LINE = click.core.ParameterSource.COMMANDLINE
NAMES = ("sorting", "pages", "duplicates", "crop", "review", "numbers")
VIEW = click.option(
    "--view",
    type=click.Choice(NAMES),
    help="The view to begin with (sorting is the grid). Default: that of the last time.",
)
PICTURE = click.option(
    "--screenshot",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a PNG of the view instead of opening a window.",
)

LANGUAGE = click.option(
    "--language", metavar="NAME", help="en, ja or zh_CN. Default: that of the system."
)


@click.command("open", cls=Command, epilog="Example: labeler open -d my-dataset")
@job_options()
@VIEW
@PICTURE
@LANGUAGE
def open_(
    job: CommandJob, view: str | None, screenshot: Path | None, language: str | None
) -> Result | None:
    """Open the window: sort faces into classes, look at duplicates, review, export.

    Where there is no dataset yet, the window offers to make one, and takes in what lies there.
    """
    return show(job, view, screenshot, language)


def show(
    job: CommandJob, view: str | None, screenshot: Path | None, language: str | None
) -> Result | None:
    """Open the window until it is closed, or take a picture of it."""
    try:
        from labeler.qt.app import has_display, open_window, take_picture
    except ImportError as error:
        raise MissingComponent(
            f"the window needs PySide6, which cannot be loaded ({error})",
            "install it with: pip install 'gleanset[gui]'",
        ) from error
    try:
        with job.open():
            pass  # what is wrong with the dataset is said here, before there is a window
    except DatasetMissing:
        if screenshot is not None or not has_display():
            raise
    if screenshot is not None:
        return take_picture(job.root, view or "sorting", screenshot, language)
    open_window(job.root, view, language)
    return None


class WindowGroup(CommandGroup):
    """Takes a folder in the place of a command: `labeler my-dataset` opens it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of a name, or that which opens the folder of that name."""
        first, *rest = args
        if self.get_command(ctx, first) is None and Path(first).is_dir():
            return open_.name, open_, ["-d", first, *rest]
        return super().resolve_command(ctx, args)


def add_window(commands: click.Group) -> None:
    """Make the window what the command does when it is told nothing else."""

    @job_options()
    @VIEW
    @PICTURE
    @LANGUAGE
    def window(job: CommandJob, **rest: Any) -> Result | None:
        return show(job, **rest)

    def begin(**values: Any) -> None:
        context = click.get_current_context()
        given = [name for name in values if context.get_parameter_source(name) == COMMAND_LINE]
        if context.invoked_subcommand is None:
            window(**values)
        elif given:
            # Silently, they would be lost: the subcommand has options of its own.
            raise click.UsageError(f"write options after {context.invoked_subcommand!r}")

    commands.add_command(open_)
    commands.invoke_without_command = True
    commands.no_args_is_help = False
    commands.params += getattr(window, "__click_params__", [])[::-1]
    commands.callback = begin

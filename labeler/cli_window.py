"""`labeler` without a subcommand, and `labeler open`: the desktop window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gleanset.cli import Command, CommandGroup, CommandJob, job_options
from gleanset.errors import DatasetMissing, MissingComponent
from gleanset.installation import install_command

COMMAND_LINE = click.core.ParameterSource.COMMANDLINE
NAMES = ("grid", "pages", "duplicates", "crop", "review", "statistics")
VIEW = click.option(
    "--view",
    type=click.Choice(NAMES),
    help="The first view. Default: the last one used.",
)
LANGUAGE = click.option(
    "--language", metavar="NAME", help="en, ja or zh_CN. Default: the system language."
)
THEME = click.option(
    "--theme",
    type=click.Choice(["light", "dark"]),
    help="Light or dark. Default: as the desktop.",
)


@click.command("open", cls=Command, epilog="Example: labeler open -d my-dataset")
@job_options()
@VIEW
@LANGUAGE
@THEME
def open_(job: CommandJob, view: str | None, language: str | None, theme: str | None) -> None:
    """Open the window to sort, check duplicates, review and export.

    If there is no dataset, the window offers to create one and to import the files of the folder.
    """
    try:
        from gleanset.platform import has_display
        from labeler.qt.app import open_window
    except ImportError as error:
        raise MissingComponent(
            f"the window needs PySide6, which cannot be loaded ({error})",
            install_command("gui"),
        ) from error
    try:
        with job.open():
            pass  # reports errors of the dataset before there is a window
    except DatasetMissing:
        if not has_display():
            raise
    open_window(job.root, view, language, theme)


class WindowGroup(CommandGroup):
    """Accepts a folder instead of a command: `labeler my-dataset` opens it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command with a name, or the command that opens a folder."""
        first, *rest = args
        if self.get_command(ctx, first) is None and Path(first).is_dir():
            return open_.name, open_, ["-d", first, *rest]
        return super().resolve_command(ctx, args)


def add_window(commands: click.Group) -> None:
    """Make opening the window the default command."""

    def begin(**values: Any) -> None:
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            context.invoke(open_, **values)
        elif any(context.get_parameter_source(name) == COMMAND_LINE for name in values):
            # The subcommand would silently ignore them.
            raise click.UsageError(f"write options after {context.invoked_subcommand!r}")

    commands.add_command(open_)
    commands.invoke_without_command = True
    commands.no_args_is_help = False
    commands.params += open_.params
    commands.callback = begin

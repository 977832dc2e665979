"""`labeler` without a subcommand, and `labeler open`: the desktop window, or a screenshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import click

from gleanset.cli import Command, CommandGroup, CommandJob, Result, job_options
from gleanset.errors import DatasetMissing, MissingComponent
from gleanset.installation import install_command
from labeler.export.options import parse_size

COMMAND_LINE = click.core.ParameterSource.COMMANDLINE
NAMES = ("grid", "pages", "duplicates", "crop", "review", "statistics")
VIEW = click.option(
    "--view",
    type=click.Choice(NAMES),
    help="The first view. Default: the last one used.",
)
SCREENSHOT = click.option(
    "--screenshot",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a PNG of the view instead of opening a window; for an existing folder, of every "
    "view, light and dark.",
)

LANGUAGE = click.option(
    "--language", metavar="NAME", help="en, ja or zh_CN. Default: the system language."
)
THEMES = ("light", "dark")
THEME = click.option(
    "--theme",
    type=click.Choice(THEMES),
    help="Light or dark. Default: as the desktop.",
)
WINDOW_SIZE = click.option(
    "--size", metavar="WxH", help="Window size in pixels, such as 1280x720. Default: the last one."
)


class WindowOptions(NamedTuple):
    """Options of the window; None for the value of the last time."""

    view: str | None = None
    screenshot: Path | None = None
    language: str | None = None
    theme: str | None = None
    size: str | None = None

    def screenshots(self) -> list[tuple[str, str | None, Path]]:
        """Return the view, theme and file of each requested screenshot."""
        file = self.screenshot
        if file is None or not file.is_dir():
            return [(self.view or "grid", self.theme, file)] if file else []
        views = (self.view,) if self.view else NAMES
        themes = (self.theme,) if self.theme else THEMES
        return [(v, t, file / f"{v}-{t}.png") for v in views for t in themes]


@click.command("open", cls=Command, epilog="Example: labeler open -d my-dataset")
@job_options()
@VIEW
@SCREENSHOT
@LANGUAGE
@THEME
@WINDOW_SIZE
def open_(job: CommandJob, **options: Any) -> Result | None:
    """Open the window to sort, check duplicates, review and export.

    If there is no dataset, the window offers to create one and to import the files of the folder.
    """
    return show(job, WindowOptions(**options))


def show(job: CommandJob, options: WindowOptions) -> Result | None:
    """Open the window until it is closed, or write screenshots."""
    try:
        from gleanset.platform import has_display
        from labeler.qt.app import open_window, save_screenshot
    except ImportError as error:
        raise MissingComponent(
            f"the window needs PySide6, which cannot be loaded ({error})",
            install_command("gui"),
        ) from error
    try:
        with job.open():
            pass  # reports errors of the dataset before there is a window
    except DatasetMissing:
        if options.screenshot is not None or not has_display():
            raise
    size = parse_size(options.size)
    if options.screenshot is not None:
        written = [
            save_screenshot(job.root, view, file, options.language, theme=theme, size=size)
            for view, theme, file in options.screenshots()
        ]
        return written[0] if len(written) == 1 else {"written": len(written)}
    open_window(job.root, options.view, options.language, theme=options.theme, size=size)
    return None


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

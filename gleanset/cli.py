"""Behaviour shared by all command-line programs.

A command is a function that takes a `CommandJob` and returns a `CommandResult`. This module
adds the common options, prints the result as text or JSON, and turns errors into a message with a
hint and the documented exit code.
"""

import functools
import inspect
import io
import json
import logging
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

import click

from gleanset import __version__, own_process
from gleanset.command_result import CommandResult, JsonDict
from gleanset.dataset import Dataset, has_dataset_file, is_dataset
from gleanset.errors import (
    CurrentFolderMissing,
    DatasetMissing,
    GleansetError,
    UsageError,
)
from gleanset.files.atomic import disk_errors
from gleanset.own_process import INTERRUPTED_EXIT_CODE, restore_interrupts
from gleanset.platform import has_current_folder
from gleanset.settings import list_settings_warnings
from gleanset.terminal import wrap, wrap_error
from gleanset.work.progress import (
    LogHandler,
    Progress,
    closing_bars,
    set_current,
    without_bars,
)

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
BUG_EXIT_CODE = 1
JSON_LINES = "json"


class CommandJob(NamedTuple):
    """Values of the common options, and the output of a command."""

    root: Path
    progress: Progress
    as_json: bool = False
    simulate: bool = False

    def open(self, *, rehearse: bool = False) -> Dataset:
        """Open the dataset, also to `rehearse` in a read-only one, as a simulation does.

        Changes of a read-only dataset then go into a temporary copy of its catalogue.
        """
        dataset = Dataset.open(
            self.root,
            rehearse=rehearse or self.simulate,
        )
        self.warn_of_lost_settings()
        return dataset

    @contextmanager
    def create(self) -> Iterator[Dataset]:
        """Open the dataset, or create it; a simulation creates a temporary one."""
        if not self.simulate:
            with Dataset.create(self.root) as dataset:
                self.warn_of_lost_settings()
                yield dataset
            return

        try:
            dataset = self.open()
        except DatasetMissing:
            with (
                TemporaryDirectory(prefix="gleanset-") as folder,
                Dataset.create(folder) as empty,
            ):
                yield empty
        else:
            with dataset:
                yield dataset

    def warn_of_lost_settings(self) -> None:
        """Print a warning if the dataset has no settings file, or an empty one."""
        if not is_dataset(self.root):
            return
        # A file that cannot be read is an error of the command.
        with suppress(OSError, UnicodeDecodeError):
            for line in list_settings_warnings(self.root):
                self.say(line)

    def say(self, line: str) -> None:
        """Print a message to stderr, unless --quiet is given."""
        self.progress.say(line)

    def show(self, line: str) -> None:
        """Print a line to stdout unchanged."""
        _out(line)

    def show_json(self, value: JsonDict) -> None:
        """Print a value to stdout as a line of JSON, escaped if the encoding requires it."""
        text = json.dumps(value, ensure_ascii=False)
        try:
            text.encode(sys.stdout.encoding or "ascii")
        except UnicodeEncodeError:
            text = json.dumps(value)
        _out(text)

    def show_result(self, result: CommandResult) -> None:
        """Print a result to stdout as text or JSON."""
        if self.as_json:
            values = result.to_json()
            if self.progress.warnings:
                first_lines = [text.split("\n")[0] for text in self.progress.warnings]
                values["warnings"] = first_lines
            self.show_json(values)
        elif not self.progress.quiet:
            if self.simulate:
                _out("simulation: nothing is changed")
            for line in result.lines():
                _out(line)

    def tell(self, line: str) -> None:
        """Print a text to stdout, wrapped to the width of the terminal."""
        for part in wrap(line):
            _out(part)


class Command(click.Command):
    """A command with the help option `-h`, whose docstring ends with an example."""

    def __init__(self, *args: Any, **values: Any):
        super().__init__(*args, **values)
        text, mark, example = inspect.cleandoc(self.help or "").rpartition(
            "\n\nExample: "
        )
        if mark:
            self.help = text
            self.epilog = f"Example: {example}"

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        """Return the names regardless of the context, because click caches the first result."""
        return list(HELP["help_option_names"])


class CommandGroup(Command, click.Group):
    """A group of commands with the help option `-h`, which lists them by section.

    `sections` are names of commands, separated by spaces, by title; other commands come last.
    """

    command_class = Command
    sections: Mapping[str, str] = MappingProxyType({})

    def job(
        self, name: str | None = None, *, simulate: bool = False, dataset: bool = True
    ) -> Callable[[Callable[..., CommandResult | None]], click.Command]:
        """Add a command with the common options, whose function gets a `CommandJob` first."""
        add_options = job_options(simulate=simulate, dataset=dataset)
        return lambda function: self.command(name)(add_options(function))

    def subgroup(self, function: Callable[[], None]) -> "CommandGroup":
        """Add a group of commands, named and described as a function that does nothing."""
        group = click.group(cls=CommandGroup)(function)
        self.add_command(group)
        return group

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the commands by section."""
        names = self.list_commands(ctx)
        # Click indents names by 2 columns, and texts by 2 more; 2 remain free.
        width = formatter.width - 6 - max(map(len, names))

        sections = {title: text.split() for title, text in self.sections.items()}
        in_sections = set(" ".join(self.sections.values()).split())
        sections["Commands"] = [name for name in names if name not in in_sections]
        for title, section_names in sections.items():
            rows = []
            for name in section_names:
                command = self.get_command(ctx, name)
                if command:
                    rows.append((name, command.get_short_help_str(width)))
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def create_program(
    name: str,
    text: str,
    kind: type[CommandGroup] = CommandGroup,
    sections: Mapping[str, str] | None = None,
) -> CommandGroup:
    """Create a command-line program with subcommands."""
    program = kind(name=name, help=text, context_settings=HELP)
    program.sections = sections or {}
    return click.version_option(__version__, prog_name=name)(program)


def job_options(
    *, simulate: bool = False, dataset: bool = True
) -> Callable[[Callable[..., CommandResult | None]], Callable[..., None]]:
    """Add the common options; the function gets a `CommandJob` as its first argument."""

    def decorate(function: Callable[..., CommandResult | None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(
            as_json: bool, quiet: bool, progress: str, verbose: int, **rest: Any
        ) -> None:
            level = (logging.ERROR, logging.INFO, logging.DEBUG)[min(verbose, 2)]
            logging.basicConfig(
                level=level, format="%(name)s: %(message)s", handlers=[LogHandler()]
            )

            folder = rest.pop("dataset", None)
            output = Progress(quiet, as_json=progress == JSON_LINES)
            set_current(output)
            job = CommandJob(
                root=find_dataset_root(folder),
                progress=output,
                as_json=as_json,
                simulate=rest.pop("simulate", False),
            )
            try:
                with closing_bars():
                    result = function(job, **rest)
            except BrokenPipeError as error:
                # This is not stdout (see `_out`); click would exit silently.
                raise RuntimeError("a pipe to another process broke") from error
            except GleansetError as error:
                _add_dataset_option(error, folder)
                if error.result:
                    job.show_result(error.result)
                raise
            if result:
                job.show_result(result)

        options = [_dataset_option] if dataset else []
        options += _output_options
        options += [_simulate_option] if simulate else []
        # A decorator puts its option before those of earlier ones.
        for option in reversed(options):
            run = option(run)
        return run

    return decorate


_OUR_COMMAND = re.compile(
    r"(?:^|: )(?!gleanset (?:demo|recipes)|facecrop (?:detectors|docker)|baseline backbones)"
    r"(?:gleanset|harvest|facecrop|labeler|baseline|webapp) [a-z](?:[^:;,]|:(?! ))*$"
)
"""Matches a text that ends in a command of Gleanset that takes a dataset.

The commands in `(?!…)` take none. The end of the text is a command only if nothing follows it: no
colon with a space, semicolon or comma.
"""


def _add_dataset_option(error: GleansetError, folder: Path | None) -> None:
    """Add `-d FOLDER` to the command in the hint, so that it works as typed."""
    if not folder or re.search(r" (-d|--dataset) ", error.fix):
        return

    option = f" -d {shlex.quote(str(folder))}"
    before, pipe, after = error.fix.partition(" | ")
    if _OUR_COMMAND.search(before):
        error.fix = f"{before}{option}{pipe}{after}"
    elif _OUR_COMMAND.search(after):
        error.fix += option


workers_option = click.option(
    "--workers", type=click.IntRange(1, 256), default=None, help="Worker processes."
)


FOLDER = click.Path(path_type=Path, file_okay=False)
"""Type of options and arguments that name a folder."""
_dataset_option = click.option(
    "-d",
    "--dataset",
    type=FOLDER,
    metavar="DIR",
    help="Dataset folder. Default: the current folder, then $GLEANSET_DATASET.",
)
_output_options = (
    click.option(
        "-j",
        "--json",
        "as_json",
        is_flag=True,
        help="Print the result as one line of JSON.",
    ),
    click.option(
        "-q", "--quiet", is_flag=True, help="Print no progress and no summary."
    ),
    click.option(
        "--progress",
        type=click.Choice(("bar", JSON_LINES)),
        default="bar",
        help="Progress on stderr: a bar, or JSON lines.",
    ),
    click.option(
        "-v", "--verbose", count=True, help="Increase verbosity (-vv for debug output)."
    ),
)
_simulate_option = click.option(
    "-s",
    "--simulate",
    is_flag=True,
    help="Print what would be done, and change nothing.",
)


def find_dataset_root(folder: Path | None) -> Path:
    """Return `folder`, else the current folder if it is a dataset, else `$GLEANSET_DATASET`.

    Raises `CurrentFolderMissing` for a relative path in a folder that was deleted.
    """
    default = os.environ.get("GLEANSET_DATASET")
    if not folder:
        folder = Path(default) if default and not has_dataset_file(Path()) else Path()
    if not (folder.is_absolute() or has_current_folder()):
        raise CurrentFolderMissing
    return folder


def main(commands: click.Group) -> NoReturn:
    """Run a program and exit with its documented exit code."""
    name = commands.name or "gleanset"
    _prepare_output()
    try:
        restore_interrupts()
        code = commands.main(prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort as abort:
        report = _report_no_answer if _is_end_of_input(abort) else _report_interrupt
        code = report(name)
    except click.ClickException as error:
        _print_click_error(error)
        code = error.exit_code
    except GleansetError as error:
        code = _print_error(name, error)
    except KeyboardInterrupt:
        code = _report_interrupt(name)
    except (_ReaderGone, BrokenPipeError):
        # The reader of stdout has closed it, for example `head`.
        os.dup2(
            os.open(os.devnull, os.O_WRONLY),
            sys.stdout.fileno(),
        )
        code = 0
    except Exception:
        code = _report_unexpected_error(name)
    # A command has no result for click; a number is the code of an exit, as after --help.
    sys.exit(code if isinstance(code, int) else 0)


def _print_click_error(error: click.ClickException) -> None:
    """Print usage and error as click does, wrapped for a person."""
    text = io.StringIO()
    error.show(text)
    for line in text.getvalue().splitlines():
        for part in wrap(line) if sys.stderr.isatty() else [line]:
            click.echo(part, err=True)


def _report_unexpected_error(name: str) -> int:
    """Print the exception that is being handled; return the exit code."""
    if not has_current_folder():
        # A relative path, or a library that asks for the current folder.
        return _print_error(name, CurrentFolderMissing())
    traceback.print_exc()
    click.echo(
        f"{name}: this is a bug in Gleanset {__version__}; please report it", err=True
    )
    return BUG_EXIT_CODE


def _prepare_output() -> None:
    if own_process.owns_process:
        # Warnings are then written by the log handler, which does not write into progress bars.
        logging.captureWarnings(capture=True)
        logging.getLogger("py.warnings").setLevel(logging.WARNING)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, as by >&-
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Paths may contain bytes that are not text, and terminals may lack characters.
        sys.stdout.reconfigure(errors="backslashreplace")


def _print_error(name: str, error: GleansetError) -> int:
    """Print an error: wrapped for a person, one line each for a program that reads it.

    Return its exit code.
    """
    text = f"{name}: {error}"
    if sys.stderr.isatty():
        text = "\n".join(wrap_error(f"{name}: {error.what}", error.fix))
    click.echo(text, err=True)
    return error.exit_code


def confirm(question: str) -> bool:
    """Ask for confirmation; False at the end of input. Ctrl-C raises `click.Abort`."""
    try:
        return click.confirm(question, err=True)
    except click.Abort as abort:
        if _is_end_of_input(abort):
            return False
        raise


def prompt_text(question: str, *, hidden: bool = False) -> str:
    """Prompt for a text on stderr and return it."""
    answer = click.prompt(
        question, default="", hide_input=hidden, show_default=False, err=True
    )
    return str(answer)


def _is_end_of_input(abort: click.Abort) -> bool:
    """Return whether a prompt reached the end of input; click raises `Abort` for Ctrl-C too."""
    return isinstance(abort.__context__, EOFError)


class _ReaderGone(Exception):
    """The reader of stdout (for example `head`) has closed it."""


def _out(line: str) -> None:
    try:
        # A file that a shell redirects to may be on a full disk.
        with without_bars(), disk_errors(Path("standard output")):
            click.echo(line)
    except BrokenPipeError as error:
        # click would exit with a failure.
        raise _ReaderGone from error


def _report_interrupt(name: str) -> int:
    command = shlex.join([name, *sys.argv[1:]])
    click.echo(
        f"\ninterrupted; completed work is kept\nhint: run it again to continue:\n  {command}",
        err=True,
    )
    return INTERRUPTED_EXIT_CODE


def _report_no_answer(name: str) -> int:
    click.echo(f"{name}: a question was not answered: end of input", err=True)
    return UsageError.exit_code


def parse_key_values(
    options: Iterable[str], example: str, option: str = "-o"
) -> dict[str, str]:
    """Parse texts such as `epochs=10` into a dict; the last value of a key wins.

    If the key of the `example` has a dot (`bing.size=large`), every key must have one. Raises
    `UsageError` with the example for anything else.
    """
    needs_dot = "." in example.partition("=")[0]
    values = {}
    for text in options:
        key, equals, value = (part.strip() for part in text.partition("="))
        # Of "bing.size" all three parts have a text: before the dot, the dot, and after it.
        lacks_dot = needs_dot and not all(key.partition("."))
        if not key or not equals or lacks_dot:
            form = "SOURCE.KEY=VALUE" if needs_dot else "KEY=VALUE"
            raise UsageError(
                f"{option} {text}: not {form}", f"write for instance {example}"
            )
        values[key] = value
    return values

"""What several `harvest` commands share: options, the downloader, settings of sources."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gleanset.cli import CommandJob, Result, key_values
from gleanset.completion.values import classes_here, one_of, registered_in
from gleanset.config import did_you_mean
from gleanset.db.classes import class_name
from gleanset.errors import DatasetMissing, UsageError
from harvest import robots_words
from harvest.list_columns import PLAIN, ListColumns
from harvest.net_options import NetOptions

if TYPE_CHECKING:
    from gleanset import Dataset
    from harvest.request import HarvestRequest

FILES = click.Path(path_type=Path)
LONGEST_SLEEP = 3600.0


def _class(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    return None if value is None else class_name(value)


label_option = click.option(
    "--label",
    metavar="CLASS",
    callback=_class,
    shell_complete=classes_here,
    help="The class these images hint at (a hint is not a label).",
)


def source_names() -> list[str]:
    """Return what `--source` takes, without loading any of them."""
    return registered_in("harvest.sources")


complete_source = one_of(source_names)
workers_option = click.option(
    "--workers", type=click.IntRange(1, 256), default=None, help="Worker processes or threads."
)
source_option = click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="SOURCE.KEY=VALUE",
    help="A setting of a source, such as bing.size=large.",
)


def net_options(function: Callable[..., Result | None]) -> Callable[..., Result | None]:
    """Add the options of the downloader and hand them on as `net`."""

    @functools.wraps(function)
    def run(
        *args: Any, allow_private: bool, sleep: float, ignore_robots: tuple[str, ...], **rest: Any
    ) -> Result | None:
        return function(
            *args, net=NetOptions(allow_private, sleep, frozenset(ignore_robots)), **rest
        )

    for option in reversed(_NET_OPTIONS):
        run = option(run)
    return run


def _checked_sleep(_: click.Context, __: click.Parameter, seconds: float) -> float:
    # `nan` is in no range of click's, and outside of none.
    if not 0 <= seconds <= LONGEST_SLEEP:
        raise click.BadParameter(f"{seconds:g} is not in the range 0 to {LONGEST_SLEEP:g}")
    return seconds


_NET_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--sleep",
        type=float,
        default=0.0,
        metavar="SECONDS",
        callback=_checked_sleep,
        help="Time from one request to the next on the same host.",
    ),
    click.option(
        "--ignore-robots",
        multiple=True,
        type=click.Choice(robots_words.WORDS),
        metavar="WORD",
        help=f"What a host may say to robots in vain: {', '.join(robots_words.WORDS)}.",
    ),
    click.option(
        "--allow-private", is_flag=True, help="Also fetch from this machine and private networks."
    ),
)


def column_options(function: Callable[..., Result | None]) -> Callable[..., Result | None]:
    """Add the options that name the columns of a list, and hand them on as `columns`."""

    @functools.wraps(function)
    def run(*args: Any, **rest: Any) -> Result | None:
        named = {what: rest.pop(f"{what}_column") for what in _COLUMNS}
        return function(*args, columns=ListColumns(**named), **rest)

    for what, help_ in reversed(_COLUMNS.items()):
        option = click.option(
            f"--{what}-column",
            metavar="NAME",
            default=getattr(PLAIN, what),
            show_default=what == "url",
            help=f"In a table: the column with {help_}.",
        )
        run = option(run)
    return run


_COLUMNS = {
    "url": "the addresses",
    "caption": "what is written below a picture, its title",
    "label": "the hint of each picture",
    "licence": "its licence",
    "author": "who made it",
    "page": "the page it was found on",
}


def source_options(given: Sequence[str], asked: Sequence[str]) -> dict[str, dict[str, str]]:
    """`bing.size=large` as {'bing': {'size': 'large'}}.

    Raises `UsageError` for a source that is unknown or not among those asked.
    """
    found: dict[str, dict[str, str]] = {}
    for name, value in key_values(given, "bing.size=large").items():
        site, _, key = name.partition(".")
        _check_asked(site, key, asked)
        found.setdefault(site, {})[key] = value
    return found


def _check_asked(site: str, key: str, asked: Sequence[str]) -> None:
    from harvest.sources import source_named

    if site in asked:
        return
    near = did_you_mean(site, asked, "{}")
    guess = f"Did you mean {near}.{key}? " if near else ""
    if not guess:
        # A name that no source has is said to be that, with the nearest one.
        source_named(site)
    raise UsageError(
        f"-o {site}.{key}: {site} is not asked, only {', '.join(asked)}.",
        f"{guess}Leave it out, or ask {site} too.",
    )


@contextmanager
def existing(job: CommandJob) -> Iterator[Dataset | None]:
    """The dataset where there is one already; a simulation makes none."""
    try:
        dataset = job.open()
    except DatasetMissing:
        yield None
        return
    with dataset:
        yield dataset


def carry_out(
    job: CommandJob, request: HarvestRequest, *, preview: bool = False, as_if_new: bool = False
) -> Result | None:
    """Run a request, or show what it would fetch: with `--simulate`, and for a `preview`.

    What is wrong with the request is raised before a dataset is made. With `as_if_new` a preview
    also shows what the dataset has.
    """
    request.check(job.root)
    if not (preview or job.simulate):
        with job.create() as dataset:
            return request.run(dataset, job.progress)
    from harvest.preview import Preview

    with existing(job) as known:
        view = Preview(None if as_if_new else known, job.show, job.say)
        result = request.preview(view, job.root, known)
    if job.as_json:
        return result
    for name, error in view.errors.items():
        job.say(f"{name}: {error}")
    return None

"""The `harvest` command: getting images into a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from gleanset.cli import Job, Result, group, job_options
from gleanset.cli import main as run_main
from gleanset.errors import UsageError

if TYPE_CHECKING:
    from gleanset import Dataset
    from harvest.http import Client

commands = group("harvest", "Get images into a dataset: folders, URL lists, searches, videos.")
FILES = click.Path(path_type=Path)

label_option = click.option(
    "--label", metavar="CLASS", help="The class these images hint at (a hint is not a label)."
)
workers_option = click.option(
    "--workers", type=click.IntRange(1, 256), default=None, help="Worker processes or threads."
)
private_option = click.option(
    "--allow-private", is_flag=True, help="Also fetch from this machine and private networks."
)


@commands.command(epilog="Example: harvest folder ~/faces --hints-from-folders -d my-dataset")
@job_options()
@click.argument("folders", nargs=-1, required=True, type=FILES, metavar="DIR...")
@click.option("--hints-from-folders", is_flag=True, help="Each folder's name is the hint.")
@label_option
@workers_option
def folder(
    job: Job, folders: tuple[Path, ...], hints_from_folders: bool, label: str | None,
    workers: int | None,
) -> Result:  # fmt: skip
    """Add the pictures in some folders, and in the folders below."""
    from harvest.folder import harvest_folders

    with job.create() as dataset:
        return harvest_folders(
            dataset, folders, hints=hints_from_folders, label=label, workers=workers or 0,
            progress=job.progress,
        )  # fmt: skip


@commands.command(epilog="Example: harvest urls list.txt --label cat -d my-dataset")
@job_options()
@click.argument("files", nargs=-1, required=True, type=FILES, metavar="FILE...")
@label_option
@click.option("--limit", type=click.IntRange(1), help="Stop at that many distinct images.")
@workers_option
@private_option
def urls(
    job: Job, files: tuple[Path, ...], label: str | None, limit: int | None,
    workers: int | None, allow_private: bool,
) -> Result:  # fmt: skip
    """Download every URL in some lists: one a line, then perhaps a tab and a hint."""
    from harvest.urls import harvest_urls

    with job.create() as dataset:
        return harvest_urls(
            dataset, files, _client(dataset, allow_private), label=label, limit=limit,
            threads=workers, progress=job.progress,
        )  # fmt: skip


@commands.command(epilog="Example: harvest frames episode*.mkv --every 5s -d my-dataset")
@job_options()
@click.argument("videos", nargs=-1, required=True, type=FILES, metavar="VIDEO...")
@click.option("--every", default="5s", show_default=True, help="Time from frame to frame.")
@label_option
@workers_option
def frames(
    job: Job, videos: tuple[Path, ...], every: str, label: str | None, workers: int | None
) -> Result:
    """Sample frames from videos."""
    from harvest.frames import harvest_frames, parse_seconds

    seconds = parse_seconds(every)
    with job.create() as dataset:
        return harvest_frames(
            dataset, videos, seconds, label=label, workers=workers or 0, progress=job.progress
        )


@commands.command(epilog="Example: harvest keyword cat owl --source bing --limit 200 -d pets")
@job_options(simulate=True)
@click.argument("keywords", nargs=-1, required=True, metavar="KEYWORD...")
@click.option("--source", default="bing", show_default=True, help="The site to search.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True,
    help="Distinct images for each keyword.",
)  # fmt: skip
@click.option(
    "-o", "--option", "options", multiple=True, metavar="SOURCE.KEY=VALUE",
    help="A setting of a source, such as bing.size=large.",
)  # fmt: skip
@label_option
@workers_option
@private_option
def keyword(
    job: Job, keywords: tuple[str, ...], source: str, limit: int, options: tuple[str, ...],
    label: str | None, workers: int | None, allow_private: bool,
) -> Result | None:  # fmt: skip
    """Search a site for keywords and download what it finds."""
    from harvest.keyword import harvest_keywords, queries, simulate
    from harvest.sources import source_named

    site = source_named(source)
    asked = queries(keywords, label, source_options(options, site.name), site)
    if job.simulate:
        with _client(None, allow_private)() as client:
            found = simulate(site, asked, client, limit)
        for candidate in found:
            job.show(candidate.url)
        return {"candidates": len(found)} if job.as_json else None
    with job.create() as dataset:
        return harvest_keywords(
            dataset, site, asked, _client(dataset, allow_private), limit=limit,
            threads=workers, progress=job.progress,
        )  # fmt: skip


def source_options(given: tuple[str, ...], source: str) -> dict[str, str]:
    """`bing.size=large` as {'size': 'large'}. Raises `UsageError`."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        site, dot, key = name.partition(".")
        if not equals or not dot:
            raise UsageError(
                f"-o {text}: not SOURCE.KEY=VALUE", "write for instance bing.size=large"
            )
        if site == source:
            found[key] = value
    return found


def _client(dataset: Dataset | None, allow_private: bool) -> Callable[[], Client]:
    """How to open the downloader, with the dataset's settings for the net."""
    from gleanset.settings import NetSettings
    from harvest.http import Client, Limits

    net = dataset.settings.net if dataset else NetSettings()
    return lambda: Client(
        Limits(per_host=net.per_host), allow_private=allow_private, contact=net.contact
    )


def main() -> NoReturn:
    """The console script."""
    run_main(commands)

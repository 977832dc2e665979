"""The `harvest` command: getting images into a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from gleanset.cli import CommandJob, Result, group, job_options
from gleanset.cli import main as run_main
from gleanset.credit import given_credit
from gleanset.file_groups import GroupBy, group_by_option
from gleanset.files.class_folder import LEVEL_HELP
from harvest.cli_frames import frames
from harvest.cli_options import (
    FILES,
    carry_out,
    column_options,
    label_option,
    net_options,
    workers_option,
)
from harvest.cli_search import check, keyword, login
from harvest.list_columns import ListColumns
from harvest.net_options import NetOptions
from harvest.request import FolderRequest, UrlsRequest

commands = group("harvest", "Get images into a dataset: folders, URL lists, searches, videos.")
for command in (keyword, check, login, frames):
    commands.add_command(command)


@commands.command(epilog="Example: harvest folder ~/faces --hints-from-folders -d my-dataset")
@job_options(simulate=True)
@click.argument("places", nargs=-1, required=True, type=FILES, metavar="DIR|FILE|ARCHIVE...")
@click.option("--hints-from-folders", is_flag=True, help="Names of class folders are hints.")
@click.option("--class-level", type=click.IntRange(1), metavar="N", help=LEVEL_HELP)
@label_option
@group_by_option
@click.option("--author", help="Who made the pictures, where nothing else says it.")
@click.option("--licence", help="What may be done with them, such as CC-BY-4.0 or 'my own'.")
@click.option("--page", metavar="URL", help="The page that they are from.")
@workers_option
def folder(
    job: CommandJob,
    places: tuple[Path, ...],
    hints_from_folders: bool,
    class_level: int | None,
    label: str | None,
    group_by: GroupBy | None,
    author: str | None,
    licence: str | None,
    page: str | None,
    workers: int | None,
) -> Result | None:
    """Add the pictures in some folders (and those below), single ones, and zip or tar archives.

    Class folders are the outermost ones in DIR or ARCHIVE, with train|val|test above them or not,
    or those of --class-level; pictures beside them have no hint. A DIR without folders is a class
    folder itself.

    Who made each, its licence and its page are kept, and exports carry them: as a sources.csv
    beside the pictures says (columns file, author, licence, page, group), else the file itself
    (EXIF, IPTC or XMP), else --author, --licence and --page. What belongs together says that table,
    else --group-by.
    """
    return carry_out(
        job,
        FolderRequest(
            places=places,
            hints_from_folders=hints_from_folders,
            class_level=class_level,
            label=label,
            group_by=group_by,
            credit=given_credit(author, licence, page),
            workers=workers,
        ),
    )


@commands.command(epilog="Example: harvest urls list.parquet --caption-column TEXT -d my-dataset")
@job_options(simulate=True, on=True)
@click.argument("files", nargs=-1, required=True, type=FILES, metavar="FILE...")
@label_option
@column_options
@click.option("--limit", type=click.IntRange(1), help="Stop at that many distinct images.")
@workers_option
@net_options
def urls(
    job: CommandJob,
    files: tuple[Path, ...],
    label: str | None,
    columns: ListColumns,
    limit: int | None,
    workers: int | None,
    net: NetOptions,
) -> Result | None:
    """Download every URL in some lists: one a line, then perhaps a tab and a hint.

    A .parquet, .csv or .tsv is a table with named columns; each may be compressed (.csv.gz).
    """
    return carry_out(
        job,
        UrlsRequest(
            files=files, label=label, columns=columns, limit=limit, workers=workers, net=net
        ),
    )


@commands.command(epilog="Example: harvest retry --reason truncated -d my-dataset")
@job_options(on=True)
@click.option("--reason", help="Only what failed for this reason, such as 'http 403'.")
@workers_option
@net_options
def retry(job: CommandJob, reason: str | None, workers: int | None, net: NetOptions) -> Result:
    """Download again what failed before, from lists and searches."""
    from harvest.retry import retry as try_again

    with job.open() as dataset:
        return try_again(
            dataset, net.client(dataset), reason=reason, threads=workers, progress=job.progress
        )


@commands.command(epilog="Example: harvest status -d my-dataset --json")
@job_options()
def status(job: CommandJob) -> Result:
    """Show what each source gave for each keyword, and why things were rejected."""
    from harvest.report_status import yields

    with job.open() as dataset:
        return yields(dataset)


def main() -> NoReturn:
    """The console script."""
    run_main(commands)

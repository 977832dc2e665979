"""The `harvest` command: getting images into a dataset."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

import click
import msgspec

from gleanset.cli import Command, CommandJob, Result, answered, gone_option, group, job_options
from gleanset.cli import main as run_main
from gleanset.errors import DatasetMissing, Incomplete, SiteError, UsageError
from gleanset.request import options_of, several
from harvest.frames_request import FramesRequest
from harvest.request import (
    CheckRequest,
    FolderRequest,
    HarvestRequest,
    KeywordRequest,
    LoginRequest,
    RetryRequest,
    UrlsRequest,
    source_settings,
)

if TYPE_CHECKING:
    from gleanset import Dataset

commands = group("harvest", "Get images into a dataset: folders, URL lists, searches, videos.")


@contextmanager
def _existing(job: CommandJob) -> Iterator[Dataset | None]:
    try:
        dataset = job.open()
    except DatasetMissing:
        yield None
        return
    with dataset:
        yield dataset


def carry_out(job: CommandJob, request: HarvestRequest) -> Result | None:
    """Run a request, or with `--simulate` show what it would fetch.

    What is wrong with the request is raised before a dataset is made.
    """
    request.check(job.root)
    if not job.simulate:
        with job.create() as dataset:
            return request.run(dataset, job.progress)
    from harvest.preview import Preview

    with _existing(job) as known:
        view = Preview(known, job.show, job.say)
        try:
            result = request.preview(view, job.root, known)
        except Incomplete as error:
            if not job.as_json:
                error.result = None  # its lines are shown
            raise
    if job.as_json:
        return result
    for name, refusal in view.errors.items():
        job.say(f"{name}: {refusal}")
    return None


_without_shards = partial(
    gone_option,
    what="downloads are no longer written to shards",
    hint="use img2dataset, or harvest into a dataset and write shards with: "
    "labeler export OUT --format webdataset",
)
_without_cluster = gone_option(
    "--on",
    what="downloads are made on this machine, not on a cluster",
    hint="leave --on out",
    is_flag=False,
)


@commands.command(epilog="Example: harvest keyword cat owl --source bing --limit 200 -d pets")
@job_options(simulate=True)
@_without_cluster
@options_of(KeywordRequest)
def keyword(job: CommandJob, request: KeywordRequest) -> Result | None:
    """Search sites for keywords and download what they find."""
    return carry_out(job, request)


@commands.command(epilog="Example: harvest folder ~/faces --hints-from-folders -d my-dataset")
@job_options(simulate=True)
@options_of(FolderRequest)
def folder(job: CommandJob, request: FolderRequest) -> Result | None:
    """Add the pictures in some folders (and those below), single ones, and zip or tar archives.

    Class folders are the outermost ones in DIR or ARCHIVE, with train|val|test above them or not,
    or those of --class-level; pictures beside them have no hint. A DIR without folders is a class
    folder itself.

    Who made each, its licence and its page are kept, and exports carry them: as a sources.csv
    beside the pictures says (columns file, author, licence, page, group), else the file itself
    (EXIF, IPTC or XMP), else --author, --licence and --page. What belongs together says that table,
    else --group-by.
    """
    return carry_out(job, request)


@commands.command(epilog="Example: harvest urls list.parquet --column caption=TEXT -d my-dataset")
@job_options(simulate=True)
@_without_cluster
@_without_shards("--catalogue")
@_without_shards("--shards", is_flag=False)
@_without_shards("--format", is_flag=False)
@_without_shards("--shard-size", is_flag=False)
@options_of(UrlsRequest)
def urls(job: CommandJob, request: UrlsRequest) -> Result | None:
    """Download every URL in some lists: one a line, then perhaps a tab and a hint.

    A .parquet, .csv or .tsv is a table with named columns, a .json what gallery-dl -j writes; each
    may be compressed (.csv.gz). - is standard input: gallery-dl -j URL | harvest urls -
    """
    with _with_standard_input(request) as request:
        return carry_out(job, request)


@contextmanager
def _with_standard_input(request: UrlsRequest) -> Iterator[UrlsRequest]:
    files = several(request.file)
    if "-" not in files:
        yield request
        return
    data = sys.stdin.buffer.read()
    with TemporaryDirectory(prefix="gleanset-") as folder:
        path = Path(folder, "stdin.json" if data.lstrip().startswith(b"[") else "stdin.txt")
        path.write_bytes(data)
        named = tuple(str(path) if name == "-" else name for name in files)
        yield msgspec.structs.replace(request, file=named)


class FramesCommand(Command):
    """Knows that the word after `--scenes` is a file unless it is a number."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it, with the number spelled out that goes without saying."""
        return super().parse_args(ctx, list(_spelled_out(args)))


def _spelled_out(args: Sequence[str]) -> Iterator[str]:
    end = args.index("--") if "--" in args else len(args)
    for word, following in zip(args[:end], [*args[1:end], ""], strict=False):
        alone = word == "--scenes" and not (following.isascii() and following.isdecimal())
        yield f"{word}=1" if alone else word
    yield from args[end:]


@commands.command(
    cls=FramesCommand,
    epilog="Example: harvest frames ~/episodes --skip-openings -d my-dataset; or: "
    "harvest frames ep*.mkv --every 5s --size 960x540",
)
@job_options(simulate=True, on=True)
@gone_option(
    "--at",
    what="a frame is played by ffplay",
    hint="take its video and time from gleanset list images; then: ffplay -ss TIME VIDEO",
    is_flag=False,
)
@options_of(FramesRequest)
def frames(job: CommandJob, request: FramesRequest) -> Result | None:
    """Sample frames from videos.

    Without a choice of frames: the sharpest of each scene, and one every 5 seconds of a long
    one. Near-duplicates, black and blurred frames and fades are left out.

    VIDEO is a file, a folder (searched with all below it), a pattern, or the address of a page
    with a video.
    """
    return carry_out(job, request)


@commands.command(epilog="Example: harvest retry --reason truncated -d my-dataset")
@job_options()
@_without_cluster
@options_of(RetryRequest)
def retry(job: CommandJob, request: RetryRequest) -> Result:
    """Download again what failed before, from lists and searches."""
    from harvest.downloads import DownloadRun
    from harvest.urls import retry as try_again

    with job.open() as dataset:
        run = DownloadRun(request.client(dataset), job.progress)
        return try_again(dataset, run, request.reason)


@commands.command(epilog="Example: harvest check bing")
@job_options()
@options_of(CheckRequest)
def check(job: CommandJob, request: CheckRequest) -> Result | None:
    """Ask a site one small real query, and see whether it still answers as expected.

    The "status" of --json is "ok", "changed", or, of a site that did not answer the question,
    "blocked", "ratelimited" or "unreachable" (exit code 4, as "changed").
    """
    from harvest.check import check_source
    from harvest.sources import load_source

    site = load_source(request.source)
    chosen = source_settings(request.options, (site.name,))[site.name]
    # A dataset may say who to write to about our requests.
    try:
        with _existing(job) as dataset, request.client(dataset)() as client:
            checked = check_source(site, chosen, client)
    except SiteError as error:
        if job.as_json:
            error.result = {"source": site.name, "status": type(error).__name__.lower()}
        raise
    if job.as_json:
        return checked
    for result in checked["found"]:
        job.show(f"{result['title'] or '(no title)'}\n  {result['url']}")
    known = ", ".join(checked["tells"]) or "nothing more"
    job.tell(f"{site.name} answers {site.example!r} as expected; it tells {known} of each.")
    return None


@commands.command(epilog="Example: harvest login pixiv")
@job_options()
@options_of(LoginRequest)
def login(job: CommandJob, request: LoginRequest) -> Result:
    """Log in to a site once; the secret goes to the keyring, never into a dataset."""
    from harvest.sources import Query, load_source

    chosen = source_settings(request.options, (request.site,))[request.site]
    where = load_source(request.site).settings(Query("", options=chosen))
    if others := [name for name in chosen if not name.endswith("endpoint")]:
        raise UsageError(f"-o {request.site}.{others[0]} has no say in a login.", "Leave it out.")
    if request.site == "flickr":
        from harvest.sources.flickr.api import log_in_to_flickr

        if request.token_stdin:
            raise UsageError(
                "Flickr has no refresh token", "run harvest login flickr and answer its questions"
            )
        return log_in_to_flickr(answered, endpoint=where["endpoint"])
    import webbrowser

    from harvest.sources.pixiv.login import log_in_to_pixiv

    token = sys.stdin.readline() if request.token_stdin else None
    return log_in_to_pixiv(
        answered,
        webbrowser.open,
        token,
        endpoint=where["endpoint"],
        auth_endpoint=where["auth_endpoint"],
    )


def main() -> NoReturn:
    """The console script."""
    run_main(commands)

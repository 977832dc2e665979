"""The `harvest` command: collecting images into a dataset."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from gleanset.cli import CommandJob, create_program, prompt_text
from gleanset.command_result import CommandResult
from gleanset.errors import UsageError
from gleanset.request import as_tuple, request_options
from harvest.request import (
    DownloadRequest,
    FolderRequest,
    FramesRequest,
    HarvestRequest,
    KeywordRequest,
    LoginRequest,
    RetryRequest,
    UrlsRequest,
    group_options_by_source,
)
from harvest.results import HarvestResult, LoginResult, RetryResult, is_temporary

commands = create_program(
    "harvest", "Collect images from folders, URL lists, searches and videos."
)


def carry_out(job: CommandJob, request: HarvestRequest) -> CommandResult:
    """Run a request, or with `--simulate` list what it would fetch.

    Errors of the arguments are raised before a dataset is created. A simulation without a dataset
    uses a temporary one.
    """
    request.check(job.root)
    with job.create() as dataset:
        result = request.run(dataset, job.progress, simulate=job.simulate)
        if isinstance(result, HarvestResult):
            if result.added:
                # Frames of episodes have been searched.
                has_new = dataset.images.count_new()
                status = f"gleanset status {dataset.option}"
                result.next = dataset.search_command if has_new else status
            elif isinstance(request, DownloadRequest) and any(
                map(is_temporary, result.reasons)
            ):
                result.note = (
                    "try the rejected ones again later: "
                    f"{RetryRequest.COMMAND} {dataset.option}"
                )
    return result


@commands.job(simulate=True)
@request_options(KeywordRequest)
def keyword(job: CommandJob, request: KeywordRequest) -> CommandResult:
    """Search sites for keywords and download the results.

    Example: harvest keyword cat owl --source bing --limit 200 -d pets
    """
    return carry_out(job, request)


@commands.job(simulate=True)
@request_options(FolderRequest)
def folder(job: CommandJob, request: FolderRequest) -> CommandResult:
    """Import images from folders, files, and zip or tar archives.

    Class folders are the outermost ones in DIR or ARCHIVE, optionally inside of train|val|test, or
    those of --class-level; images beside them have that of --label, else no weak label. A DIR
    without folders is a class folder itself.

    Author, licence and page of each image are stored and exported. They are read from a
    sources.csv next to the images (columns file, author, licence, page, group), else from the file
    (EXIF, IPTC or XMP), else from --author, --licence and --page; groups from that table, else from
    --group-by.

    With --people, faces that a photo program named are labelled, as one step: labeler undo takes
    it back. Run it again after naming more.

    Tags and captions are read from name.txt or name.caption next to name.jpg, else from a
    metadata.jsonl (file_name, text or caption, tags).

    Example: harvest folder ~/faces --hints-from-folders -d my-dataset
    """
    return carry_out(job, request)


@commands.job(simulate=True)
@request_options(UrlsRequest)
def urls(job: CommandJob, request: UrlsRequest) -> CommandResult:
    """Download the URLs in lists. A line has a URL, and optionally a tab and a weak label.

    A .parquet, .csv or .tsv file is a table with named columns, a .json or .jsonl file the output
    of gallery-dl -j. Standard input is -:
    gallery-dl -j URL | harvest urls -

    Example: harvest urls list.parquet --column caption=TEXT -d my-dataset
    """
    with _replace_stdin(request) as request:
        return carry_out(job, request)


@contextmanager
def _replace_stdin(request: UrlsRequest) -> Iterator[UrlsRequest]:
    """Yield the request with a temporary copy of standard input in place of `-`."""
    files = as_tuple(request.file)
    if "-" not in files:
        yield request
        return

    data = sys.stdin.buffer.read()
    with TemporaryDirectory(prefix="gleanset-") as folder:
        # Without byte order marks, spaces and the zeros of UTF-16, which Windows PowerShell writes.
        beginning = data[:64].translate(None, b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
        # The output of `gallery-dl -j` is an array; the suffix selects the format.
        path = Path(
            folder,
            "stdin.json" if beginning.startswith(b"[") else "stdin.txt",
        )
        path.write_bytes(data)
        paths = tuple(str(path) if name == "-" else name for name in files)
        yield msgspec.structs.replace(request, file=paths)


@commands.job(simulate=True)
@request_options(FramesRequest)
def frames(job: CommandJob, request: FramesRequest) -> CommandResult:
    """Sample frames from videos.

    By default: the sharpest frame of each scene, and one every 5 seconds of a long scene.
    Near-duplicates, black and blurred frames and fades are skipped.

    VIDEO is a file, a folder (searched recursively) or a pattern.

    Example: harvest frames ~/episodes --skip-openings -d my-dataset
    """
    return carry_out(job, request)


@commands.job()
@request_options(RetryRequest)
def retry(job: CommandJob, request: RetryRequest) -> RetryResult:
    """Retry failed downloads of lists and searches.

    Example: harvest retry --reason truncated -d my-dataset
    """
    from harvest.downloads import DownloadRun
    from harvest.downloads import retry as retry_downloads

    with job.open() as dataset:
        return retry_downloads(
            dataset, DownloadRun(request.client(dataset), job.progress), request.reason
        )


@commands.job()
@request_options(LoginRequest)
def login(job: CommandJob, request: LoginRequest) -> LoginResult:
    """Log in to a site. The secret is stored in a private file of yours, never in a dataset.

    Example: harvest login pixiv
    """
    # `job` is unused: every command gets it.
    from harvest.sources import Query, load_source

    # Only the endpoints of the site apply to a login; the empty query serves to check options.
    options = group_options_by_source(request.options, (request.site,))[request.site]
    settings = load_source(request.site).settings(Query("", options=options))
    if unused := [name for name in options if not name.endswith("endpoint")]:
        raise UsageError(
            f"-o {request.site}.{unused[0]} has no effect on a login", "leave it out"
        )
    if request.site == "flickr":
        from harvest.sources.flickr import log_in_to_flickr

        return log_in_to_flickr(prompt_text, endpoint=settings["endpoint"])
    import webbrowser

    from harvest.sources.pixiv.api import log_in_to_pixiv

    return log_in_to_pixiv(
        prompt_text,
        webbrowser.open,
        endpoint=settings["endpoint"],
        auth_endpoint=settings["auth_endpoint"],
    )

"""The `harvest` commands that talk to search sites: keyword, check, login."""

from __future__ import annotations

import sys
import webbrowser
from dataclasses import replace
from pathlib import Path

import click

from gleanset.cli import Command, CommandJob, Result, answered, job_options
from gleanset.errors import UsageError
from harvest.cli_options import (
    FILES,
    carry_out,
    complete_source,
    existing,
    label_option,
    net_options,
    source_names,
    source_option,
    source_options,
    workers_option,
)
from harvest.net_options import NetOptions
from harvest.request import KeywordRequest


@click.command(
    cls=Command, epilog="Example: harvest keyword cat owl --source bing --limit 200 -d pets"
)
@job_options(simulate=True, on=True)
@click.argument("keywords", nargs=-1, metavar="[KEYWORD]...")
@click.option(
    "--source",
    "sources",
    multiple=True,
    default=("bing",),
    show_default=True,
    metavar="NAME",
    shell_complete=complete_source,
    help=f"A site to search: {', '.join(source_names())}. Repeat it, or write several with commas.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    show_default="100, or the whole --range",
    help="Distinct images for each keyword, over all sources together.",
)
@click.option(
    "-i",
    "--input",
    "file",
    type=FILES,
    metavar="FILE",
    help="Keywords from a file: one a line, then perhaps a tab and a label.",
)
@click.option("-g", "--get-urls", is_flag=True, help="Print the addresses, download nothing.")
@click.option("--range", "span", metavar="A-B", help="Only these results of each query.")
@click.option(
    "--filter",
    "condition",
    metavar="EXPR",
    help="Only results of which the site tells this, such as 'width >= 800 and not ai'; also "
    "title, author, licence, tags, rating, url, page_url, len() and lower().",
)
@source_option
@label_option
@workers_option
@net_options
def keyword(
    job: CommandJob,
    keywords: tuple[str, ...],
    sources: tuple[str, ...],
    limit: int | None,
    file: Path | None,
    get_urls: bool,
    span: str | None,
    condition: str | None,
    options: tuple[str, ...],
    label: str | None,
    workers: int | None,
    net: NetOptions,
) -> Result | None:
    """Search sites for keywords and download what they find."""
    request = KeywordRequest(
        keywords=keywords,
        sources=sources,
        file=file,
        limit=limit,
        span=span,
        condition=condition,
        label=label,
        workers=workers,
        net=net,
    )
    asked = [site.name for site in request.sites()]
    request = replace(request, options=source_options(options, asked))
    return carry_out(job, request, preview=get_urls, as_if_new=get_urls)


@click.command(cls=Command, epilog="Example: harvest check bing")
@job_options()
@click.argument("source", shell_complete=complete_source)
@source_option
@net_options
def check(job: CommandJob, source: str, options: tuple[str, ...], net: NetOptions) -> Result | None:
    """Ask a site one small real query, and see whether it still answers as expected."""
    from harvest.check import check_source
    from harvest.sources import source_named

    site = source_named(source)
    chosen = source_options(options, [site.name]).get(site.name, {})
    # A dataset may say who to write to about our requests.
    with existing(job) as dataset, net.client(dataset)() as client:
        checked = check_source(site, chosen, client)
    if job.as_json:
        return checked.result()
    for found in checked.found:
        job.show(f"{found.origin.title or '(no title)'}\n  {found.url}")
    told = ", ".join(checked.tells) or "nothing more"
    job.tell(f"{site.name} answers {site.example!r} as expected; it tells {told} of each.")
    return None


@click.command(cls=Command, epilog="Example: harvest login pixiv")
@job_options()
@click.argument("site", type=click.Choice(["flickr", "pixiv"]))
@click.option(
    "--token-stdin", is_flag=True, help="Take a refresh token that you have from standard input."
)
@source_option
def login(job: CommandJob, site: str, token_stdin: bool, options: tuple[str, ...]) -> Result:
    """Log in to a site once; the secret goes to the keyring, never into a dataset."""
    where = _endpoints(site, options)
    if site == "flickr":
        from harvest.sources.flickr.login import login_flickr

        if token_stdin:
            raise UsageError(
                "Flickr has no refresh token", "run harvest login flickr and answer its questions"
            )
        return login_flickr(answered, endpoint=where["endpoint"])
    from harvest.sources.pixiv.login import login_pixiv

    token = sys.stdin.readline() if token_stdin else None
    return login_pixiv(
        answered,
        webbrowser.open,
        token,
        endpoint=where["endpoint"],
        auth_endpoint=where["auth_endpoint"],
    )


def _endpoints(site: str, options: tuple[str, ...]) -> dict[str, str]:
    from harvest.sources import Query, source_named

    given = source_options(options, [site]).get(site, {})
    settings = source_named(site).settings(Query("", options=given))
    if others := [name for name in given if not name.endswith("endpoint")]:
        raise UsageError(f"-o {site}.{others[0]} has no say in a login.", "Leave it out.")
    return settings

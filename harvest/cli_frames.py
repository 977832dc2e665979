"""The `harvest frames` command: what is asked of videos, and the way back to a moment."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, get_args

import click

from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.errors import UsageError
from harvest.cli_options import carry_out, label_option, workers_option
from harvest.request import FramesRequest
from harvest.video.options import FORMATS, FramesOptions
from harvest.video.sampling import SIMILAR, Detector

# Options that may stand alone or with a number, and what they mean alone.
_ALONE = {"--scenes": "1", "--skip-similar": str(SIMILAR)}


class FramesCommand(Command):
    """Knows that the word after `--scenes` is a file unless it is a number."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it, with the numbers spelled out that go without saying."""
        return super().parse_args(ctx, list(_spelled_out(args)))


def _spelled_out(args: Sequence[str]) -> list[str]:
    end = args.index("--") if "--" in args else len(args)
    found: list[str] = []
    for word, following in zip(args[:end], [*args[1:end], ""], strict=False):
        alone = word in _ALONE and not (following.isascii() and following.isdecimal())
        found.append(f"{word}={_ALONE[word]}" if alone else word)
    return [*found, *args[end:]]


_WHICH: tuple[Callable[[Any], Any], ...] = (
    click.option("--every", metavar="TIME", help="One frame each TIME, such as 5s or 500ms."),
    click.option("--fps", metavar="RATE", help="The same as a rate, such as 2 or 1/5."),
    click.option(
        "--keyframes", is_flag=True, help="What the codec stores whole; by far the fastest."
    ),
    click.option(
        "--scenes",
        type=click.IntRange(1, 1000),
        metavar="[N]",
        help="The sharpest frame of each scene, or the N sharpest moments.",
    ),
    click.option(
        "--around",
        multiple=True,
        metavar="TIME",
        help="Around this time, such as 12:34, each half second or --every; repeatable.",
    ),
    click.option(
        "--within", metavar="TIME", help="How far before and after --around, by default 2s."
    ),
    click.option(
        "--scene-detector",
        type=click.Choice(get_args(Detector)),
        help="Who finds the cuts: ffmpeg (the default), or one of PySceneDetect's.",
    ),
    click.option(
        "--scene-threshold",
        type=float,
        metavar="X",
        help="Of that detector, instead of its own; lower finds more cuts.",
    ),
    click.option("--from", "start", metavar="TIME", help="Leave out what comes before."),
    click.option("--to", "end", metavar="TIME", help="Leave out what comes after."),
    click.option(
        "--limit",
        type=click.IntRange(1),
        metavar="N",
        help="At most N distinct images in all, shared by the videos.",
    ),
    click.option(
        "--skip-openings",
        is_flag=True,
        help="Sample openings, endings and other stretches that recur only once.",
    ),
)
_HOW: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--size",
        metavar="WxH",
        help="Fit into this size, such as 960x540, 960x or x540; never enlarged.",
    ),
    click.option("--stretch", is_flag=True, help="Exactly that --size, whatever the shape."),
    click.option("--upscale", is_flag=True, help="Enlarge to that --size, too."),
    click.option("--format", type=click.Choice(list(FORMATS)), help="jpeg (the default) or png."),
    click.option(
        "--quality",
        type=click.IntRange(1, 100),
        metavar="1-100",
        help="Of the JPEG files, by default 92.",
    ),
    click.option("--crop-bars", is_flag=True, help="Cut black letterbox bars off."),
    click.option(
        "--skip-similar",
        type=click.IntRange(0, 32),
        metavar="[BITS]",
        help="Skip frames that look like one just kept: at most BITS of the 64 of their "
        f"perceptual hash differ. On by default, with {SIMILAR}.",
    ),
    click.option("--no-skip-similar", is_flag=True, help="Keep them."),
    click.option(
        "--keep-bad",
        is_flag=True,
        help="Keep black and blurred frames and fades, which are dropped otherwise.",
    ),
)


def _sampling_options(function: Callable[..., Result | None]) -> Callable[..., Result | None]:
    """Add the options of a sampling and hand them on as `chosen`."""

    @functools.wraps(function)
    def run(*args: Any, no_skip_similar: bool, **rest: Any) -> Result | None:
        told = {name: rest.pop(name) for name in FramesOptions.__struct_fields__}
        if no_skip_similar:
            told["skip_similar"] = False
        elif told["skip_similar"] is None:
            told["skip_similar"] = True
        return function(*args, chosen=FramesOptions(**told), **rest)

    for option in reversed((*_WHICH, *_HOW)):
        run = option(run)
    return run


@click.command(
    cls=FramesCommand,
    epilog="Example: harvest frames ~/episodes --skip-openings -d my-dataset; or: "
    "harvest frames ep*.mkv --every 5s --size 960x540; or: harvest frames --at 3f9a0b",
)
@job_options(simulate=True, on=True)
@click.argument("videos", nargs=-1, type=click.Path(), metavar="VIDEO|DIR|URL...")
@_sampling_options
@click.option(
    "--at",
    "image",
    metavar="IMAGE",
    help="Print the command that shows the moment of this frame in mpv or ffplay. IMAGE is its "
    "hash or the beginning of it, or its file, or a copy or a cut of it.",
)
@label_option
@workers_option
@click.option(
    "--allow-private", is_flag=True, help="Also fetch from this machine and private networks."
)
def frames(
    job: CommandJob,
    videos: tuple[str, ...],
    chosen: FramesOptions,
    image: str | None,
    label: str | None,
    workers: int | None,
    allow_private: bool,
) -> Result | None:
    """Sample frames from videos, and find the way back from a frame to its moment.

    Without a choice of frames: the sharpest of each scene, and one every 5 seconds of a long
    one. Near-duplicates, black and blurred frames and fades are left out. A run that was
    stopped goes on where it was, also within a video.

    VIDEO is a file, a folder (searched with all below it), a pattern, or the address of a page
    with a video.
    """
    if image is not None:
        return _show_moments(job, image, videos, chosen)
    return carry_out(
        job,
        FramesRequest(
            videos=videos,
            options=chosen,
            label=label,
            workers=workers,
            allow_private=allow_private,
        ),
    )


def _show_moments(
    job: CommandJob, image: str, places: Sequence[str], chosen: FramesOptions
) -> Result | None:
    from harvest.video.playback import find_moments

    if chosen != FramesOptions():
        raise UsageError("--at samples nothing", "leave the options of a sampling out")
    with job.open() as dataset:
        moments = find_moments(dataset, image, places, job.progress)
    if job.as_json:
        return {"moments": [moment.result() for moment in moments]}
    for moment in moments:
        job.show(moment.command)
    return None

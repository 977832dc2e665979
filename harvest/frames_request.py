"""Arguments of `harvest frames` as plain values; see `harvest.request`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.work.progress import Progress
from harvest.request import NO_PROGRESS, AllowPrivate, Label, Result, Workers, make_client_factory
from harvest.video.options import SamplingTable

if TYPE_CHECKING:
    from gleanset import Dataset
    from harvest.preview import Preview
    from harvest.video.inputs import VideoInput
    from harvest.video.sampling import Sampling


class FramesRequest(SamplingTable, frozen=True, kw_only=True):
    """`harvest frames`: frames of videos, which are files, folders, patterns or addresses."""

    COMMAND: ClassVar[str] = "harvest frames"

    videos: Annotated[tuple[str, ...], Param(metavar="VIDEO|DIR|URL...", argument=True, path=True)]
    label: Label = None
    workers: Workers = None
    allow_private: AllowPrivate = False

    def check(self, root: Path) -> None:
        """Raise `UsageError` for contradictory options, `InputUnusable` without videos.

        URLs are not requested.
        """
        self.sampling()
        check_videos(self.videos, self.COMMAND)

    def run(self, dataset: Dataset, progress: Progress = NO_PROGRESS) -> Result:
        """Sample and import the frames; return the counts of the run."""
        from harvest.frames import harvest_frames

        sampling = self.sampling()
        return harvest_frames(
            dataset,
            make_video_inputs(self.videos, dataset, sampling, self.allow_private),
            sampling,
            label=self.label,
            workers=self.workers or 0,
            progress=progress,
        )

    def preview(self, view: Preview, root: Path, dataset: Dataset | None) -> Result:
        """Show the videos that would be sampled and the estimated result."""
        from harvest.preview import preview_frames

        sampling = self.sampling()
        inputs = make_video_inputs(self.videos, dataset, sampling, self.allow_private)
        return preview_frames(view, dataset, sampling, inputs)


def check_videos(videos: tuple[str, ...], command: str) -> None:
    """Raise `UsageError` without arguments, `InputUnusable` if no video exists."""
    from harvest.video.inputs import find_inputs, is_url

    if not videos:
        raise UsageError("no video is named", f"write for instance: {command} ~/episodes")
    find_inputs([video for video in videos if not is_url(video)])


def check_programs(videos: tuple[str, ...]) -> None:
    """Raise `MissingComponent` without ffmpeg, or yt-dlp if a video needs it."""
    from harvest.video.inputs import is_url
    from harvest.video.run_ffmpeg import find_ffmpeg

    find_ffmpeg()
    if any(map(is_url, videos)):
        from harvest.video.remote import require_yt_dlp

        require_yt_dlp()


def make_video_inputs(
    videos: tuple[str, ...],
    dataset: Dataset | None,
    sampling: Sampling,
    allow_private: bool,
) -> list[VideoInput]:
    """Return inputs for paths, patterns and URLs."""
    from harvest.video.inputs import find_inputs, is_url

    if not any(map(is_url, videos)):
        return find_inputs(videos)
    # Imported here, because the HTTP modules double the loading time.
    from harvest.video.remote import VideoUrl

    client = make_client_factory(dataset, allow_private)

    def open_url(url: str) -> VideoUrl:
        if dataset is None:
            return VideoUrl(url, client)
        sampled = dataset.videos.find_by_url(url, sampling.settings)
        return VideoUrl(url, client, sampled, dataset.cache / "downloads")

    return find_inputs(videos, open_url)

"""Arguments of `gleanset episodes`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec

from facecrop.request import validate_detector
from gleanset.config import Param
from gleanset.db.faces import WHOLE
from gleanset.request import Count, Request, WorkerCount
from gleanset.work.progress import NO_PROGRESS, Progress
from harvest.request import HarvestOutcome, check_videos
from harvest.video.options import End, Start, parse_time_range
from harvest.video.sampling import Sampling

if TYPE_CHECKING:
    from facecrop.detectors import DetectorSpec
    from facecrop.detectors.recorded import RecordedDetector
    from gleanset import Dataset

DETECTOR = "auto"


class EpisodesRequest(Request, frozen=True, kw_only=True):
    """Arguments of `gleanset episodes`."""

    COMMAND: ClassVar[str] = "gleanset episodes"

    videos: Annotated[
        tuple[str, ...],
        Param(metavar="VIDEO|DIR...", argument=True, required=True, path=True),
    ]
    rate: Annotated[
        float,
        msgspec.Meta(ge=0.5, le=12),
        Param("Frames per second to search for faces.", show_default=True),
    ] = 3.0
    per_track: Annotated[
        int,
        msgspec.Meta(ge=1, le=50),
        Param(
            "Maximum frames per track; fewer if the face stays the same.",
            show_default=True,
        ),
    ] = 4
    detector: Annotated[
        str,
        Param(
            "Face detector (see facecrop detectors); auto: as in earlier episodes.",
            metavar="NAME[:SETTING=VALUE,…]",
            parse=validate_detector,
            show_default=True,
        ),
    ] = DETECTOR
    start: Start = None
    end: End = None
    limit: Annotated[
        Count | None, Param("Maximum number of distinct frames.", metavar="N")
    ] = None
    keep_openings: Annotated[
        bool,
        Param(
            "Sample repeated segments (intros, outros) in every episode, not only once."
        ),
    ] = False
    workers: Annotated[WorkerCount | None, Param("Worker processes.", common=True)] = (
        None
    )

    def sampling(self, dataset: Dataset | None = None) -> Sampling:
        """Return how videos are sampled. Raises `UsageError` for invalid values.

        `auto` keeps the detector of earlier episodes, so that they are not sampled again with the
        default of a later version.
        """
        start, end = parse_time_range(self.start, self.end)
        recorded_detector = self._find_recorded_detector(dataset)
        if recorded_detector is None:
            spec = self._make_spec(dataset)
            name = spec.name
            settings = spec.build().settings
        else:
            name, settings = recorded_detector.name, recorded_detector.text

        # `_find_recorded_detector` reads the detector from `asked` again. Blanks divide settings
        # of detectors, and also fields of the sampling that `asked` is stored in.
        return Sampling(
            mode="seen",
            every=1 / self.rate,
            start=start,
            end=end,
            limit=self.limit,
            skip_openings=not self.keep_openings,
            asked=f"{name}:{settings.replace(' ', ',')};per_track={self.per_track}",
        )

    def check(self, root: Path) -> None:
        """Check the values and files."""
        self.sampling()
        check_videos(self.videos, self.COMMAND)

    def run(
        self,
        dataset: Dataset,
        progress: Progress = NO_PROGRESS,
        *,
        simulate: bool = False,
    ) -> HarvestOutcome:
        """Sample the videos and track their faces; return the counts."""
        from gleanset.images.cropping import FaceCropper
        from harvest.frames import preview_frames
        from harvest.video.inputs import find_inputs
        from pipeline.episodes.follower import FaceFollower, harvest_episodes

        sampling = self.sampling(dataset)
        inputs = find_inputs(self.videos)
        if simulate:
            return preview_frames(dataset, inputs, sampling)
        follower = FaceFollower(
            self._make_spec(dataset),
            FaceCropper(dataset.settings.crop, dataset.crops()),
            self.per_track,
            sampling,
        )

        return harvest_episodes(
            dataset,
            follower,
            inputs,
            self.workers or 0,
            progress,
        )

    def _find_recorded_detector(
        self, dataset: Dataset | None
    ) -> RecordedDetector | None:
        """Return the detector of the latest episodes; None without any, or if one is requested."""
        if dataset is None or self.detector != DETECTOR:
            return None
        settings = dataset.videos.get_latest_seen_settings()
        if not settings:
            return None
        from facecrop.detectors.recorded import RecordedDetector

        # Words as `sampling` writes them: `mode=seen … asked=NAME:SETTING,SETTING;per_track=4`.
        words = dict(word.split("=", 1) for word in settings.split())
        detector = words["asked"].partition(";per_track=")[0]
        name, _, recorded = detector.partition(":")
        return RecordedDetector.from_text(name, recorded.replace(",", " "))

    def _make_spec(self, dataset: Dataset | None) -> DetectorSpec:
        """Return the detector: requested, of earlier episodes, of the dataset, or the default one.

        A dataset of whole images has no detector of faces.
        """
        from facecrop.detectors.options import dataset_detector, parse_detector

        if recorded := self._find_recorded_detector(dataset):
            return recorded.spec({})
        if (
            dataset is None
            or self.detector != DETECTOR
            or dataset.settings.crop.detector == WHOLE
        ):
            return parse_detector(self.detector)

        return dataset_detector(dataset.settings.crop)

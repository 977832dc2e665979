"""What is shown of a face that is enlarged: its whole picture, and those before and after it."""

from __future__ import annotations

from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.sample_places import Frame, VideoFrames
from gleanset.files.store import PictureFile


class WholePicture(NamedTuple):
    """A frame with its file."""

    frame: Frame
    path: PictureFile


class PictureWalk(NamedTuple):
    """Pictures in the order of their time; the face is in the one at `place`."""

    pictures: tuple[WholePicture, ...] = ()
    place: int = 0


def walk_from(dataset: Dataset, sample: int) -> PictureWalk:
    """Return the picture of a sample (row) and its neighbours in a video; none where it is gone."""
    frames, place = VideoFrames(dataset.db).around(sample)
    files = (dataset.image_path(frame.sha256, frame.format) for frame in frames)
    return PictureWalk(tuple(map(WholePicture, frames, files)), place)

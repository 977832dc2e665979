"""One request object for searching faces, shared by the command line, recipes and the report."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gleanset.db.faces import WHOLE
from gleanset.db.statistics import Statistics
from gleanset.work.progress import Progress

if TYPE_CHECKING:
    from facecrop.detectors import DetectorSpec
    from facecrop.detectors.options import RecordedDetector
    from gleanset import Dataset
    from gleanset.images.cut import CutSettings
    from gleanset.settings import CropSettings

FEW = 10
"""One picture in so many with a face: fewer, and faces are not what they were collected for."""

_FILLED = 4
"""One picture in so many with a face that fills it: some detectors take eyes for faces as well."""

_SWITCHES = {
    "square": ("--no-square", "--square"),
    "pad": ("--clamp", "--pad"),
    "level": ("--no-level", "--level"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceSearch:
    """`facecrop run`: which detector searches, and how its faces are cut.

    What is None comes from the table [crop] of the dataset. `options` are written
    `detector.setting=value`; `margin` is in face sizes, `min_size` in pixels. `only_fresh` leaves
    images out that were searched, or have a sample.
    """

    detector: str | None = None
    threshold: float | None = None
    cascade: Path | None = None
    options: tuple[str, ...] = ()
    margin: float | None = None
    square: bool | None = None
    pad: bool | None = None
    level: bool | None = None
    min_size: int | None = None
    workers: int | None = None
    only_fresh: bool = False

    @classmethod
    def recorded(cls, detector: RecordedDetector, cut: str, own: CropSettings) -> FaceSearch:
        """Return the request behind what the catalogue recorded; capitals stand for files.

        `cut` is the spelling of `CutSettings`, empty where it is not known. What it leaves out is
        as by default and as in `own`.
        """
        from gleanset.images.cut import CutSettings

        files = {key: key.upper() for key in detector.files}
        cascade = files.pop("cascade", None)
        named = {**files, **detector.settings}
        named.pop("threshold", None)
        request = cls(
            detector=detector.name,
            threshold=detector.threshold,
            cascade=None if cascade is None else Path(cascade),
            options=tuple(f"{detector.name}.{key}={value}" for key, value in named.items()),
        )
        if not cut:
            return request
        wanted, default, usual = CutSettings.parse(cut), CutSettings(), CutSettings.of(own)
        differing = {
            name: value
            for name, value in asdict(wanted).items()
            if value != getattr(default, name) or value != getattr(usual, name)
        }
        return replace(request, **differing)

    def spec(self, own: CropSettings) -> DetectorSpec:
        """Return the detector, in a dataset with these settings. Raises `UsageError`."""
        from facecrop.detectors.options import dataset_detector

        return dataset_detector(own, self.detector, self.options, self.cascade, self.threshold)

    def cutting(self, own: CropSettings) -> CutSettings:
        """Return how faces are cut, in a dataset with these settings."""
        from gleanset.images.cut import CutSettings

        given = {one.name: getattr(self, one.name) for one in fields(CutSettings)}
        chosen = {name: value for name, value in given.items() if value is not None}
        return replace(CutSettings.of(own), **chosen)

    def run(
        self, dataset: Dataset, progress: Progress | None = None, own: CropSettings | None = None
    ) -> dict[str, object]:
        """Search and cut; return the counts. `own` takes the place of the dataset's settings.

        Where the detector is left to the machine, the name of the one it took comes first.
        """
        from facecrop.search import find_faces

        crop = own or dataset.settings.crop
        spec, cutting = self.spec(crop), self.cutting(crop)
        counts = find_faces(
            dataset,
            spec,
            cutting,
            only_fresh=self.only_fresh,
            workers=self.workers or 0,
            progress=progress,
        )
        return self._taken(spec, crop) | counts

    def preview(self, dataset: Dataset) -> dict[str, object]:
        """Return how many images would be searched, and how many only cut anew."""
        from facecrop.search import DatasetSearch

        crop = dataset.settings.crop
        spec = self.spec(crop)
        search = DatasetSearch(dataset, spec, self.cutting(crop), self.only_fresh)
        counts = {"would_search": search.to_search(), "would_recut": search.to_cut()}
        return self._taken(spec, crop) | counts

    def _taken(self, spec: DetectorSpec, own: CropSettings) -> dict[str, object]:
        from facecrop.detectors.options import is_auto

        return {"detector": spec.name} if is_auto(self.detector or own.detector) else {}

    def command_line(self) -> list[str]:
        """Return `facecrop run` with its words."""
        words = ["facecrop", "run"]
        words += [] if self.detector is None else ["--detector", self.detector]
        words += [] if self.threshold is None else ["--threshold", _text(self.threshold)]
        words += [] if self.cascade is None else ["--cascade", str(self.cascade)]
        words += [word for option in self.options for word in ("-o", option)]
        words += [] if self.margin is None else ["--margin", _text(self.margin)]
        for name, (off, on) in _SWITCHES.items():
            if (value := getattr(self, name)) is not None:
                words.append(on if value else off)
        words += [] if self.min_size is None else ["--min-size", str(self.min_size)]
        words += ["--new"] if self.only_fresh else []
        return words + ([] if self.workers is None else ["--workers", str(self.workers)])


def _text(value: float) -> str:
    """Spell a number so that it is read back as the same."""
    return short if float(short := f"{value:g}") == value else repr(value)


def whole_instead(dataset: Dataset) -> tuple[str, str] | None:
    """Return the command that takes whole pictures, and why; None where faces were found.

    None also where whole pictures were taken. Photos of things are samples as a whole: of 97
    photos of cats and flowers animeface finds 4 faces. So are cut faces: of those of 256 pixels it
    finds none in 19 %, others in half of them.
    """
    searched = Statistics(dataset.db).searched_for_faces(WHOLE)
    without = searched.all - searched.with_face
    if without and searched.with_face * FEW < searched.all:
        seen = f"{searched.with_face} of {searched.all} pictures have"
        seen = seen if searched.with_face else f"None of {searched.all} has"
        return _whole(dataset), f"{seen} a face: if they show something else, take them whole"
    small = searched.small_squares * FEW >= searched.all * (FEW - 1)
    if without and small and searched.filled * _FILLED >= searched.with_face:
        why = (
            f"{without} of {searched.all} pictures have no face, and nearly all are small, with "
            "faces that fill them. Are these faces already? Then take them whole"
        )
        return _whole(dataset), why
    return None


def _whole(dataset: Dataset) -> str:
    return f"facecrop run --detector {WHOLE} -d {shlex.quote(str(dataset.root))}"

"""Faces that photo programs named: read from XMP, and labelled in one step."""

from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.errors import UsageError
from gleanset.files.names import format_path, parse_path
from gleanset.images.xmp import FaceRegions, read_face_regions, read_packet, turn_box
from gleanset.labelled_images import (
    FRACTIONS,
    OTHER_SHAPE,
    STAGE,
    LabelledImage,
    add_labelled,
    is_same_shape,
    parse_frame,
)
from gleanset.named_files import format_short_path, rejections_command, summarize_lines
from gleanset.records import Image, Origin, Rejection
from gleanset.source_table import SourceTables
from harvest.folder import open_tables
from harvest.importer import ImportOptions
from harvest.results import HarvestCounts


class People(NamedTuple):
    """Images with named faces, their origins, and what is wrong with other faces."""

    images: list[LabelledImage]
    origins: dict[Path, Origin]
    problems: list[tuple[Path, str]]

    def find(self, dataset: Dataset, root: Path, options: ImportOptions) -> None:
        """Add the images with named faces that were imported from a folder or file."""
        tables = open_tables(
            root if root.is_dir() else root.parent,
            options,
        )
        for image in dataset.images.iterate():
            for origin in image.origins:
                path = parse_path(origin.path or "")
                if origin.source == "folder" and path.is_relative_to(root):
                    regions = _read_regions(path, tables)
                    self.origins[path] = origin
                    self._add(dataset, path, image, regions)

    def _add(
        self, dataset: Dataset, path: Path, image: Image, regions: FaceRegions
    ) -> None:
        """Add the named faces of an image, with upright boxes."""
        # Some programs write the size of the stored image and some that of the upright one.
        frame = parse_frame(regions.size)
        size = (image.width, image.height)
        if frame is not None and not is_same_shape(sorted(frame), sorted(size)):
            self.problems.append((path, OTHER_SHAPE))
            return

        labels = []
        for name, box in regions.faces:
            x, y, width, height = turn_box(box, image.orientation)
            upright_box = (x - width / 2, y - height / 2, width, height)
            try:
                labels.append((upright_box, dataset.classes.resolve(name)))
            except UsageError as error:
                reason = error.what if name.strip() else "face without a name"
                self.problems.append((path, reason))
        if labels:
            self.images.append(LabelledImage(path, tuple(labels), FRACTIONS))


def _read_regions(path: Path, tables: SourceTables) -> FaceRegions:
    """Return the faces in the XMP of an image file, or of its sidecar."""
    # Programs that write sidecars leave what is in the image as it was.
    for sidecar in (path.with_name(f"{path.name}.xmp"), path.with_suffix(".xmp")):
        regions = read_face_regions(tables.read_sidecar(sidecar))
        if regions.faces:
            return regions
    return read_face_regions(read_packet(path))


def import_people(
    dataset: Dataset,
    roots: list[Path],
    options: ImportOptions,
    result: HarvestCounts,
) -> HarvestCounts:
    """Label the named faces of imported images in one step; return `result` with their counts.

    The XMP of all images of the folders is read again, to find names that were added since.
    """
    people = People([], {}, [])
    for root in roots:
        people.find(dataset, root, options)
    imported = add_labelled(
        dataset,
        people.images,
        people.origins,
        "XMP",
        workers=options.workers,
        progress=options.progress,
    )

    problems = people.problems + imported.dropped
    for path, reason in problems:
        dataset.rejections.add(Rejection(STAGE, format_path(path), reason))
    lines = [
        f"{format_short_path(format_path(path))}: {reason}" for path, reason in problems
    ]
    lines += imported.rejections + imported.disputes
    result.people = dict(imported.labels.most_common())
    result.unlabelled_faces = len(lines)
    result.unlabelled_face_files = summarize_lines(
        lines, rejections_command(dataset, STAGE)
    )
    return result

"""Pascal VOC: an XML file for each image, with boxes in pixels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lxml import etree

from labeler.importing.labelled import (
    ImageFinder,
    ImportTree,
    LabelledFiles,
    box_from_corners,
    parse_frame,
    parse_name,
)


def read_voc(tree: ImportTree) -> LabelledFiles | None:
    """Read the Pascal VOC files of a folder; None if there are none."""
    labelled = LabelledFiles("voc", tree, "without a Pascal VOC file")
    finder = ImageFinder(tree)
    damaged: dict[Path, tuple[str, str]] = {}
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
    )
    for file in tree.iter_files(".xml"):
        try:
            document = etree.fromstring(file.read_bytes(), parser)
        except (OSError, etree.XMLSyntaxError) as error:
            if (image := finder.find_sibling(file)) is not None:
                damaged[image] = ("damaged Pascal VOC file", f"{file.name}: {error}")
            continue
        if document is None or etree.QName(document).localname != "annotation":
            continue
        for element in document.iter():
            element.tag = etree.QName(element).localname
        labelled.tables.add(file)
        name = document.findtext("filename") or ""
        image = finder.find_sibling(file) or finder.find_by_path(name, file)
        if image is None:
            labelled.missing.append(name or file.name)
            continue
        labelled.ignored[image] = "Pascal VOC file without an object"
        size = document.find("size")
        frame = parse_frame({} if size is None else {part.tag: part.text for part in size})
        for row in document.iterfind("object"):
            label = parse_name(row.findtext("name"))
            sides = [row.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
            labelled.annotate(image, label, partial(box_from_corners, sides), frame)
    labelled.refused |= damaged
    return labelled if labelled.tables else None

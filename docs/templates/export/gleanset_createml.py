"""Export for Apple's Create ML: images with boxes, for training an object detector."""

import json

from labeler.export.formats import ExportFormat
from labeler.export.rows import items_by_split


def write(folder, items):
    """Write `<split>.json` next to the images, which are already in `folder`."""
    for split, split_items in items_by_split(items):
        annotations = {}
        for item in split_items:
            left, top, width, height = item.face
            box = {
                "x": left + width / 2,
                "y": top + height / 2,
                "width": width,
                "height": height,
            }
            row = {"label": str(item.sample.label), "coordinates": box}
            annotations.setdefault(item.path, []).append(row)
        rows = [
            {"image": path, "annotations": boxes}
            for path, boxes in sorted(annotations.items())
        ]
        text = json.dumps(rows, ensure_ascii=False, indent=1)
        (folder / f"{split}.json").write_text(text, encoding="utf-8", newline="\n")


CREATEML = ExportFormat(
    layout="whole",
    about="whole images with boxes, for Create ML",
    reading='import json\n\n{0} = json.load(open("{0}.json", encoding="utf-8"))',
    write=write,
)

"""What Apple's Create ML reads to learn an object detector: pictures with boxes by their middle."""

import json

from labeler.export.formats import ExportFormat
from labeler.export.rows import items_by_split


def write(folder, items):
    """Write `<split>.json` beside the pictures, which lie there already."""
    for split, chosen in items_by_split(items):
        pictures = {}
        for item in chosen:
            left, top, width, height = item.face
            box = {"x": left + width / 2, "y": top + height / 2, "width": width, "height": height}
            row = {"label": str(item.sample.label), "coordinates": box}
            pictures.setdefault(item.path, []).append(row)
        rows = [{"image": path, "annotations": boxes} for path, boxes in sorted(pictures.items())]
        text = json.dumps(rows, ensure_ascii=False, indent=1)
        (folder / f"{split}.json").write_text(text, encoding="utf-8", newline="\n")


CREATEML = ExportFormat(
    layout="whole",
    about="whole pictures with boxes, for Create ML",
    reading='import json\n\n{0} = json.load(open("{0}.json", encoding="utf-8"))',
    write=write,
)

"""The dataset card (`README.md`) and `LICENSES.csv` that go with every export."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Sequence

from gleanset import Dataset
from gleanset.db.faces import crop_methods
from gleanset.db.samples import Balances
from gleanset.html.words import count
from gleanset.moments import moments_of
from labeler.export.options import ExportOptions
from labeler.export.plan import ExportItem

SPLITS = ("train", "val", "test")
UNKNOWN = "unknown"


def licence_table(items: Sequence[ExportItem]) -> str:
    """`LICENSES.csv`: one row a file, with who made it, on what terms, and where it was found."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("file", "author", "licence", "source", "page", "title"))
    for path, item in sorted({item.path: item for item in items}.items()):
        origin = item.origin
        page = origin.page_url or origin.url
        told = (path, origin.author, origin.licence, origin.source, page, origin.title)
        rows.writerow([no_formula(cell) for cell in told])
    return out.getvalue()


def no_formula(text: str | None) -> str:
    """Text from the net that a spreadsheet does not take for a formula."""
    return f"'{text}" if text and text[0] in "=+-@\t\r" else text or ""


def dataset_card(dataset: Dataset, items: Sequence[ExportItem], options: ExportOptions) -> str:
    """Return the card in Markdown, with the front matter that the Hugging Face hub reads."""
    name = dataset.settings.name or "An image dataset"
    parts = [
        _front(name, len(items)),
        f"# {_plain(name)}",
        f"{_what(items, options)} of {len(_labels(items))} classes, collected and split with "
        f"Gleanset. {_moments(dataset, items)}",
        "## Classes and splits\n\n" + _class_table(items),
        "## Sources\n\n" + _counted(items, [item.origin.source for item in items], "source"),
        "## Licences\n\n"
        + _counted(items, [item.origin.licence or UNKNOWN for item in items], "licence")
        + "\n\nAuthor, licence and page of every file: `LICENSES.csv`.",
        "## How it was made\n\n" + _made(dataset, items, options),
        "## Known limits\n\n" + _limits(items),
    ]
    return "\n\n".join(parts) + "\n"


def _front(name: str, count: int) -> str:
    bounds = (1_000, 10_000, 100_000, 1_000_000)
    words = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "n>1M")
    size = words[sum(count >= bound for bound in bounds)]
    quoted = name.replace("\\", "").replace('"', "'")
    return (
        f'---\npretty_name: "{quoted}"\ntask_categories:\n- image-classification\n'
        f"size_categories:\n- {size}\n---"
    )


def _labels(items: Sequence[ExportItem]) -> list[str]:
    return sorted({str(item.sample.label) for item in items})


def _class_table(items: Sequence[ExportItem]) -> str:
    counts = Counter((str(item.sample.label), item.sample.split) for item in items)
    rows = [
        f"| {_plain(label)} | " + " | ".join(str(counts[label, split]) for split in SPLITS) + " |"
        for label in _labels(items)
    ]
    return "\n".join([f"| class | {' | '.join(SPLITS)} |", "|---" * 4 + "|", *rows])


def _counted(items: Sequence[ExportItem], values: Sequence[str], what: str) -> str:
    rows = [
        f"| {_plain(value)} | {count} | {100 * count / len(items):.0f} % |"
        for value, count in sorted(Counter(values).items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    return "\n".join([f"| {what} | pictures | share |", "|---|---|---|", *rows])


def _what(items: Sequence[ExportItem], options: ExportOptions) -> str:
    pictures = count(len({item.path for item in items}), "picture")
    if options.format == "coco":
        return f"{count(len(items), 'sample')} in {pictures}"
    copies = sum(item.copy > 0 for item in items)
    return pictures + (f" ({count(copies, 'copy', 'copies')} to balance train)" if copies else "")


def _moments(dataset: Dataset, items: Sequence[ExportItem]) -> str:
    """Return what is known of pictures that belong together."""
    moments = moments_of(dataset.db, [item.sample.key for item in items])
    found: dict[str, set[str]] = defaultdict(set)
    for item in items:
        found[moments[item.sample.key]].add(str(item.sample.split))
    if not (torn := sum(len(splits) > 1 for splits in found.values())):
        return (
            "No moment (one scene, one post, one picture found twice) that was found lies in two "
            "splits."
        )
    what = "(one scene, one post, one picture found twice)"
    return f"{count(torn, 'moment')} {what} {'lies' if torn == 1 else 'lie'} in several splits."


def _made(dataset: Dataset, items: Sequence[ExportItem], options: ExportOptions) -> str:
    keys = [item.sample.key for item in items]
    size = "x".join(map(str, options.size or ())) or "as large as they are"
    lines = [
        *(f"- {method.words}" for method in crop_methods(dataset.db, keys)),
        f"- split: {dataset.samples.split_settings() or 'by hand'}",
        f"- export: {options.format}, pictures {size}" + (", grey" if options.grayscale else ""),
    ]
    balanced = Balances(dataset.db).settings()
    if options.balances and balanced and not balanced.startswith("method=off"):
        lines.append(f"- train is balanced: {balanced}")
    if options.licences:
        lines.append(f"- only pictures with a licence like {', '.join(options.licences)}")
    return "\n".join(lines)


def _limits(items: Sequence[ExportItem]) -> str:
    unknown = sum(not item.origin.licence for item in items)
    made = sum(any(origin.ai for origin in item.image.origins) for item in items)
    counts = Counter(str(item.sample.label) for item in items)
    few, many = min(counts.values()), max(counts.values())
    lines = [
        f"- {unknown} of {len(items)} pictures have no known licence.",
        f"- Classes have from {few} to {many} pictures.",
    ]
    if made:
        lines.append(f"- {made} pictures are said by their source to be made by a model.")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text on one line that means nothing to Markdown or HTML."""
    tidy = " ".join(text.split()).replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|#" else c for c in tidy)

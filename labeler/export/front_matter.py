"""The front matter of a card, which the hub of Hugging Face and `datasets` read: YAML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from labeler.export.columns import feature_lines
from labeler.export.facts import UNKNOWN, CardFacts
from labeler.export.rows import SPLITS
from labeler.export.shard_files import ENDINGS

HUB_LICENCES = frozenset(
    {
        "cc0-1.0",
        *(f"cc-by-{v}" for v in ("2.0", "2.5", "3.0", "4.0")),
        *(f"cc-by-sa-{v}" for v in ("3.0", "4.0")),
        *(f"cc-by-nc-{v}" for v in ("2.0", "3.0", "4.0")),
        *(f"cc-by-nc-sa-{v}" for v in ("2.0", "3.0", "4.0")),
        *(f"cc-by-nc-nd-{v}" for v in ("3.0", "4.0")),
        "cc-by-nd-4.0",
    }
)
"""Licences of pictures that the hub of Hugging Face has a name for."""


def front_matter(name: str, facts: CardFacts) -> str:
    """Return it: name, licence, task, which files are which split, what columns they have."""
    options = facts.options
    bounds = (1_000, 10_000, 100_000, 1_000_000)
    words = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "n>1M")
    size = words[sum(facts.items >= bound for bound in bounds)]
    quoted = name.replace("\\", "").replace('"', "'")
    task = "object-detection" if options.boxed else "image-classification"
    lines = [
        f'pretty_name: "{quoted}"',
        *_front_licence(facts.licences),
        f"task_categories:\n- {task}",
        f"size_categories:\n- {size}",
    ]
    if files := list(_data_files(facts)):
        lines += ["configs:\n- config_name: default\n  data_files:"]
        lines += [f'  - split: {split}\n    path: "{path}"' for split, path in files]
        lines += feature_lines(facts.row, facts.labels)
    return "---\n" + "\n".join(lines) + "\n---"


def _front_licence(licences: Counter[str]) -> list[str]:
    """Return the licence as the hub of Hugging Face knows it: one of its own, or `other`."""
    (only, *more) = licences
    if not more and only.lower() in HUB_LICENCES:
        return [f"license: {only.lower()}"]
    if not more and only == UNKNOWN:
        return ["license: unknown"]
    return ["license: other", "license_name: of-each-picture", "license_link: LICENSES.csv"]


def _data_files(facts: CardFacts) -> Iterator[tuple[str, str]]:
    """Yield the splits as `datasets` is to find them, each with a pattern of its files."""
    options = facts.options
    if options.sharded or options.format == "huggingface":
        pattern = f"-*{ENDINGS[options.format]}" if options.sharded else "/**"
        for split in filter(facts.splits.__contains__, SPLITS):
            yield "validation" if split == "val" else split, f"{split}{pattern}"

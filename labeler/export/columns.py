"""Columns of tables as Parquet and the `datasets` library have them, with the names of the classes.

What `datasets` calls features stands in the schema of a Parquet file, and in the front matter of
the card, which the hub shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from gleanset.files.parquet import Column

INSIDE: Mapping[str, Column] = {"image": {"bytes": "binary", "path": "string"}}
"""A picture in the file itself."""
BESIDE: Mapping[str, Column] = {"file_name": "string"}
"""A picture by its path from the table on; `datasets` calls the column `image`."""

_TYPES: dict[type, str] = {str: "string", int: "int64", float: "double"}
_DTYPES = {"string": "string", "int64": "int64", "double": "float64"}


def table_row(told: Mapping[str, object], *more: str) -> dict[str, object]:
    """Return what is told of a sample as columns: the class by its number, its name beside it."""
    named = {"label": told["class"], "class": told["label"]}
    rest = {name: value for name, value in told.items() if name not in named}
    return named | rest | dict.fromkeys(more, "")


def table_columns(
    picture: Mapping[str, Column], row: Mapping[str, object], classes: Sequence[str]
) -> tuple[dict[str, Column], dict[str, str]]:
    """Return the columns of a table whose rows are like `row`, and what its schema says besides."""
    plain = {name: _TYPES[type(value)] for name, value in row.items()}
    features: dict[str, object] = (
        {"image": {"_type": "Image"}} if picture is INSIDE else {"file_name": _value("string")}
    )
    features |= {name: _value(kind) for name, kind in plain.items()}
    features["label"] = {"names": list(classes), "_type": "ClassLabel"}
    said = json.dumps({"info": {"features": features}}, ensure_ascii=False)
    return {**picture, **plain}, {"huggingface": said}


def _value(kind: str) -> dict[str, object]:
    return {"dtype": _DTYPES[kind], "_type": "Value"}


def feature_lines(row: Mapping[str, object], classes: Sequence[str]) -> Iterator[str]:
    """Yield the same as YAML, as the front matter of a card has it."""
    yield from ("dataset_info:", "  features:", "  - name: image", "    dtype: image")
    for name, value in row.items():
        yield f"  - name: {name}"
        if name == "label":
            yield from ("    dtype:", "      class_label:", "        names:")
            for number, label in enumerate(classes):
                yield f"          '{number}': {json.dumps(label, ensure_ascii=False)}"
        else:
            yield f"    dtype: {_DTYPES[_TYPES[type(value)]]}"

"""Whether near copies of what a run is judged on were looked for among what it learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.html.words import count

if TYPE_CHECKING:
    from baseline.data.samples import Examples


def copy_search(dataset: Dataset, examples: Examples, split: str) -> dict[str, int]:
    """Return in how many `pictures`, learnt from or of `split`, copies were `searched` for.

    `torn` are those of the split that are of a moment that train has, too.
    """
    keys = {sample.key for part in {"train", split} for sample in examples.splits[part]}
    searched = Pairs(dataset.db).count_searched(keys)
    return {"pictures": len(keys), "searched": searched, "torn": examples.straddling(split)}


def is_clear(search: Mapping[str, Any] | None) -> bool:
    """Return whether copies were looked for in all pictures, and no moment is torn.

    None is what a run of before has noted.
    """
    return search is not None and search["searched"] == search["pictures"] and not search["torn"]


def unlearnt_words(search: Mapping[str, Any] | None) -> str:
    """Say how far pictures of test are ones that a run has not learnt."""
    if search and search["torn"]:
        of = "a scene, a post or a look that it learnt"
        return f"{search['torn']} of them of {of}: no true test"
    if is_clear(search):
        return "none of which it learnt, nor a near copy that was found"
    looks = "labeler split looks for them"
    if not search or not search["searched"]:
        return f"nobody looked for near copies of them among those it learnt ({looks})"
    of = f"{search['searched']:,} of {count(search['pictures'], 'picture')}"
    return f"near copies of those it learnt were looked for in {of} only ({looks})"

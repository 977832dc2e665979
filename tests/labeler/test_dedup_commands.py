"""Duplicates by command: set aside, explained, judged, searched, taken back."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
from labelled_images import put
from PIL import Image, ImageDraw

from gleanset import Dataset
from labeler.export.plan import plan_export
from labeler.splits.plan import CONFLICT_REASON

Labeler = Callable[..., subprocess.CompletedProcess[str]]


def scene(seed: int) -> Image.Image:
    """A picture with enough in it to be known again."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (480, 320), tuple(random.integers(0, 256, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, w, h = random.integers(0, 480), random.integers(0, 320), *random.integers(10, 90, 2)
        draw.ellipse((x, y, x + w, y + h), fill=tuple(random.integers(0, 256, 3)))
    return image


def saved(image: Image.Image, quality: int = 92) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.fixture
def copies(empty: Dataset) -> dict[str, str]:
    """A picture labelled as `a`, a small copy without a label, and another picture."""
    (small,) = put(empty, saved(scene(1).resize((240, 160)), 60), "small.jpg", label="a")
    (large,) = put(empty, saved(scene(1)), "large.jpg", label="a")
    (other,) = put(empty, saved(scene(2)), "other.jpg", label="b")
    return {"small": small, "large": large, "other": other}


def told(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(result, dict)
    return result


@pytest.mark.slow
def test_dedup_and_undo(empty: Dataset, copies: dict[str, str], labeler: Labeler) -> None:
    where = ("-d", empty.root, "--json")
    first = told(labeler("dedup", "--simulate", *where))
    assert (first["set_aside"], first["looked_at"]) == (1, 3)
    assert not {"looked_at_before", "note"} & first.keys()
    assert len(plan_export(empty)) == 3
    again = told(labeler("dedup", "--simulate", *where))
    assert str(again["note"]).endswith("its --simulate, are used")
    result = told(labeler("dedup", *where))
    assert (result["looked_at"], result["looked_at_before"]) == (0, 3)
    assert str(result["note"]).endswith("are used and applied")
    assert (result["groups"], result["set_aside"], result["conflicts"]) == (1, 1, 0)
    assert told(labeler("dedup", *where))["changed"] == 0
    group = told(labeler("groups", "-d", empty.root))
    assert group["kept"] == copies["large"]
    assert group["others"] == [copies["small"]]
    assert "larger (480 x 320, the next 240 x 160)" in str(group["reason"])
    assert {item.sample.key for item in plan_export(empty)} == {copies["large"], copies["other"]}
    assert told(labeler("undo", *where))
    assert len(plan_export(empty)) == 3


@pytest.mark.slow
def test_conflicting_labels_are_left_out(
    empty: Dataset, copies: dict[str, str], labeler: Labeler
) -> None:
    where = ("-d", empty.root, "--json")
    told(labeler("label", "b", copies["small"], *where))
    result = told(labeler("dedup", *where))
    assert (result["set_aside"], result["conflicts"]) == (0, 1)
    group = told(labeler("groups", "--conflicts", "-d", empty.root))
    assert sorted(map(str, group["decisions"])) == ["a", "b"]  # type: ignore[call-overload]
    # Nothing is learnt from them, or judged by them, until then.
    assert told(labeler("split", *where))["left_out"] == {CONFLICT_REASON: 2}
    assert {item.sample.key for item in plan_export(empty)} == {copies["other"]}
    told(labeler("groups", "--differ", copies["small"], copies["large"], *where))
    assert told(labeler("dedup", *where))["groups"] == 0
    assert "left_out" not in told(labeler("split", *where))


@pytest.mark.slow
def test_doubtful_pairs_are_listed_until_judged(
    empty: Dataset, copies: dict[str, str], labeler: Labeler
) -> None:
    where = ("-d", empty.root, "--json")
    assert told(labeler("dedup", "--simulate", *where))["doubtful"] == 0
    with empty.db.transaction():
        empty.db.execute("UPDATE pair SET verdict='doubtful' WHERE verdict='same'")
    result = told(labeler("dedup", *where))
    assert (result["doubtful"], result["set_aside"]) == (1, 0)
    pair = told(labeler("groups", "--doubtful", "-d", empty.root))
    samples = [str(key) for key in pair["samples"]]  # type: ignore[attr-defined]
    assert set(samples) == {copies["small"], copies["large"]}
    assert labeler("groups", "--conflicts", "-d", empty.root).stdout == ""
    told(labeler("groups", "--same", *samples, *where))
    assert told(labeler("dedup", *where))["set_aside"] == 1
    assert labeler("groups", "--doubtful", "-d", empty.root).stdout == ""

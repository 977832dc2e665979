"""The groups of a catalogue, before and after any split."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace

from catalogue_rows import add_image, cut, sha

from curation.split_groups import assign_split_groups, list_split_group_rows
from gleanset import Dataset
from gleanset.db.duplicates import SAME, Pairs, PairVerdict
from gleanset.db.journal import Choice
from gleanset.records import Origin


def add(dataset: Dataset, number: int, *origins: Origin, faces: int = 1) -> list[str]:
    """An image that looks like no other, with faces that do; the keys of its samples."""
    add_image(dataset, number, *origins)
    cuts = [cut(number, 20 * place) for place in range(faces)]
    cuts = [replace(one, phash=_look(one.key)) for one in cuts]
    dataset.faces.replace(sha(number), "test", "", cuts)
    return [one.key for one in cuts]


def _look(key: str) -> int:
    return int(hashlib.sha256(key.encode()).hexdigest()[:16], 16)


def label(dataset: Dataset, *keys: str) -> None:
    dataset.journal.apply("Label", [Choice(key, "label", "cat") for key in keys])


def frame(number: int, scene: int, time: float) -> Origin:
    return Origin("video", f"v@{number}", video="ff", scene=scene, time=time)


def partition(found: dict[str, str], *groups: Sequence[str]) -> bool:
    """Whether the groups are exactly these groups of keys."""
    result = {frozenset(k for k in found if found[k] == name) for name in found.values()}
    return result == {frozenset(group) for group in groups}


def test_groups_are_known_before_any_split_and_of_every_sample(dataset: Dataset) -> None:
    """Faces of one image, scenes, posts; labelled, waiting, rejected and retired alike."""
    faces = add(dataset, 1, faces=2)
    (one,), (two,) = add(dataset, 2, frame(2, 7, 1.0)), add(dataset, 3, frame(3, 7, 90.0))
    (posted,) = add(dataset, 4, Origin("pixiv", "9:0", post="9"))
    (also,) = add(dataset, 5, Origin("pixiv", "9:1", post="9"))
    (gone,) = add(dataset, 6, frame(6, 7, 95.0))
    label(dataset, faces[0], one, posted)
    dataset.journal.apply("No", [Choice(also, "reject", None)])
    dataset.faces.replace(sha(6), "test", "", [])
    assert dataset.samples.get(gone).status == "retired"  # type: ignore[union-attr]
    everything = [*faces, one, two, posted, also, gone, "not in this catalogue"]
    assert partition(
        assign_split_groups(dataset.db, everything),
        faces,
        [one, two, gone],
        [posted, also],
        ["not in this catalogue"],
    )
    assert partition(assign_split_groups(dataset.db), faces[:1], [one], [posted])


def test_what_waits_chains_no_groups_unless_it_is_asked_for(dataset: Dataset) -> None:
    """Frame after frame without a label would make an episode one group."""
    first, waiting, last = (
        add(dataset, n, frame(n, scene=10 * n, time=n * 0.8))[0] for n in (1, 2, 3)
    )
    label(dataset, first, last)
    assert partition(assign_split_groups(dataset.db), [first], [last])
    assert partition(assign_split_groups(dataset.db, [waiting]), [first, waiting, last])


def test_groups_do_not_depend_on_the_order_of_arrival(dataset: Dataset) -> None:
    """And each is named after the first of its labelled samples."""
    origins = {n: frame(n, scene=n // 3, time=5.0 * n) for n in range(24)}
    keys = {n: add(dataset, n, origins[n])[0] for n in random.Random(1).sample(range(24), 24)}
    label(dataset, *(keys[n] for n in range(0, 24, 2)))
    result = assign_split_groups(dataset.db, keys.values())
    for number, key in keys.items():
        scene = [keys[n] for n in range(24) if n // 3 == number // 3 and n % 2 == 0]
        assert result[key] == min(scene)
    assert result == assign_split_groups(dataset.db, reversed(list(keys.values())))


def test_what_is_the_same_or_looks_alike_is_one_group(dataset: Dataset) -> None:
    one, two, three = (add(dataset, n)[0] for n in (1, 2, 3))
    label(dataset, one, two, three)
    pairs = Pairs(dataset.db)
    rows = pairs.get_ids([one, two, three])
    a, b = sorted(rows[:2])
    pairs.save_verdicts([PairVerdict(a, b, 0.0, 1.0, SAME)])
    assert partition(assign_split_groups(dataset.db), [one, two], [three])
    with dataset.db.transaction():
        dataset.db.execute(
            "UPDATE sample SET phash=(SELECT phash FROM sample WHERE id=?) WHERE id=?",
            (rows[1], rows[2]),
        )
    assert partition(assign_split_groups(dataset.db), [one, two, three])


def test_the_window_has_the_same_groups_as_splits(dataset: Dataset) -> None:
    """Copies that no search has tied, frames nearby and tracks; what waits is shown as well."""
    scaled = [add(dataset, n)[0] for n in (1, 2)]
    frames = [add(dataset, n, frame(n, scene=10 * n, time=n * 0.8))[0] for n in (3, 4, 5)]
    other = add(dataset, 6)[0]
    keys = [*scaled, *frames, other]
    rows = dict(zip(keys, Pairs(dataset.db).get_ids(keys), strict=True))
    with dataset.db.transaction():
        dataset.db.execute(
            "UPDATE sample SET phash=(SELECT phash FROM sample WHERE id=?)+1 WHERE id=?",
            (rows[scaled[0]], rows[scaled[1]]),
        )
    for group in (scaled, [other]):
        for key in group:
            assert set(list_split_group_rows(dataset.db, rows[key])) == {rows[one] for one in group}
    assert set(list_split_group_rows(dataset.db, rows[frames[0]])) == {
        rows[one] for one in frames[:2]
    }
    label(dataset, *scaled, *frames, other)
    result = assign_split_groups(dataset.db)
    for key, row in rows.items():
        together = {rows[one] for one in result if result[one] == result[key]}
        assert set(list_split_group_rows(dataset.db, row)) == together


def test_flat_images_are_of_no_common_group(dataset: Dataset) -> None:
    """Blank pages look alike, and say nothing of where they came from."""
    keys = [add(dataset, n)[0] for n in (1, 2)]
    label(dataset, *keys)
    with dataset.db.transaction():
        dataset.db.execute("UPDATE sample SET phash=?", (-(2**63),))
    assert partition(assign_split_groups(dataset.db), keys[:1], keys[1:])

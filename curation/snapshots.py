"""Snapshots of a dataset: taken, compared, restored, and named by runs and exports.

Files are named by their content and rows of images and samples stay, so a snapshot is some rows
of the catalogue and the text of `dataset.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import tomli_w

from gleanset.config import read_toml
from gleanset.dataset import Dataset
from gleanset.db.restoring import Restoring
from gleanset.db.snapshots import (
    NOW,
    Moves,
    Pictures,
    Side,
    SnapshotDifferences,
    Snapshots,
    class_differences,
    snapshot_name,
)
from gleanset.files.atomic import write_atomic
from gleanset.html.words import count
from gleanset.records import Snapshot
from gleanset.settings import FILE, Settings

LIMIT = 10
"""So many samples and images are listed, where nothing else is asked for."""
WHERE_IT_RUNS = ("net", "store", "work")
"""Tables of `dataset.toml` that say where things are and run, and not what the dataset is."""
STAGE = "restore"
OF_SAMPLES = ("crop", "split", "split in force", "balance in force")
"""Settings that samples are made by: tables, and the plans in force."""


class SettingChange(NamedTuple):
    """A key of `dataset.toml`, such as `crop.margin`, or a plan in force, on both sides."""

    key: str
    before: Any
    after: Any


class Difference(NamedTuple):
    """All that differs between two sides, `a` and `b`."""

    a: str
    b: str
    pictures: Pictures
    labels: Moves
    splits: Moves
    copies: Moves
    others: dict[str, int]
    classes: list[str]
    settings: list[SettingChange]

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        moves = (self.labels, self.splits, self.copies)
        rest = (self.others, self.classes, self.settings, *(one.total for one in moves))
        return not any((*self.pictures[:3], *rest))


def take_snapshot(dataset: Dataset, name: str, note: str = "") -> Snapshot:
    """Keep the present state under a name. Raises `UsageError` for one that is none, or taken."""
    name = snapshot_name(name)
    return Snapshots(dataset.db).take(name, note, dataset.journal.who, _settings_text(dataset))


def difference(dataset: Dataset, a: str, b: str = NOW, limit: int = LIMIT) -> Difference:
    """Return what differs between two snapshots, `now` being the dataset as it is.

    Raises `UsageError` for a name that no snapshot has.
    """
    return _difference(dataset, _side(dataset, a), _side(dataset, b), limit)


def _difference(dataset: Dataset, a: Side, b: Side, limit: int) -> Difference:
    differences = SnapshotDifferences(dataset.db, a, b, limit)
    return Difference(
        a.name,
        b.name,
        differences.pictures(),
        differences.labels(),
        differences.splits(),
        differences.copies(),
        differences.others(),
        class_differences(a, b),
        _settings_changed(a, b),
    )


def rehearse_restore(
    dataset: Dataset, name: str, limit: int = LIMIT, *, with_settings: bool = False
) -> tuple[Difference, int]:
    """Return what `restore` would change, and of how many samples. Raises `UsageError`.

    It is carried out on a copy of the catalogue, so it is what would be done.
    """
    settings = _settings_changed(_side(dataset, NOW), _side(dataset, name), plans=False)
    with dataset.rehearsal() as copy:
        Snapshots(copy.db).take(NOW, "", "", _settings_text(dataset))
        before = Snapshots(copy.db).side(NOW)
        changed = restore(copy, name) or 0
        found = _difference(copy, before, _side(copy, NOW), limit)._replace(b=name)
    if with_settings:
        found = found._replace(settings=[*found.settings, *settings])
    return found, changed


def restore(dataset: Dataset, name: str) -> int | None:
    """Put back what was decided then, as one step that an undo takes back; how many samples change.

    None where nothing differs. Pictures and samples that came later stay, as new ones. It takes the
    lock for moments only: what is decided meanwhile stays as well (`decided_otherwise`). One that
    was cut short is gone on with. Raises `UsageError`, and `DatasetBusy` while another one runs.
    """
    with dataset.stage(STAGE):
        restoring = Restoring(dataset.db, dataset.journal, _side(dataset, name))
        if not restoring.begin(_side(dataset, NOW)):
            return None
        restoring.carry_out(_side(dataset, NOW))
        return restoring.end(_side(dataset, NOW))


def decided_otherwise(dataset: Dataset, name: str) -> int:
    """Return how many samples are decided otherwise than in a snapshot. Raises `UsageError`."""
    return Snapshots(dataset.db).changed(_side(dataset, name), _side(dataset, NOW))


def restore_settings(dataset: Dataset, name: str) -> str | None:
    """Write `dataset.toml` as it was then; the name of the file that keeps the present one.

    None where nothing differs. What tells where work runs and how the net is used stays as it is;
    comments do where that did not change. Raises `UsageError`, and `RecipeError` where the file of
    then is none any more.
    """
    then, present = _side(dataset, name), _side(dataset, NOW)
    changed = _settings_changed(then, present, plans=False)
    if all(one.key.partition(".")[0] in WHERE_IT_RUNS for one in changed):
        return None
    own, aside = dataset.root / FILE, f"{FILE}.before-{name}"
    staged = dataset.root / f"{FILE}.{name}"
    write_atomic(staged, _with_present_place(then.settings, present.settings).encode())
    try:
        read_toml(staged, Settings)
        write_atomic(dataset.root / aside, own.read_bytes())
        staged.replace(own)
    finally:
        staged.unlink(missing_ok=True)
    return aside


def _with_present_place(then: str, present: str) -> str:
    """Return the settings of then, but for the tables of `WHERE_IT_RUNS`."""
    old, new = tomllib.loads(then), tomllib.loads(present)
    if all(old.get(table) == new.get(table) for table in WHERE_IT_RUNS):
        return then
    kept = {table: new[table] for table in WHERE_IT_RUNS if table in new}
    return tomli_w.dumps({k: v for k, v in old.items() if k not in WHERE_IT_RUNS} | kept)


def made_from(dataset: Dataset) -> dict[str, object]:
    """Return the newest snapshot whose decisions the dataset has now, else the newest of all with
    how much differs from it; empty where there is none.

    `name`, and where there are any `samples` (decided otherwise), `classes` and `settings` (keys
    of `OF_SAMPLES`).
    """
    present = _side(dataset, NOW)
    first: dict[str, object] = {}
    for then in Snapshots(dataset.db).newest_first():
        found = _since(dataset, then, present, exact=bool(first))
        if found is not None and not found.keys() & {"samples", "classes"}:
            return found
        first = first or found or {}
    return first


def _since(dataset: Dataset, then: Side, present: Side, *, exact: bool) -> dict[str, object] | None:
    classes = len(class_differences(then, present))
    if exact and classes:
        return None
    differs = {
        "samples": Snapshots(dataset.db).changed(then, present),
        "classes": classes,
        "settings": [
            one.key
            for one in _settings_changed(then, present)
            if one.key.partition(".")[0] in OF_SAMPLES
        ],
    }
    return {"name": then.name} | {name: value for name, value in differs.items() if value}


def snapshot_words(made_from: Mapping[str, object]) -> str:
    """Return what `made_from` told as a person reads it; empty where there was no snapshot."""
    if not made_from:
        return ""
    differs = [
        count(number, one, many)
        for name, one, many in (
            ("samples", "sample", "samples"),
            ("classes", "class", "classes"),
        )
        if isinstance(number := made_from.get(name), int)
    ]
    if isinstance(keys := made_from.get("settings"), list) and keys:
        differs.append(f"{count(len(keys), 'setting')} ({', '.join(map(str, keys))})")
    name = str(made_from["name"])
    return f"{name}, but for {', '.join(differs)} changed since" if differs else name


def _side(dataset: Dataset, name: str) -> Side:
    snapshots = Snapshots(dataset.db)
    if name == NOW:
        return snapshots.present(_settings_text(dataset))
    return snapshots.side(snapshot_name(name))


def _settings_text(dataset: Dataset) -> str:
    return (dataset.root / FILE).read_text(encoding="utf-8-sig")


def _settings_changed(a: Side, b: Side, *, plans: bool = True) -> list[SettingChange]:
    one, other = _settings(a, plans=plans), _settings(b, plans=plans)
    return [
        SettingChange(key, one.get(key), other.get(key))
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    ]


def _settings(side: Side, *, plans: bool) -> dict[str, Any]:
    """Return all keys with their values, those that are not written by their defaults."""
    found = dict(_flat(msgspec.to_builtins(Settings()))) | dict(_flat(tomllib.loads(side.settings)))
    if plans:
        found |= {"split in force": side.split_plan, "balance in force": side.balance_plan}
    return {key: value for key, value in found.items() if value not in (None, "", {}, [])}


def _flat(table: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        inner = _flat(value, f"{above}{key}.") if isinstance(value, dict) else []
        found += inner or [(above + key, value)]
    return found

"""Runs in a bucket: made in a folder, sent at the end of a command, fetched to be read."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gleanset.files.atomic import PARTIAL, disk_errors, write_atomic
from gleanset.files.s3 import Bucket, ObjectFacts
from gleanset.places import bucket_at, in_bucket
from gleanset.settings import StoreSettings

_SENT = "sent-runs.json"
_REQUESTS = 8
_UNFINISHED = "checkpoint"


def runs_folder(root: Path, settings: StoreSettings) -> Path:
    """Return the folder in which runs are made, and kept unless they go into a bucket as well."""
    return root / ("runs" if in_bucket(settings.runs) else settings.runs)


def send_runs(root: Path, settings: StoreSettings) -> int:
    """Put what is new or changed in the runs' folder into their bucket; how many files.

    What a training goes on from, should it be stopped, stays here.
    """
    if not in_bucket(settings.runs):
        return 0
    folder, state = runs_folder(root, settings), root / "cache" / _SENT
    sent = _read(state)
    there = {str(path.relative_to(folder).as_posix()): path for path in _files(folder)}
    stamps = {key: _stamp(path) for key, path in there.items()}
    new = [key for key, stamp in stamps.items() if sent.get(key) != stamp]
    if new:
        place = bucket_at(settings.runs, settings)
        with ThreadPoolExecutor(_REQUESTS) as pool:
            list(pool.map(lambda key: place.put(key, there[key]), new))
        write_atomic(state, json.dumps(stamps).encode())
    return len(new)


def run_at_hand(root: Path, settings: StoreSettings, run_id: str) -> Path:
    """Return the folder of a run; one that is not in it but in a bucket is fetched first.

    Raises `Unreachable` where what comes is not what was sent.
    """
    folder = runs_folder(root, settings) / run_id
    if not folder.is_dir() and in_bucket(settings.runs):
        place = bucket_at(f"{settings.runs.rstrip('/')}/{run_id}", settings)
        files = list(place.each())
        if files:
            _fetch(place, files, folder)
    return folder


def _fetch(place: Bucket, files: list[ObjectFacts], folder: Path) -> None:
    partial = folder.with_name(f"{PARTIAL}{folder.name}")
    with disk_errors(folder):
        for facts in files:
            path = partial / facts.key
            if not path.resolve().is_relative_to(partial.resolve()):
                continue  # a name that leads out of the folder is none of ours
            path.parent.mkdir(parents=True, exist_ok=True)
            place.fetch(facts.key, path, "train anew where it is driven")
        partial.rename(folder)


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(PARTIAL) and _UNFINISHED not in path.parts
    )


def _stamp(path: Path) -> str:
    told = path.stat()
    return f"{told.st_size}:{told.st_mtime_ns}"


def _read(state: Path) -> dict[str, str]:
    try:
        told = json.loads(state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}

"""The folder of shards that a harvest writes, and what is kept there to go on after a stop.

`000000.tar` is renamed to its name when it is whole and synced; then `000000.json` says which rows
of the lists are in it, which had pictures that some shard has, and which were rejected. Without
that a shard does not count, and is written anew. `rejected.jsonl` has the rejections of all.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count, pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from gleanset.errors import InputUnusable, Unreadable
from gleanset.files.atomic import PARTIAL, disk_errors, whole_file, write_atomic
from gleanset.files.parquet import pyarrow
from gleanset.files.shards import (
    ENDINGS,
    INSIDE,
    Put,
    ShardFormat,
    ShardRecord,
    ShardSize,
    open_parquet,
    open_tar,
    table_columns,
)
from gleanset.files.store import EXTENSIONS
from gleanset.records import Candidate, Measured
from gleanset.work.pool import Outcome
from gleanset.work.stage import hold
from harvest.importer import counts, is_settled

REJECTED = "rejected.jsonl"
_OWN, _BEGUN = ".gleanset", "shards.json"
_BESIDE = 2_000


class ShardOptions(NamedTuple):
    """Where shards go, and how large they are. `limit`: how many pictures all have together."""

    folder: Path
    size: ShardSize
    format: ShardFormat = "webdataset"
    limit: int | None = None


class MeasuredBytes(NamedTuple):
    """The bytes of a picture that was decoded and measured."""

    measured: Measured
    data: bytes


class RejectedRow(msgspec.Struct):
    """A row of the lists without a picture, and why; rows are counted from 1 on, over all lists."""

    row: int
    url: str
    reason: str
    detail: str


class HarvestedShard(msgspec.Struct):
    """What one shard has, as it stands in the JSON file beside it.

    `rows` are those with a picture, as pairs of the first and the last of a row of numbers;
    `duplicates` the ones among them whose picture stood in a shard already. `pictures` are SHA-256.
    Where there was none to be written, no file is called `shard`.
    """

    shard: str = ""
    bytes: int = 0
    rows: list[tuple[int, int]] = []
    duplicates: list[int] = []
    pictures: list[str] = []
    licences: dict[str, int] = {}
    rejected: list[RejectedRow] = []


class _OpenShard:
    """A shard that is being written, with what `manifest` is to say of it; `size` is about that."""

    def __init__(self, path: Path, form: ShardFormat) -> None:
        self.path = path
        self.rows: list[int] = []
        self.manifest = HarvestedShard()
        self.size = 0
        self._form = form
        self._files = ExitStack()
        self._put: Put | None = None

    def put(self, record: ShardRecord, licence: str) -> None:
        """Write a picture. Where that fails the whole file is gone."""
        with ExitStack() as failing:
            failing.push(self._files)
            self._put = self._put or self._begun(record)
            self._put(record)
            failing.pop_all()
        manifest = self.manifest
        manifest.pictures.append(str(record.facts["sha256"]))
        manifest.licences[licence] = manifest.licences.get(licence, 0) + 1
        self.size += size_in_shard(record.data)

    def _begun(self, record: ShardRecord) -> Put:
        partial = self._files.enter_context(whole_file(self.path))
        self.manifest.shard = self.path.name
        if self._form == "webdataset":
            return self._files.enter_context(open_tar(partial))
        return self._files.enter_context(
            open_parquet(partial, *table_columns(INSIDE, record.facts))
        )

    def close(self) -> None:
        """Give the file its name, if there is one, and write what is in it beside it."""
        self._files.close()
        if self.manifest.shard:
            self.manifest.bytes = self.path.stat().st_size
        self.manifest.rows = list(_ranges(self.rows))
        write_atomic(self.path.with_suffix(".json"), msgspec.json.encode(self.manifest) + b"\n")


class ShardFolder:
    """Takes what became of each address, and knows what earlier runs made of the same lists.

    `pictures` are the hashes of all that shards have.
    """

    def __init__(self, options: ShardOptions) -> None:
        self._options = options
        self._folder = options.folder
        self._open: _OpenShard | None = None
        self._done = bytearray()
        self._numbers = count()
        self.pictures: set[bytes] = set()
        self.shards = 0
        self.tally: Counter[str] = Counter(added=0, duplicate=0, known=0, rejected=0)
        self.reasons: Counter[str] = Counter()

    @classmethod
    @contextmanager
    def opened(cls, options: ShardOptions, lists: str) -> Iterator[ShardFolder]:
        """Hold the folder, which is made where it is not there; `lists` tells lists apart.

        What an open shard has is finished in the end, also where something was raised.
        Raises `InputUnusable` for a folder of something else.
        """
        if options.format == "parquet":
            pyarrow()
        check_folder(options, lists)
        with hold(options.folder / _OWN, "shards"):
            shards = cls(options)
            shards.read()
            begun = json.dumps({"lists": lists, "format": options.format})
            write_atomic(options.folder / _OWN / _BEGUN, begun.encode())
            try:
                yield shards
            finally:
                shards.finish()
                write_atomic(options.folder / REJECTED, b"".join(_rejections(options.folder)))

    def read(self, *, tidy: bool = True) -> None:
        """Learn what is done; with `tidy` remove what an earlier run could not finish."""
        counting: set[str] = set()
        for path, manifest in _manifests(self._folder):
            self.pictures.update(map(bytes.fromhex, manifest.pictures))
            self.shards += bool(manifest.shard)
            counting |= {manifest.shard, path.name}
            for first, last in manifest.rows:
                self._note(first, last)
            for one in manifest.rejected:
                if is_settled(one.reason):
                    self._note(one.row, one.row)
        if tidy:
            for path in self._folder.glob("*"):
                ours = re.fullmatch(r"\d{6,}\.(tar|parquet|json)", path.name)
                if path.name.startswith(PARTIAL) or (ours and path.name not in counting):
                    path.unlink()

    def _note(self, first: int, last: int) -> None:
        if (lacking := last + 1 - len(self._done)) > 0:
            self._done.extend(bytes(max(lacking, len(self._done))))
        self._done[first : last + 1] = b"\1" * (last + 1 - first)

    def missing(self, rows: Iterator[tuple[int, Candidate]]) -> Iterator[tuple[int, Candidate]]:
        """Yield the rows that are not done, and count the others."""
        for number, candidate in rows:
            if number < len(self._done) and self._done[number]:
                self.tally["known"] += 1
            else:
                yield number, candidate

    def take(self, outcome: Outcome[Candidate, MeasuredBytes], rows: Sequence[int]) -> None:
        """Record what became of the address that stands in some rows. Raises `DiskFull`."""
        # Should something be raised in between, nothing of the shard counts.
        shard, self._open = self._open or self._next(), None
        try:
            picture = outcome.unwrap()
        except Unreadable as refused:
            self._reject(shard, outcome.item, rows, refused)
        else:
            shard = self._take_picture(shard, outcome.item, rows, picture)
        self._open = shard

    def _take_picture(
        self, shard: _OpenShard, item: Candidate, rows: Sequence[int], picture: MeasuredBytes
    ) -> _OpenShard:
        digest = bytes.fromhex(picture.measured.sha256)
        if new := digest not in self.pictures:
            pictures = len(shard.manifest.pictures)
            size = shard.size + size_in_shard(picture.data)
            if pictures and not self._options.size.has_room(pictures, size):
                self._close(shard)
                shard = self._next()
            shard.put(_record(item, rows[0], picture), item.origin.licence or "unknown")
            self.pictures.add(digest)
        shard.rows += rows
        shard.manifest.duplicates += rows[1:] if new else rows
        self.tally["added"] += new
        self.tally["duplicate"] += len(rows) - new
        return shard

    def _reject(
        self, shard: _OpenShard, item: Candidate, rows: Sequence[int], why: Unreadable
    ) -> None:
        for row in rows:
            shard.manifest.rejected.append(RejectedRow(row, item.url, why.reason, why.detail))
        self.tally["rejected"] += len(rows)
        self.reasons[why.reason] += len(rows)

    def _next(self) -> _OpenShard:
        names = (self._folder / f"{number:06}.json" for number in self._numbers)
        free = next(path for path in names if not path.exists())
        return _OpenShard(free.with_suffix(ENDINGS[self._options.format]), self._options.format)

    def _close(self, shard: _OpenShard) -> None:
        with disk_errors(shard.path):
            shard.close()
        self.shards += bool(shard.manifest.shard)

    def finish(self) -> None:
        """Close the open shard, if there is one."""
        if self._open is not None:
            shard, self._open = self._open, None
            self._close(shard)

    def note(self) -> str:
        """Return what is told while it works."""
        return f"{self.shards} shards"

    def result(self) -> dict[str, object]:
        """Return the numbers of this run; `shards` are all that there are."""
        numbers = counts(self.tally, self.reasons)
        return {"to": str(self._folder), **numbers, "shards": self.shards}


def size_in_shard(data: bytes) -> int:
    """Return about how many bytes a picture takes in a shard, with what is told of it."""
    return len(data) + _BESIDE


def check_folder(options: ShardOptions, lists: str) -> None:
    """Raise `InputUnusable` for a folder that other lists, or something else, went to."""
    folder = options.folder
    if not folder.exists():
        return
    try:
        begun = json.loads((folder / _OWN / _BEGUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        if not folder.is_dir() or any(path.name != _OWN for path in folder.iterdir()):
            raise InputUnusable(
                f"{folder} holds something that is not from harvest urls --shards",
                "name a new folder",
            ) from None
        return
    if begun != {"lists": lists, "format": options.format}:
        raise InputUnusable(
            f"{folder} was begun with other lists, columns, hints, or another format",
            "run the command that began it, or name a new folder",
        )


def _record(item: Candidate, row: int, picture: MeasuredBytes) -> ShardRecord:
    """Return a picture with all that is told of it; nothing is null, as readers of tables want."""
    measured, origin = picture.measured, item.origin
    facts: dict[str, object] = {
        "row": row,
        "url": item.url,
        "page": origin.page_url or "",
        "title": origin.title or "",
        "label": origin.hint or "",
        "author": origin.author or "",
        "licence": origin.licence or "",
        "sha256": measured.sha256,
        "phash": f"{measured.phash:016x}",
        "format": measured.format,
        "bytes": measured.bytes,
        "width": measured.width,
        "height": measured.height,
        "orientation": measured.orientation,
        "frames": measured.frames,
    }
    name = f"{measured.sha256}.{EXTENSIONS[measured.format]}"
    return ShardRecord(name, picture.data, facts)


def _ranges(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each row of numbers without a gap."""
    ordered = sorted(numbers)
    gaps = [at for at in range(1, len(ordered)) if ordered[at] > ordered[at - 1] + 1]
    for first, end in pairwise([0, *gaps, len(ordered)] if ordered else []):
        yield ordered[first], ordered[end - 1]


def _manifests(folder: Path) -> Iterator[tuple[Path, HarvestedShard]]:
    """Yield those of shards that are there as they were written, the earlier ones first."""
    for path in sorted(folder.glob("*.json")):
        if not re.fullmatch(r"\d{6,}\.json", path.name):
            continue
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=HarvestedShard)
            shard = folder / Path(manifest.shard).name
            whole = not manifest.shard or shard.stat().st_size == manifest.bytes
        except (OSError, msgspec.MsgspecError):
            whole = False
        if whole:
            yield path, manifest


def _rejections(folder: Path) -> Iterator[bytes]:
    """Yield a line for each row that was rejected when it was last tried."""
    last: dict[int, RejectedRow] = {}
    for _, manifest in _manifests(folder):
        for first, end in manifest.rows if last else ():
            for row in range(first, end + 1):
                last.pop(row, None)
        last |= {one.row: one for one in manifest.rejected}
    for _, one in sorted(last.items()):
        yield msgspec.json.encode(one) + b"\n"

"""Shards: the samples of an export in files of about equal size, each written by one worker.

Which sample comes into which shard is decided before anything is written, by key and by what its
picture is expected to take: so shards are written side by side, and equal data gives equal bytes.
A shard counts as written when its manifest is there, which comes last; then it is kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gleanset.errors import Unreadable
from gleanset.files.atomic import disk_errors, whole_file, write_atomic
from gleanset.files.parquet import parquet_file
from gleanset.files.s3 import Bucket
from gleanset.files.store import sha256_of, sha256_of_file
from gleanset.records import Sample
from labeler.export.options import ExportOptions, Format
from labeler.export.pictures import PictureMaker, linked
from labeler.export.plan import ExportItem
from labeler.export.rows import INSIDE, LICENCE, table_columns, table_row, told_of

BESIDE = 3_000
"""About the bytes that a shard takes for a sample besides its picture."""


@dataclass(frozen=True, slots=True)
class Shard:
    """What one shard is to hold. `name` has no ending."""

    name: str
    split: str
    items: tuple[ExportItem, ...]

    def facts(self, classes: Mapping[str, int], folds: bool) -> list[dict[str, object]]:
        """Return what the shard says of each item, without what its picture decides."""
        return [told_of(item, classes, folds) for item in self.items]


@dataclass(frozen=True, slots=True)
class ShardManifest:
    """What is in a shard, as it stands in the JSON file beside it.

    `of` is a hash of all that it was to hold. `pictures` has a row a picture with its licence and
    hash; of those that could not be read `failed` has the reason, by their place in the dataset.
    `say_where` are the pictures whose files say where they were taken.
    """

    shard: str
    split: str
    sha256: str
    bytes: int
    of: str
    classes: dict[str, int]
    licences: dict[str, int]
    pictures: list[dict[str, str]]
    failed: dict[str, str]
    say_where: list[str]

    @property
    def summary(self) -> dict[str, object]:
        """What the manifest of all shards says of this one."""
        left_out = ("of", "pictures", "failed", "say_where")
        told = {name: value for name, value in asdict(self).items() if name not in left_out}
        return told | {"pictures": len(self.pictures)}


@dataclass(frozen=True, slots=True)
class PictureSizes:
    """About how many bytes pictures take, by what the catalogue alone tells: crops may be gone."""

    options: ExportOptions
    bytes_per_pixel: float = 1.0

    def of(self, item: ExportItem) -> float:
        """Return the bytes expected of a sample in a shard."""
        if item.way in ("original", "stripped"):
            return BESIDE + item.image.bytes
        return BESIDE + self.pixels(item.sample) * self.bytes_per_pixel

    def pixels(self, sample: Sample) -> int:
        """Return how many pixels a picture is written with."""
        width, height = self.options.sides or (sample.box.width, sample.box.height)
        return width * height


def cut_into_shards(
    items: Iterable[ExportItem], sizes: PictureSizes, options: ExportOptions
) -> Iterator[Shard]:
    """Yield shards as they are full; of each split one is open at a time."""
    opened: dict[str, list[ExportItem]] = {}
    taken: Counter[str] = Counter()
    weight: dict[str, float] = {}
    for item in items:
        split, size = str(item.sample.split), sizes.of(item)
        chosen = opened.setdefault(split, [])
        too_heavy = weight.get(split, 0.0) + size > options.bytes_of_shard
        if chosen and (too_heavy or len(chosen) == options.shard_pictures):
            yield Shard(f"{split}-{taken[split]:06}", split, tuple(chosen))
            taken[split] += 1
            chosen.clear()
            weight[split] = 0.0
        chosen.append(item)
        weight[split] = weight.get(split, 0.0) + size
    for split, chosen in opened.items():
        yield Shard(f"{split}-{taken[split]:06}", split, tuple(chosen))


@dataclass(frozen=True, slots=True)
class ShardWriter:
    """Writes shards into `folder`; picklable. One that `folder` or `earlier` has is kept.

    `classes` are their numbers by name; with `folds` the number of its fold is told of each
    sample.
    """

    folder: Path
    earlier: Path
    options: ExportOptions
    classes: Mapping[str, int]
    folds: bool = False

    def __call__(self, shard: Shard) -> ShardManifest:
        """Return what is in the shard, once it is on the disk."""
        facts = shard.facts(self.classes, self.folds)
        of = self._digest(shard, facts)
        name = f"{shard.name}{ENDINGS[self.options.format]}"
        with disk_errors(self.folder / name):
            for place in (self.folder, self.earlier):
                if (found := written_shard(place, shard.name)) and found.of == of:
                    return self._kept(place, shard.name, found)
            return self._written(shard, name, of, facts)

    def digest_of(self, shard: Shard) -> str:
        """Return the hash of all that a shard is to hold, as its manifest has it."""
        return self._digest(shard, shard.facts(self.classes, self.folds))

    def _digest(self, shard: Shard, facts: list[dict[str, object]]) -> str:
        shows = [item.digest(self.options) for item in shard.items]
        what = json.dumps([self.options.format, list(self.classes), shows, facts])
        return hashlib.sha256(what.encode()).hexdigest()

    def _kept(self, place: Path, name: str, manifest: ShardManifest) -> ShardManifest:
        if place != self.folder:
            linked(place / manifest.shard, self.folder / manifest.shard)
            write_manifest(self.folder, name, manifest)
        return manifest

    def _written(
        self, shard: Shard, name: str, of: str, facts: list[dict[str, object]]
    ) -> ShardManifest:
        maker = PictureMaker(self.options)
        pictures: list[dict[str, str]] = []
        failed: dict[str, str] = {}
        classes: Counter[str] = Counter()
        licences: Counter[str] = Counter()
        say_where: list[str] = []
        with (
            whole_file(self.folder / name) as partial,
            open_shard(partial, self.options.format, list(self.classes), facts[0]) as put,
        ):
            for item, row in zip(shard.items, facts, strict=True):
                try:
                    made = maker.made(item)
                except Unreadable as error:
                    failed[item.path] = f"{error.reason}: {error.detail}"
                    continue
                row = row | {"sha256": sha256_of(made.data), "changes": made.changes}
                file = file_name(item)
                put(ShardRecord(file, made.data, row))
                if made.says_where:
                    say_where.append(file)
                pictures.append({"file": file} | {key: str(row[key]) for key in LICENCE})
                classes[str(item.sample.label)] += 1
                licences[item.origin.licence or "unknown"] += 1
        path = self.folder / name
        manifest = ShardManifest(
            name,
            shard.split,
            sha256_of_file(path),
            path.stat().st_size,
            of,
            dict(sorted(classes.items())),
            dict(sorted(licences.items())),
            pictures,
            failed,
            say_where,
        )
        write_manifest(self.folder, shard.name, manifest)
        return manifest


def file_name(item: ExportItem) -> str:
    """Return what a picture is called in a shard."""
    # Names end at their first dot here; the sample's key has none, and is nobody else's.
    copy = f"_{item.copy}" if item.copy else ""
    return f"{item.sample.key}{copy}.{item.path.rpartition('.')[2]}"


def write_manifest(folder: Path, name: str, manifest: ShardManifest) -> None:
    """Write the file that says that a shard is whole."""
    text = json.dumps(asdict(manifest), ensure_ascii=False, indent=1)
    write_atomic(folder / f"{name}.json", f"{text}\n".encode())


def read_manifest(folder: Path, name: str) -> ShardManifest | None:
    """Return the manifest of a shard; None where there is none of ours."""
    try:
        return ShardManifest(**json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def written_shard(folder: Path, name: str) -> ShardManifest | None:
    """Return the manifest of a shard that is whole, unchanged and lacks nothing, else None."""
    found = read_manifest(folder, name)
    if found is None or found.failed or found.shard not in {f"{name}{e}" for e in ENDINGS.values()}:
        return None
    try:
        return found if sha256_of_file(folder / found.shard) == found.sha256 else None
    except OSError:
        return None


ENDINGS: dict[Format, str] = {"webdataset": ".tar", "parquet": ".parquet"}
GROUP_ROWS, GROUP_BYTES = 100, 16_000_000
"""A row group of Parquet is closed at so many rows, or bytes of pictures: readers that stream hold
one in memory."""


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """One sample in a shard: the name of its picture there, the bytes of it, what is told."""

    file: str
    data: bytes
    facts: Mapping[str, object]


Put = Callable[[ShardRecord], None]


@contextmanager
def open_shard(
    path: Path, format_: Format, classes: Sequence[str], like: Mapping[str, object]
) -> Iterator[Put]:
    """What puts records into a new shard; `like` is told of one of them, for the columns."""
    opened = _tar(path) if format_ == "webdataset" else _parquet(path, classes, like)
    with opened as put:
        yield put


@contextmanager
def _tar(path: Path) -> Iterator[Put]:
    """For each record the picture, a `.json` and a `.cls`; equal records give equal bytes."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:

        def put(record: ShardRecord) -> None:
            stem, _, ending = record.file.partition(".")
            told = {key: value for key, value in record.facts.items() if key != "class"}
            members = {
                ending: record.data,
                "json": json.dumps(told, ensure_ascii=False).encode(),
                "cls": str(record.facts["class"]).encode(),
            }
            for extension, data in members.items():
                about = tarfile.TarInfo(f"{stem}.{extension}")
                about.size = len(data)
                tar.addfile(about, io.BytesIO(data))

        yield put


@contextmanager
def _parquet(path: Path, classes: Sequence[str], like: Mapping[str, object]) -> Iterator[Put]:
    """Rows with the picture itself; `label` is the number of the class, as `datasets` has it."""
    columns, said = table_columns(INSIDE, table_row(like, "sha256"), classes)
    rows: list[dict[str, object]] = []
    taken = 0
    with parquet_file(path, columns, said) as write:

        def put(record: ShardRecord) -> None:
            nonlocal taken
            image = {"bytes": record.data, "path": record.file}
            rows.append({"image": image} | table_row(record.facts))
            taken += len(record.data)
            if len(rows) == GROUP_ROWS or taken > GROUP_BYTES:
                write(rows)
                rows.clear()
                taken = 0

        yield put
        if rows:
            write(rows)


@dataclass(frozen=True, slots=True)
class BucketShardWriter:
    """Writes shards to `place`; picklable. One that is whole there is kept.

    A shard is sent first and its manifest last: with that it counts.
    """

    write: ShardWriter
    place: Bucket

    def __call__(self, shard: Shard) -> ShardManifest:
        """Return what is in the shard, once the server has it."""
        found = self._sent(shard.name)
        if found is not None and found.of == self.write.digest_of(shard):
            return found
        with TemporaryDirectory(prefix="gleanset-shard-") as folder:
            here = Path(folder)
            manifest = replace(self.write, folder=here, earlier=here / "none")(shard)
            self.place.put(manifest.shard, here / manifest.shard)
            self.place.put(f"{shard.name}.json", here / f"{shard.name}.json")
        return manifest

    def _sent(self, name: str) -> ShardManifest | None:
        """Return the manifest of a shard that is whole, unchanged and lacks nothing, else None."""
        try:
            data, _ = self.place.get(f"{name}.json")
            found = ShardManifest(**json.loads(data))
        except (OSError, ValueError, TypeError):
            return None
        facts = self.place.facts(found.shard)
        same = facts is not None and facts.sha256 == found.sha256
        return found if same and not found.failed else None

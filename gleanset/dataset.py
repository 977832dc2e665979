"""The dataset folder: its settings, catalogue and stored files."""

from __future__ import annotations

import html
import shlex
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from gleanset.db.classes import LabelClasses
from gleanset.db.connection import CATALOGUE, Connection, copy_catalogue, is_read_only
from gleanset.db.faces import WHOLE, Faces, Scans, Tracks
from gleanset.db.fetches import Fetches, Rejections, Videos
from gleanset.db.images import NO_SUMMARY, Images
from gleanset.db.journal import PERSON, Choice, Journal
from gleanset.db.maintenance import Maintenance
from gleanset.db.reports import Reports
from gleanset.db.runs import Runs
from gleanset.db.samples import Samples
from gleanset.db.snapshots import Snapshots
from gleanset.db.statistics import Statistics
from gleanset.errors import (
    FORGOTTEN,
    DatasetMissing,
    NotWritable,
    Unreadable,
    UsageError,
)
from gleanset.files.atomic import disk_errors
from gleanset.files.hub import HubFile, HubPin
from gleanset.files.store import Store, read_original
from gleanset.operations import make_operation
from gleanset.plugins import get_plugin_package
from gleanset.records import SPLITS, Measured, Origin, Sample
from gleanset.settings import (
    SETTINGS_FILE,
    PluginUse,
    Settings,
    append_tables,
    read_settings,
    write_settings,
)
from gleanset.work.stage import stage

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image


THUMBNAILS = "thumbs"
PIXELS = "pixels"
"""Folders in the cache: thumbnails, and decoded samples of trainings."""
MAX_PORTRAITS = 12
"""Images of a selection that a notebook shows."""

Condition = Callable[["DatasetSample"], bool]


class DatasetSample:
    """A sample of an open dataset: a `gleanset.Sample` with its image.

    It has all attributes of the record, such as `key`, `split`, `box` and `status`. Setting
    `label` is a decision of a person, which `labeler undo` takes back.
    """

    def __init__(self, dataset: Dataset, record: Sample):
        self._dataset = dataset
        self.record = record

    def __getattr__(self, name: str) -> Any:
        if name == "record":  # not yet set, as in a copy
            raise AttributeError(name)
        return getattr(self.record, name)

    def __repr__(self) -> str:
        record = self.record
        return f"<sample {record.key[:8]}: {record.label or record.status}>"

    @property
    def label(self) -> str | None:
        """The class of the sample; None if it has none."""
        return self.record.label

    @label.setter
    def label(self, name: str) -> None:
        key = self.record.key
        self._dataset.label([key], name)
        self.record = self._dataset[key].record

    @property
    def file(self) -> Path:
        """The file that shows the sample: the crop of a face, else the original."""
        record = self.record
        if record.detector != WHOLE:
            return self._dataset.crop_path(record.key)
        (sha256, kind, _) = self._dataset.samples.get_images([record.key])[record.key]
        return self._dataset.image_path(sha256, kind)

    def image(self) -> Image.Image:
        """Return the upright RGB pixels. Raises `Unreadable`."""
        return _read_pixels(self.file)


class SampleCollection(ABC):
    """Samples of a dataset, read from the catalogue each time they are used.

    Retired samples and those marked as duplicates are left out.
    """

    _conditions: tuple[Condition, ...] = ()

    @property
    @abstractmethod
    def _dataset(self) -> Dataset:
        """The dataset that has the samples."""

    def __iter__(self) -> Iterator[DatasetSample]:
        for record in self._dataset.samples.iter_by_key():
            sample = DatasetSample(self._dataset, record)
            is_in_use = record.kept and record.status != "retired"
            if is_in_use and all(is_met(sample) for is_met in self._conditions):
                yield sample

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        counts = Counter(sample.label or sample.status for sample in self)
        parts = [f"{count:,} {name}" for name, count in sorted(counts.items())]
        name = self._dataset.name
        return f"<{name}: {counts.total():,} samples ({', '.join(parts)})>"

    def _repr_html_(self) -> str:
        """Return the counts and the first images, which notebooks show."""
        # Slow to import, and needed by notebooks alone.
        from gleanset.images.data_uri import shrink

        private = self._dataset.images.list_report_only()
        portraits = []
        for sample in islice(self, MAX_PORTRAITS):
            if sample.record.image in private:
                continue
            # A file may be damaged or gone: `gleanset verify` reports it.
            with suppress(Unreadable):
                portrait = shrink(sample.image())
                title = html.escape(sample.label or sample.record.status)
                portraits.append(f'<img src="{portrait.src}" title="{title}">')
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{''.join(portraits)}"

    def select(
        self,
        *,
        label: str | None = None,
        split: str | None = None,
        source: str | None = None,
        where: Condition | None = None,
    ) -> SampleSelection:
        """Return the samples that meet all conditions, without reading them yet.

        `label` is a class by its current or a former name, `split` train, val or test, `source`
        a site or other source of the image, and `where` a function of a sample. Raises
        `UsageError` for an unknown class or split.
        """
        dataset = self._dataset
        conditions = list(self._conditions)
        if label is not None:
            dataset.classes.require_id(label)
            name = dataset.classes.resolve(label)
            conditions.append(lambda sample: sample.label == name)
        if split not in (None, *SPLITS):
            raise UsageError(
                f"there is no split {split!r}", f"use one of: {', '.join(SPLITS)}"
            )
        if split is not None:
            conditions.append(lambda sample: sample.record.split == split)
        if source is not None:
            images = dataset.images.list_from_source(source)
            conditions.append(lambda sample: sample.record.image in images)
        if where is not None:
            conditions.append(where)
        return SampleSelection(dataset, tuple(conditions))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the fields of each sample and of the origin of its image."""
        # A list of the collection itself would count it first, which reads it, too.
        samples = list(iter(self))
        origins = self._dataset.images.get_origins(
            {sample.record.image for sample in samples}
        )
        rows = []
        for sample in samples:
            fields = asdict(sample.record)
            box = fields.pop("box")
            origin = origins.get(sample.record.image, NO_SUMMARY)
            fields["phash"] = f"{sample.record.phash:016x}"
            fields.update(
                box._asdict(),
                **origin._asdict(),
                file=str(sample.file),
            )
            rows.append(fields)
        return rows

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with a row for each sample."""
        import pandas as pd

        rows = self.to_dicts()
        keys = [row.pop("key") for row in rows]
        return pd.DataFrame(rows, index=pd.Index(keys, name="key"))

    def to_hf(self) -> Any:
        """Return a `datasets.Dataset`, which decodes the column `image` when it is read."""
        # The folder of a clone has this name, too, and a checker of types would find that one.
        datasets: Any = import_module("datasets")

        rows = [{**row, "image": row["file"]} for row in self.to_dicts()]
        if not rows:
            return datasets.Dataset.from_list([])
        return datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())

    def to_torch(
        self, split: str, transform: Callable[[Image.Image], Any] | None = None
    ) -> TorchSamples:
        """Return the labelled samples of a split for a `DataLoader` of PyTorch."""
        samples = list(iter(self.select(split=split)))
        return TorchSamples(
            [sample.file for sample in samples],
            [sample.label or "" for sample in samples],
            self._dataset.classes.list_names(),
            transform,
        )


class SampleSelection(SampleCollection):
    """What `Dataset.select` returns."""

    def __init__(self, dataset: Dataset, conditions: tuple[Condition, ...]):
        self._selected_from = dataset
        self._conditions = conditions

    @property
    def _dataset(self) -> Dataset:
        return self._selected_from


@dataclass(frozen=True)
class TorchSamples:
    """Pairs of an image, after `transform`, and the number of its class in `classes`."""

    files: Sequence[Path]
    labels: Sequence[str]
    classes: Sequence[str]
    transform: Callable[[Image.Image], Any] | None = None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[Any, int]:
        image = _read_pixels(self.files[number])
        pixels = self.transform(image) if self.transform else image
        return pixels, self.classes.index(self.labels[number])


class Dataset(SampleCollection):
    """An open dataset folder. Use `Dataset.open` or `Dataset.create`, preferably in a `with`.

    >>> with Dataset.create("my-dataset") as dataset:
    ...     dataset.images.count()
    0
    """

    def __init__(self, root: Path, *, create: bool = False, temporary: bool = False):
        self.settings = read_settings(root)
        self.root = root
        self._temporary: TemporaryDirectory[str] | None = None
        folder = root
        # What is written goes into a copy of the catalogue, which ends with this object.
        if temporary:
            self._temporary = TemporaryDirectory(prefix="gleanset-")
            folder = Path(self._temporary.name)
            copy_catalogue(root / CATALOGUE, folder / CATALOGUE)

        self.cache = folder / "cache"
        self.db = Connection(folder / CATALOGUE, create=create)
        self.images = Images(self.db)
        self.faces = Faces(self.db)
        self.scans = Scans(self.db)
        self.tracks = Tracks(self.db)
        self.samples = Samples(self.db)
        self.classes = LabelClasses(self.db)
        self.journal = Journal(self.db)
        self.rejections = Rejections(self.db)
        self.fetches = Fetches(self.db)
        self.runs = Runs(self.db)
        self.reports = Reports(self.db)
        self.snapshots = Snapshots(root)
        self.videos = Videos(self.db)

    @classmethod
    def open(cls, root: Path | str, *, rehearse: bool = False) -> Dataset:
        """Open an existing dataset. Raises `DatasetMissing` and errors of the catalogue.

        With `rehearse`, a read-only dataset is opened with a temporary, writable copy of its
        catalogue and a temporary cache.
        """
        root = Path(root)
        check_dataset_exists(root)
        return cls(
            root,
            temporary=rehearse and is_read_only(root / CATALOGUE),
        )

    @property
    def option(self) -> str:
        """The command-line option for this dataset, quoted for a shell."""
        return f"-d {shlex.quote(str(self.root))}"

    @property
    def search_command(self) -> str:
        """The command that makes samples of new images, as of those before."""
        detectors = self.list_detectors()
        command = "facecrop run"
        # A dataset that used only whole images so far does not want faces.
        if detectors == {WHOLE}:
            command += f" --detector {WHOLE}"
        if detectors:
            command += " --new"
        return f"{command} {self.option}"

    def list_detectors(self) -> set[str | None]:
        """Return the detectors of samples; without any, those of searches."""
        detectors = {
            detector
            for status, detector in self.samples.count_by("status", "detector")
            if status != "retired"
        }
        if not detectors:
            detectors.update(
                search.detector for search in Statistics(self.db).list_searches()
            )
        return detectors

    @property
    def status_advice(self) -> str:
        """What an error advises if an earlier step is missing."""
        return f"see the next step: gleanset status {self.option}"

    @classmethod
    def create(cls, root: Path | str, settings: Settings | None = None) -> Dataset:
        """Create a dataset, or open an existing one with its settings.

        Raises `DatasetMissing` for one that lost its catalogue: a new one would hide that.
        """
        root = Path(root)
        try:
            with disk_errors(root):
                root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NotWritable(
                f"cannot create the folder {root}: {error.strerror}",
                "name another one with -d DIR",
            ) from error

        # Missing settings of an existing dataset are reported until somebody writes them.
        if (root / SETTINGS_FILE).is_file() and (root / "images").is_dir():
            check_dataset_exists(root)
        is_new = not (root / CATALOGUE).exists()
        if (is_new or settings) and not (root / SETTINGS_FILE).exists():
            write_settings(root, settings or Settings())
        return cls(root, create=True)

    @property
    def name(self) -> str:
        """The name in `dataset.toml`, or else that of the folder."""
        return self.settings.name or self.root.absolute().name

    @property
    def read_only(self) -> bool:
        """Whether this dataset cannot be written to."""
        return self.db.read_only

    @property
    def _dataset(self) -> Dataset:
        return self

    def __getitem__(self, key: str) -> DatasetSample:
        """Return the sample whose key begins with `key`. Raises `UsageError`."""
        record = self.samples.get(self.samples.resolve_key(key))
        assert record is not None
        return DatasetSample(self, record)

    def __bool__(self) -> bool:
        # By `__len__` a dataset without samples would be false.
        return True

    def label(self, keys: Collection[str], name: str) -> int:
        """Label samples as one decision of a person; return the step, which can be undone.

        An unknown class is created. The kept copies of duplicates are labelled, too, unless they
        were decided otherwise. Raises `UsageError` for an unknown sample.
        """
        # Not needed to open a dataset.
        from gleanset.decisions import apply_decisions

        label = self.classes.resolve(name)
        samples = list(dict.fromkeys(map(self.samples.resolve_key, keys)))
        choices = [
            Choice(key, "label", label, PERSON)
            for key in self.samples.add_undecided_copies(samples)
        ]
        return apply_decisions(
            self.db,
            make_operation("label-by-command", count=len(samples), label=label),
            choices,
        )

    def stage(self, name: str) -> AbstractContextManager[Path]:
        """Lock a stage and yield its scratch folder. Raises `NotWritable` and `DatasetBusy`."""
        self.db.check_writable()
        return stage(self.cache, name)

    def originals(self, scratch: Path | None = None) -> Store:
        """Return the store of originals; `scratch` (default: the cache) has files without a row."""
        return Store(self.root / "images", scratch or self.cache)

    def crops(self, scratch: Path | None = None) -> Store:
        """Return the store of crops, named by the keys of their samples."""
        return Store(self.root / "crops", scratch or self.cache)

    def report_images(self) -> Store:
        """Return the store of images in reports that are not accepted yet."""
        return Store(self.root / "web" / "reports", self.cache)

    @contextmanager
    def publishing(self, store: Store) -> Iterator[None]:
        """Group several `take_original` into one transaction and one folder sync."""
        with self.db.transaction(), store.sync_once():
            yield

    def take_original(self, store: Store, measured: Measured, origin: Origin) -> bool:
        """Publish a staged image with its row, atomically; True if new.

        A missing image becomes available again. Raises `Unreadable`, with the reason `FORGOTTEN`
        for a removed image, whose staged file is discarded, or if the staged file is gone.
        """
        sha256, kind = measured.sha256, measured.format
        with self.db.transaction():
            reason = self.images.get_tombstone(sha256)
            if reason is not None:
                store.discard(sha256, kind)
                raise Unreadable(FORGOTTEN, reason)

            # The file before its row: a row without a file must not exist.
            store.publish(sha256, kind, measured.bytes)
            return self.images.add(measured, origin)

    def remove_image(self, sha256: str, reason: str) -> None:
        """Remove an image's files, crops, cached pixels and rows; leave a tombstone."""
        maintenance = Maintenance(self.db)
        with self.db.transaction():
            self.originals().remove_files(sha256)
            # Thumbnails of the whole image are named by half of its hash.
            for key in (sha256[:32], *maintenance.list_sample_keys(sha256)):
                self.remove_crop(key)
            maintenance.forget(sha256, reason)

        # Its files have the pixels of many samples, and are made again.
        shutil.rmtree(self.cache / PIXELS, ignore_errors=True)

    def remove_crop(self, key: str) -> None:
        """Remove the crop of a sample, and its thumbnails."""
        self.crops().remove_files(key)
        Store(self.cache / THUMBNAILS, self.cache).remove_files(key)

    @property
    def runs_folder(self) -> Path:
        """The folder of training runs."""
        return self.root / "runs"

    def image_path(self, sha256: str, kind: str) -> Path:
        """Return the path of an original."""
        return self.originals().path(sha256, kind)

    def crop_path(self, key: str) -> Path:
        """Return the path of a sample's crop."""
        return self.crops().path(key, "JPEG")

    def pin_of(self, file: HubFile) -> HubPin:
        """Return a hub file's pin; without a revision, save it in `dataset.toml`."""
        pin = self.settings.pin_of(file)
        pins = self.settings.hub
        if not file.revision and file.key not in pins:
            addition = {file.key: msgspec.to_builtins(pin)}
            self._add_setting(
                "hub",
                addition,
                {**pins, file.key: pin},
            )
        return pin

    def note_plugin(self, kind: str, name: str) -> None:
        """Record package and version of a loaded plugin in `dataset.toml`."""
        plugin_use = PluginUse(
            kind=kind, name=name, made_by=get_plugin_package(kind, name)
        )
        plugin_uses = self.settings.plugin
        # Plugins of Gleanset itself have no package.
        if plugin_use.made_by and plugin_use not in plugin_uses:
            addition = [msgspec.to_builtins(plugin_use)]
            self._add_setting("plugin", addition, [*plugin_uses, plugin_use])

    def _add_setting(self, key: str, addition: object, value: object) -> None:
        """Append a table to `dataset.toml`; `value` is that of the setting with it."""
        # A rehearsal changes only its copy of the catalogue.
        if self.read_only or self._temporary:
            return
        append_tables(self.root, {key: addition})
        self.settings = msgspec.structs.replace(
            self.settings,
            **{key: value},
        )

    def close(self) -> None:
        """Close the catalogue."""
        self.db.close()
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_dataset_exists(root: Path) -> None:
    """Raise `DatasetMissing` if a folder is not a dataset."""
    with disk_errors(root):
        # The settings may be deleted: defaults replace them. Nothing replaces the catalogue.
        if (root / CATALOGUE).is_file():
            return

    if (root / SETTINGS_FILE).is_file():
        raise _catalogue_missing_error(root)
    raise DatasetMissing(
        f"there is no dataset in {root.absolute()}",
        "name its folder with -d DIR, or make one: gleanset init -d DIR",
    )


def _catalogue_missing_error(root: Path) -> DatasetMissing:
    catalogue = root / CATALOGUE
    snapshots = list((root / "snapshots").glob("*.sqlite"))
    if snapshots:
        latest = max(snapshots, key=lambda path: path.stat().st_mtime)
        # A log that is left would be applied to the copy.
        log = shlex.quote(f"{catalogue}-wal")
        command = shlex.join(["cp", str(latest), str(catalogue)])
        hint = f"copy the latest snapshot back: rm -f {log} && {command}"
    else:
        hint = "put a copy of it back, or begin a new dataset in another folder: -d DIR"
    return DatasetMissing(f"the catalogue is missing: {catalogue.absolute()}", hint)


def is_dataset(folder: Path) -> bool:
    """Return whether a folder is a dataset; False if unreadable."""
    try:
        return (folder / CATALOGUE).is_file()
    except OSError:
        return False


def has_dataset_file(folder: Path) -> bool:
    """Return whether a folder has the settings or the catalogue of a dataset."""
    return any((folder / name).exists() for name in (SETTINGS_FILE, CATALOGUE))


def _read_pixels(file: Path) -> Image.Image:
    from gleanset.images.decode import decode  # slow to import

    return decode(read_original(file)).pixels

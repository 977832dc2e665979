"""The dataset folder: its settings, catalogue and stored files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from gleanset.db.classes import LabelClasses
from gleanset.db.connection import CATALOGUE, Connection, copy_catalogue, is_read_only
from gleanset.db.faces import Faces, Scans
from gleanset.db.fetches import Fetches, Rejections, Videos
from gleanset.db.images import Images
from gleanset.db.journal import Journal
from gleanset.db.maintenance import Maintenance
from gleanset.db.runs import Runs
from gleanset.db.samples import Samples
from gleanset.errors import FORGOTTEN, DatasetMissing, NotWritable, Unreadable
from gleanset.files.atomic import disk_errors
from gleanset.files.hub import HubFile, HubPin
from gleanset.files.store import Store
from gleanset.plugins import get_plugin_package
from gleanset.records import Measured, Origin
from gleanset.settings import (
    SETTINGS_FILE,
    PluginUse,
    Settings,
    append_tables,
    read_settings,
    write_settings,
)
from gleanset.work.stage import stage


class Dataset:
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
        if temporary:
            self._temporary = TemporaryDirectory(prefix="gleanset-")
            folder = Path(self._temporary.name)
            copy_catalogue(root / CATALOGUE, folder / CATALOGUE)

        self.cache = folder / "cache"
        self.db = Connection(folder / CATALOGUE, create=create)
        self.images = Images(self.db)
        self.faces = Faces(self.db)
        self.scans = Scans(self.db)
        self.samples = Samples(self.db)
        self.classes = LabelClasses(self.db)
        self.journal = Journal(self.db)
        self.rejections = Rejections(self.db)
        self.fetches = Fetches(self.db)
        self.runs = Runs(self.db)
        self.videos = Videos(self.db)

    @classmethod
    def open(cls, root: Path | str, *, rehearse: bool = False) -> Dataset:
        """Open an existing dataset. Raises `DatasetMissing` and errors of the catalogue.

        With `rehearse`, a read-only dataset is opened with a temporary, writable copy of its
        catalogue and a temporary cache.
        """
        root = Path(root)
        check_dataset_exists(root)
        return cls(root, temporary=rehearse and is_read_only(root / CATALOGUE))

    @property
    def option(self) -> str:
        """The command-line option for this dataset, quoted for a shell."""
        return f"-d {shlex.quote(str(self.root))}"

    @property
    def status_advice(self) -> str:
        """What an error advises if an earlier step is missing."""
        return f"see the next step: gleanset status {self.option}"

    @classmethod
    def create(cls, root: Path | str, settings: Settings | None = None) -> Dataset:
        """Create a dataset, or open an existing one with its settings."""
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

    def stage(self, name: str) -> AbstractContextManager[Path]:
        """Lock a stage and yield its scratch folder. Raises `NotWritable` and `DatasetBusy`."""
        self.db.check_writable()
        return stage(self.cache, name)

    def originals(self, scratch: Path) -> Store:
        """Return the store of originals; `scratch` holds files without a row."""
        return Store(self.root / "images", scratch)

    def crops(self, scratch: Path) -> Store:
        """Return the store of crops, named by the keys of their samples."""
        return Store(self.root / "crops", scratch)

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
        """Remove an image's files, crops and rows; leave a tombstone."""
        maintenance = Maintenance(self.db)
        originals = self.originals(self.cache)
        with self.db.transaction():
            for key in maintenance.list_sample_keys(sha256):
                self.crop_path(key).unlink(missing_ok=True)
            for file in originals.find_files(sha256):
                file.unlink(missing_ok=True)
            maintenance.forget(sha256, reason)

    @property
    def runs_folder(self) -> Path:
        """The folder of training runs."""
        return self.root / "runs"

    def image_path(self, sha256: str, kind: str) -> Path:
        """Return the path of an original."""
        return self.originals(self.cache).path(sha256, kind)

    def crop_path(self, key: str) -> Path:
        """Return the path of a sample's crop."""
        return self.crops(self.cache).path(key, "JPEG")

    def pin_of(self, file: HubFile) -> HubPin:
        """Return a hub file's pin; without a revision, save it in `dataset.toml`."""
        pin = self.settings.pin_of(file)
        pins = self.settings.hub
        if not file.revision and file.key not in pins:
            addition = {file.key: msgspec.to_builtins(pin)}
            self._add_setting("hub", addition, {**pins, file.key: pin})
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
        if self.read_only or self._temporary:
            return
        append_tables(self.root, {key: addition})
        self.settings = msgspec.structs.replace(self.settings, **{key: value})

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
        if _has_catalogue(root):
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
        command = shlex.join(["cp", str(latest), str(catalogue)])
        hint = f"copy the latest snapshot back: {command}"
    else:
        hint = f"for an empty one: gleanset init -d {shlex.quote(str(root))}"
    return DatasetMissing(f"the catalogue is missing: {catalogue.absolute()}", hint)


def is_dataset(folder: Path) -> bool:
    """Return whether a folder is a dataset; False if unreadable."""
    try:
        return _has_catalogue(folder)
    except OSError:
        return False


def _has_catalogue(folder: Path) -> bool:
    # The settings may be deleted: defaults replace them. Nothing replaces the catalogue.
    return (folder / CATALOGUE).is_file()


def has_dataset_file(folder: Path) -> bool:
    """Return whether a folder has the settings or the catalogue of a dataset."""
    return any((folder / name).exists() for name in (SETTINGS_FILE, CATALOGUE))

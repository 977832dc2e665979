"""Importing images: the only way into a dataset.

Workers read or download, decode, measure and stage files. The importer, in the parent process,
publishes each file together with its rows, so that a run can be killed at any time and restarted.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from gleanset import Dataset
from gleanset.credit import NO_CREDIT, Credit
from gleanset.db.maintenance import Maintenance
from gleanset.db.samples import retract_disputed
from gleanset.errors import Unreadable
from gleanset.file_groups import FileGroups
from gleanset.files.store import Store
from gleanset.named_files import format_origin
from gleanset.records import Candidate, Measured, Origin, Rejection
from gleanset.work.pool import Outcome
from gleanset.work.progress import NO_PROGRESS, Progress
from harvest.redirects import (
    NOT_ASKED,
    NOTICE,
    RedirectedOutcome,
    RedirectTargets,
    make_target_key,
)
from harvest.results import (
    HarvestCounts,
    HarvestPreview,
    HarvestResult,
    is_temporary,
)

# Failures on our side: the next run tries the item again.
UNSETTLED_REASONS = frozenset(
    {"private address", "cannot be read", "internal error", NOT_ASKED}
)
_FILE_SOURCES = ("folder", "archive")
# What earlier runs know of an item.
VisitState = Literal["new", "failed", "known"]


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """How files are imported.

    With `hints` the class folder on `class_level` is the weak label, else `label`. `credit` and
    `groups` apply where a `sources.csv` and the file itself say nothing. `encoding`: of names and
    tables that are not UTF-8; None to guess it. The import appends to
    `rejected_files`, `opted_out_files`, `ignored_files` (archives, tables and videos) and
    `unmatched_rows` (rows of a `sources.csv` without a file). With `people` named faces in XMP are
    labelled. With `simulate` nothing is imported.
    """

    hints: bool = False
    class_level: int = 1
    label: str | None = None
    credit: Credit = NO_CREDIT
    groups: FileGroups | None = None
    encoding: str | None = None
    exclude: tuple[str, ...] = ()
    rejected_files: list[str] = field(default_factory=list)
    opted_out_files: list[str] = field(default_factory=list)
    ignored_files: list[str] = field(default_factory=list)
    unmatched_rows: list[str] = field(default_factory=list)
    workers: int = 0
    progress: Progress = NO_PROGRESS
    people: bool = False
    simulate: bool = False


class Importer:
    """Records the outcome of each candidate and counts it.

    Images were staged in `store`. `images` are sets that receive the hashes of all images met, for
    callers that stop at a number of them; importers may share it.
    """

    def __init__(
        self,
        dataset: Dataset,
        stage: str,
        store: Store,
        images: Sequence[set[str]] = (),
        options: ImportOptions | None = None,
        targets: RedirectTargets | None = None,
    ):
        self._targets = targets or RedirectTargets()
        self._dataset = dataset
        self._stage = stage
        self._store = store
        self._images = images
        self._options = options or ImportOptions()
        # Known images that got a weak label again or another one: `finish` checks their labels.
        self._hinted_images = set[str]()
        # Files that had another weak label before, with the hash of their image.
        self._replaced_hints: list[tuple[str, Origin]] = []
        self.tally = Counter(added=0, duplicate=0, known=0, rejected=0)
        self.reasons = Counter[str]()
        self.hints = Counter[str]()
        # Images that several addresses of a host gave, by host and hash.
        self._repeats = Counter[str]()

    def is_known(self, origin: Origin, stamp: str) -> bool:
        """Return whether an item is known; a known image gets the new origin as well."""
        return self.look_up(origin, stamp) == "known"

    def look_up(self, origin: Origin, stamp: str = "") -> VisitState:
        """Return what is known of an item; count a known one, and note its image.

        `stamp` changes with the item; without one an item stays the same.
        """
        fetch_state = self._get_fetch_state(origin, stamp)
        if fetch_state in (None, "unsettled"):
            return "new"
        if fetch_state == "failed":
            return "failed"

        is_forgotten = fetch_state == "rejected" and self._dataset.fetches.is_forgotten(
            origin.source, origin.key
        )
        self.tally["forgotten" if is_forgotten else "known"] += 1
        if fetch_state == "done":
            self.note_known(origin, stamp)
        return "known"

    def _get_fetch_state(self, origin: Origin, stamp: str) -> str | None:
        return self._dataset.fetches.get_state(origin.source, origin.key, stamp)

    def note_known(self, origin: Origin, stamp: str = "") -> None:
        """Note the image of a known item; without a stamp, it gets the new origin as well."""
        image = self._dataset.fetches.get_image(origin.source, origin.key)
        if not image:
            return

        # A file with an unchanged stamp has its origin already; adding it again would bring back a
        # weak label that was removed since.
        if not stamp:
            with self._dataset.db.transaction():
                if self._dataset.images.add_origin(image, origin):
                    self._note_hint(image, origin)
        self._note_replaced(image, origin)
        self._note_image(image, origin)

    def count_repeat(self, origin: Origin) -> None:
        """Count an item that this run has just visited."""
        if self.look_up(origin) != "known":
            self.tally["known"] += 1

    def record_download(self, outcome: Outcome[Candidate, Measured]) -> bool:
        """Record the outcome of a download; a failed candidate is kept for `harvest retry`.

        An address to which several different candidates are redirected is a notice of their host,
        such as "removed.png", and not an image.
        """
        candidate = outcome.item
        origin = candidate.origin
        if not outcome.result:
            return self.record(
                origin, outcome, candidate=json.dumps(msgspec.to_builtins(candidate))
            )
        if not isinstance(outcome, RedirectedOutcome):
            return self.record(origin, outcome)

        image = outcome.result.sha256
        target = outcome.final_url
        key = make_target_key(target, image)
        if self._targets.record_address(key, candidate.url):
            # A notice: drop the staged file, and undo the imports before it was known as one.
            self._store.discard(image, outcome.result.format)
            for undo in self._targets.imports.pop(key, []):
                undo()
            # An image that is also a file of the user, or that a person decided on, stays.
            if not Maintenance(self._dataset.db).is_own_or_decided(image):
                self._dataset.remove_image(
                    image,
                    f"{NOTICE}: {target}",
                )
            self._reject(origin, NOTICE, target)
            return False

        # Noted for the case that later redirects show this address to be a notice.
        added_before = self.tally["added"]
        is_imported = self.record(origin, outcome)
        if is_imported:
            was_new = self.tally["added"] > added_before
            undo = partial(self._retract, image, origin, target, was_new=was_new)
            self._targets.imports[key].append(undo)
        return is_imported

    def _retract(
        self, image: str, origin: Origin, target: str, *, was_new: bool
    ) -> None:
        """Reject an image that was imported before its address turned out to be a notice."""
        with self._dataset.db.transaction():
            self._dataset.images.remove_origin(image, origin)
            self._reject(origin, NOTICE, target)
        self.tally["added" if was_new else "duplicate"] -= 1
        self._hinted_images.discard(image)
        for images in self._images:
            images.discard(image)

    def record(
        self,
        origin: Origin,
        outcome: Outcome[Any, Measured],
        stamp: str = "",
        candidate: str | None = None,
    ) -> bool:
        """Record one outcome in one transaction; return whether an image was imported.

        `candidate` is kept with a failure, for another try.
        """
        try:
            measured = outcome.unwrap()
            is_new = self._publish(measured, origin, stamp)
        except Unreadable as error:
            self._reject(
                origin,
                error.reason,
                error.detail,
                stamp,
                candidate,
            )
            return False

        self.tally["added" if is_new else "duplicate"] += 1
        self._note_image(measured.sha256, origin)
        if not is_new:
            self._note_hint(measured.sha256, origin)
            self._note_replaced(measured.sha256, origin)
            # Different addresses of a host with the same image: see `maybe_placeholders`.
            if origin.url:
                repeat = f"{urlsplit(origin.url).hostname}: {measured.sha256[:12]}"
                self._repeats[repeat] += 1
                self._targets.record_address(repeat, origin.url)

        if self._options.hints and origin.hint is None:
            self.tally["without_hint"] += 1
        return True

    def _publish(self, measured: Measured, origin: Origin, stamp: str) -> bool:
        with self._dataset.db.transaction():
            is_new = self._dataset.take_original(self._store, measured, origin)
            if not is_new:
                self._dataset.images.update_credit(measured.sha256, origin)
            self._dataset.fetches.record(
                origin,
                "done",
                stamp,
                image=measured.sha256,
            )
            self._dataset.rejections.remove(self._stage, origin.key, origin.source)
        return is_new

    def _reject(
        self,
        origin: Origin,
        reason: str,
        detail: str,
        stamp: str = "",
        candidate: str | None = None,
    ) -> None:
        state = _choose_state(reason, is_download=origin.url is not None)
        name = format_origin(origin)
        is_member = origin.source == "archive"
        # The key of a member has a hash of its archive instead of the name.
        text = f"{name}: {detail}" if is_member else detail
        with self._dataset.db.transaction():
            self._dataset.rejections.add(
                Rejection(self._stage, origin.key, reason, text, origin.source)
            )
            if state:
                self._dataset.fetches.record(origin, state, stamp, candidate=candidate)

        if reason == NOT_ASKED:
            self.tally["not_asked"] += 1
            return
        self.tally["rejected"] += 1
        if reason == "unsupported format":
            reason += f" ({detail})"
        self.reasons[reason] += 1
        if origin.source in _FILE_SOURCES:
            files = self._options.rejected_files
            # The summary has room for a few: a damaged archive, whose key ends in ":", first.
            is_archive = is_member and origin.key.endswith(":")
            index = 0 if is_archive else len(files)
            files.insert(index, f"{name}: {reason}")

    def _note_image(self, image: str, origin: Origin) -> None:
        for images in self._images:
            images.add(image)
        if self._options.groups:
            self._options.groups.note(origin)
        if self._options.hints and origin.hint is not None:
            self.hints[origin.hint] += 1

    def _note_hint(self, image: str, origin: Origin) -> None:
        if origin.hint is not None:
            self._hinted_images.add(image)

    def _note_replaced(self, image: str, origin: Origin) -> None:
        is_file = origin.source in _FILE_SOURCES
        if is_file and self._dataset.images.has_other_hint(image, origin):
            self._hinted_images.add(image)
            self._replaced_hints.append((image, origin))

    def finish(self) -> None:
        """Retract labels accepted from weak labels that this run contradicts.

        Then remove the weak label that another folder gave the same file before.
        """
        label_count = retract_disputed(self._dataset.db, self._hinted_images)
        if label_count:
            self.tally["taken_back"] = label_count
        self._hinted_images.clear()

        # The earlier hint is stored without the folder that it came from, so it is known by its
        # name: that of a folder above the file.
        with self._dataset.db.transaction():
            for image, origin in self._replaced_hints:
                self._dataset.images.remove_hints(
                    image, origin, _list_possible_hints(origin)
                )
        self._replaced_hints.clear()

    def result(self) -> HarvestCounts:
        """Return the counts of this run."""
        return HarvestResult(added=0, duplicate=0, known=0, rejected=0).with_facts(
            {**self.tally, **self._details()}
        )

    def _details(self) -> dict[str, dict[str, int]]:
        return {
            "reasons": dict(self.reasons.most_common()),
            "hints": dict(self.hints.most_common()),
            # Many addresses of a host that give one image: maybe a notice, such as "removed.png",
            # but also an image that was posted again and again.
            "maybe_placeholders": {
                repeat: number
                for repeat, number in self._repeats.most_common()
                if self._targets.is_repeated(repeat)
            },
        }


class SimulatedImporter(Importer):
    """Importer of `--simulate`: lists what is new, as if all of it were images; changes nothing."""

    def __init__(
        self,
        dataset: Dataset,
        images: Sequence[set[str]] = (),
        options: ImportOptions | None = None,
    ):
        # Nothing is written: the stage has no name, and the store is never used.
        super().__init__(
            dataset,
            "",
            dataset.originals(),
            images,
            options,
        )
        self.paths: list[str] = []
        self.tally = Counter(candidates=0)

    def is_known_file(self, origin: Origin, stamp: str, content_stamp: str) -> bool:
        """Return whether a file is known, or was imported with another label, group or credit.

        `stamp` identifies content, label, group and credit, `content_stamp` the content alone.
        """
        if self.is_known(origin, stamp):
            return True
        image = self._dataset.fetches.get_image(
            origin.source, origin.key, content_stamp
        )
        if not image:
            return False
        self.tally["duplicate"] += 1
        self.note_known(origin)
        return True

    def _get_fetch_state(self, origin: Origin, stamp: str) -> str | None:
        # An address that this simulation has listed counts as imported.
        if self._images and origin.url in self._images[0]:
            return "done"
        return super()._get_fetch_state(origin, stamp)

    def record_download(self, outcome: Outcome[Candidate, Measured]) -> bool:
        """List the address of a candidate."""
        self.add(outcome.item.url, outcome.item.origin)
        return True

    def add(self, path: str, origin: Origin) -> None:
        """List and count a new item."""
        self.tally["candidates"] += 1
        self.paths.append(path)
        self.note_known(origin)

    def note_known(self, origin: Origin, stamp: str = "") -> None:
        """Note an item that is in the dataset, or that the simulation has listed.

        Its address or path stands for the image, whose hash is not known before a download.
        """
        self._note_image(origin.url or origin.key, origin)
        if self._options.hints and origin.hint is None:
            self.hints["none"] += 1

    def finish(self) -> None:
        """Do nothing: no label was changed."""

    def result(self) -> HarvestCounts:
        """Return the candidates."""
        return HarvestPreview(candidates=0, paths=self.paths).with_facts(
            {**self.tally, **self._details()}
        )


def _list_possible_hints(origin: Origin) -> set[str]:
    """Return the weak labels that a folder above a file, or its archive, may have given it."""
    path = PurePath(origin.path or "")
    names = {*path.parts, path.name.partition(".")[0]}
    if origin.source == "archive":
        _, _, member = origin.key.partition(":")
        names.update(PurePath(member).parts)
    return {unicodedata.normalize("NFC", name) for name in names}


def _choose_state(reason: str, *, is_download: bool) -> str | None:
    """Return the state to record for a rejected item; None for no record.

    `unsettled` items are tried again in each run, `failed` ones if images are missing or by
    `harvest retry`, `rejected` ones never.
    """
    if reason in UNSETTLED_REASONS:
        return "unsettled" if is_download else None
    if is_download and is_temporary(reason):
        return "failed"
    return "rejected"

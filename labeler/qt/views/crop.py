"""Images without a face, or any: draw a box, and it is a sample at once.

A box that was moved with keys is saved when the keys rest; one that was drawn or dragged, when
the button is let go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, QRectF, Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QComboBox, QLineEdit

from gleanset.errors import GleansetError, UsageError
from labeler.cropping.session import (
    ALL,
    MISSED,
    Drawn,
    ImageBoxes,
    images,
    in_use,
    put,
    sheet,
    take_away,
)
from labeler.qt.crop.boxes import BoxDraft, brought_up_to_date
from labeler.qt.crop.canvas import CropCanvas, CropCommand
from labeler.qt.images import ImageLoader
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import em
from labeler.qt.views.base import LabelerView, ViewContext
from labeler.qt.views.notices import (
    DetectionState,
    EmptyNotice,
    no_faces,
    no_matching_image,
    no_missed_images,
)
from labeler.qt.widgets import HEAD, beside, hint_label, pile, timer, title_label
from labeler.sorting.session import NO_STEP, SortingSession, StepKind, StepResult


class CropSaving(QObject):
    """Hands the boxes of a canvas to the worker. `read` (ImageBoxes): after a change."""

    read = Signal(object)

    def __init__(self, worker: SessionWorker, canvas: CropCanvas) -> None:
        super().__init__()
        self._worker, self._canvas = worker, canvas
        self._keys: dict[int, str] = {}
        self._newest: dict[int, str] = {}  # the same, on the worker's thread
        self._under_way: Counter[int] = Counter()
        self._leaving: set[int] = set()

    def save(self, sha256: str) -> None:
        """Keep every box that was changed, but for the one under the mouse."""
        for box in self._canvas.boxes:
            if box.changed and box.id != self._canvas.held:
                sent = replace(box, sent=box.place)
                self._canvas.replace_box(sent)
                self._put(sha256, sent)

    def _put(self, sha256: str, draft: BoxDraft) -> None:
        drawn: list[Drawn] = []

        def work(session: SortingSession) -> StepResult:
            box, angle = draft.place
            drawn.append(put(session.dataset, sha256, box, angle, self._sample_of(draft)))
            self._newest[draft.id] = drawn[-1].key
            return session.adopt(drawn[-1].step, 1)

        def then(done: StepResult) -> None:
            self._rested(draft)
            self._keys[draft.id] = drawn[-1].key

        def failed(error: GleansetError) -> None:
            self._rested(draft)
            self._give_up(draft)
            self._worker.show_message(str(error), bad=True)

        self._under_way[draft.id] += 1
        self._decide(sha256, work, then, failed)

    def take_away(self, sha256: str, draft: BoxDraft) -> None:
        def work(session: SortingSession) -> StepResult:
            key = self._sample_of(draft)
            if key is None:  # it could not be saved before
                return NO_STEP
            return session.adopt(take_away(session.dataset, key).step, 1)

        def failed(error: GleansetError) -> None:
            self._leaving.discard(draft.id)
            self._worker.show_message(str(error), bad=True)

        self._leaving.add(draft.id)
        self._decide(sha256, work, lambda done: self._leaving.discard(draft.id), failed)

    def label(self, sha256: str, draft: BoxDraft, target: str) -> None:
        def work(session: SortingSession) -> StepResult:
            key = self._sample_of(draft)
            if key is None:
                raise UsageError("a box that was not saved has no class", "draw it anew")
            key = in_use(session.dataset, key).key
            return session.to(list(session.tiles.rows_of([key]).values()), target)

        self._decide(sha256, work, None, None, of=[target])

    def _decide(
        self,
        sha256: str,
        work: Callable[[SortingSession], StepResult],
        then: Callable[[StepResult], None] | None,
        failed: Callable[[GleansetError], None] | None,
        of: Sequence[str] = (),
    ) -> None:
        self._worker.decide(work, then, failed, of)
        self._worker.ask(lambda session: sheet(session.dataset, sha256), self.read.emit)

    def _sample_of(self, draft: BoxDraft) -> str | None:
        return self._newest.get(draft.id, draft.kept.key if draft.kept else None)

    def _rested(self, draft: BoxDraft) -> None:
        self._under_way[draft.id] -= 1
        self._under_way += Counter()  # without those that are zero

    def _give_up(self, draft: BoxDraft) -> None:
        """Put a box that could not be saved back where it was, unless it was moved since."""
        boxes = self._canvas.boxes
        if not any(box.id == draft.id and box.place == draft.place for box in boxes):
            return
        if draft.kept is None:
            self._canvas.renew([box for box in boxes if box.id != draft.id])
        else:
            self._canvas.replace_box(replace(BoxDraft.of(draft.kept), id=draft.id))

    def bring_up_to_date(self, kept: ImageBoxes) -> None:
        """Show the boxes as they are kept now; what a person is at stays."""
        leaving = {self._keys.get(number) for number in self._leaving}
        staying = [box for box in kept.boxes if box.key not in leaving]
        busy = {*self._under_way, self._canvas.held}
        self._canvas.renew(brought_up_to_date(self._canvas.boxes, staying, self._keys, busy))


REST_MS, TYPING_MS = 700, 300


class CropView(LabelerView):
    """One image after another: PgDn and PgUp turn, Enter saves and turns."""

    shows_details = False

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.canvas, self.title = CropCanvas(self.worker), title_label()
        self.which, self.text = QComboBox(), QLineEdit(clearButtonEnabled=True)
        self._images: list[str] = []
        self._at = 0
        self._sheet: ImageBoxes | None = None
        self._goal = ""
        self._later: Callable[[], None] | None = None
        self._saving = CropSaving(self.worker, self.canvas)
        self._loader = ImageLoader(self.worker)
        self._rest = timer(self, self.save, REST_MS)
        self._typing = timer(self, self.reload, TYPING_MS)
        self._lay_out()
        self._connect()
        self.empty = EmptyNotice(self.canvas)
        self.home = self.canvas

    def _lay_out(self) -> None:
        self.which.addItem(self.tr("No face detected"), MISSED)
        self.which.addItem(self.tr("All images"), ALL)
        self.which.setAccessibleName(self.tr("Images to show"))
        self.text.setPlaceholderText(self.tr("Image name or hash"))
        self.text.setAccessibleName(self.tr("Image name or hash"))
        self.text.setMinimumWidth(em(self, 14))
        hint = hint_label(
            self.tr(
                "Drag: new box · arrows: move 1 px (Shift: 10, Ctrl: resize) · [ "
                "]: rotate · N: new · Del: delete · class key: label · Enter, "
                "PgDn: next image"
            )
        )
        head = beside(self.title, self.which, self.text, grows=self.title, margins=HEAD)
        pile(self, head, self.canvas, hint, grows=self.canvas)

    def _connect(self) -> None:
        self.canvas.edited.connect(self.save)
        self.canvas.rested.connect(self._go_on)
        self.canvas.nudged.connect(self._rest.start)
        self.canvas.chosen.connect(self.save)
        self.canvas.commanded.connect(self._commanded)
        self.canvas.keyed.connect(self._keyed)
        self.which.currentIndexChanged.connect(self.reload)
        self.text.textChanged.connect(self._typing.start)
        self._loader.loaded.connect(self._loaded)
        self._saving.read.connect(self._read)
        self.worker.changed_outside.connect(self._again)
        self.worker.stepped.connect(self._stepped)

    # -- images

    def enter(self) -> None:
        self.reload()
        self.focus_home()

    def reload(self) -> None:
        which, text = self.which.currentData(), self.text.text()
        which = ALL if text.strip() else which
        self.worker.ask(lambda session: images(session.dataset, which, text), self._listed)

    def _listed(self, images_there: list[str]) -> None:
        self._images = images_there
        self.turn_to(images_there.index(self._goal) if self._goal in images_there else 0)

    def turn_to(self, place: int) -> None:
        """Show an image of the list; not while a button is held."""
        if self.canvas.busy:
            self._later = lambda: self.turn_to(place)
            return
        self.save()
        if not self._images:
            self._sheet, self._goal = None, ""
            self.canvas.show_boxes([], -1)
            self.canvas.show_image(QImage(), (1, 1))
            self.title.setText(self.which.currentText())
            self._explain()
            return
        self.empty.show_notice(None)
        self._at = min(max(place, 0), len(self._images) - 1)
        self._ask(self._images[self._at])

    def _explain(self) -> None:
        if self.text.text().strip():
            self.empty.show_notice(no_matching_image(self.text.clear))
        else:
            self.worker.ask(
                lambda session: DetectionState.from_dataset(session.dataset), self._no_images
            )

    def _no_images(self, search: DetectionState) -> None:
        if self._images:
            return
        every = no_missed_images(self, lambda: self.which.setCurrentIndex(1))
        self.empty.show_notice(every if search.images else no_faces(self, search))

    def _go_on(self) -> None:
        later, self._later = self._later, None
        if later is not None:
            later()

    def _ask(self, sha256: str) -> None:
        self._goal = sha256
        self.worker.ask(lambda session: sheet(session.dataset, sha256), self._read)

    def _again(self) -> None:
        if self._sheet is not None and self._goal == self._sheet.sha256 and self.isVisible():
            self._ask(self._goal)

    def _read(self, sheet_now: ImageBoxes) -> None:
        """An image as it is now; nothing where another one was asked for since."""
        if sheet_now.sha256 != self._goal:
            return
        if self._sheet is not None and self._sheet.sha256 == sheet_now.sha256:
            self._sheet = sheet_now
            self._saving.bring_up_to_date(sheet_now)
            self._say()
        elif self.canvas.busy:
            self._later = lambda: self._read(sheet_now)
        else:
            self._open(sheet_now)

    def _open(self, opened: ImageBoxes) -> None:
        self.save()  # what was drawn on the image before this one
        self._sheet = opened
        self.canvas.show_image(QImage(), (opened.width, opened.height), "…")
        self._loader.ask(opened.path)
        self.canvas.show_boxes([], -1)
        self._saving.bring_up_to_date(opened)
        self.canvas.choose(min(0, len(self.canvas.boxes) - 1))
        self._say()

    def _say(self) -> None:
        shown, text = self._sheet, self.tr("{number} of {count}  ·  {name}  ·  {width} x {height}")
        assert shown is not None
        number, count = f"{self._at + 1:,}", f"{len(self._images):,}"
        size = {"width": shown.width, "height": shown.height}
        self.title.setText(text.format(number=number, count=count, name=shown.title, **size))

    def _loaded(self, path: Path, image: QImage | str) -> None:
        if self._sheet is not None and path == self._sheet.path:
            shown, words = (QImage(), image) if isinstance(image, str) else (image, "")
            self.canvas.show_image(shown, (self._sheet.width, self._sheet.height), words)

    def is_settled(self) -> bool:
        return super().is_settled() and not self._loader.busy

    def flush(self) -> None:
        self.save()

    def key_state(self) -> Hashable:
        canvas = self.canvas
        if self._sheet is None:
            return self._goal  # a notice covers the rest
        boxes = tuple((box.box, box.angle) for box in canvas.boxes)
        across, down = canvas.horizontalScrollBar().value(), canvas.verticalScrollBar().value()
        return self._goal, canvas.current, boxes, canvas.transform().m11(), across, down

    # -- boxes

    def save(self) -> None:
        self._rest.stop()
        if self._sheet is not None:
            self._saving.save(self._sheet.sha256)

    def undo(self) -> bool:
        """Save a box that was just moved first: that is what is taken back."""
        self.save()
        return False

    def _stepped(self, done: StepResult) -> None:
        if done.kind is not StepKind.STEP:
            self._again()

    def _commanded(self, command: CropCommand) -> None:
        if command is CropCommand.NEXT_PAGE:
            self.turn_to(self._at + 1)
        elif command is CropCommand.PREVIOUS_PAGE:
            self.turn_to(self._at - 1)
        elif command is CropCommand.NEW:
            self._new()
        elif command is CropCommand.LEAVE:
            self.canvas.choose(-1)
        elif self.canvas.current < 0:
            self.worker.show_message(self.tr("Select a box first: click it or press Tab"))
        else:
            self._delete()

    def _new(self) -> None:
        if self._sheet is not None and not self.canvas.image.isNull():
            width, height = self._sheet.width, self._sheet.height
            side = max(16, min(width, height) // 4)
            rect = QRectF((width - side) // 2, (height - side) // 2, side, side)
            draft = BoxDraft(rect).kept_within(width, height)
            self.canvas.show_boxes([*self.canvas.boxes, draft], len(self.canvas.boxes))

    def _delete(self) -> None:
        gone = self.canvas.boxes[self.canvas.current]
        self.canvas.remove_current(self.canvas.current)
        if gone.sent is not None and self._sheet is not None:
            self._saving.take_away(self._sheet.sha256, gone)

    def _keyed(self, key: str) -> None:
        target = self.worker.class_for_key(key)
        if target is None or not self.send(target):
            self.worker.show_message(self.tr("Select a saved box first, then press a class key"))

    def send(self, target: str) -> bool:
        if self.canvas.current < 0 or self.canvas.busy or self._sheet is None:
            return False
        self.save()
        self._saving.label(self._sheet.sha256, self.canvas.boxes[self.canvas.current], target)
        return True

"""Images without a face, or any: draw a box, and it is a sample at once.

A box that was moved with keys is saved when the keys rest; one that was drawn or dragged, when
the button is let go.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from PySide6.QtCore import QRectF, QTimer
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QLineEdit, QSizePolicy, QVBoxLayout

from gleanset.files.store import PictureFile
from labeler.cropping.session import ALL, MISSED, ImageBoxes, images, sheet
from labeler.qt.classes.keys import awaited_words
from labeler.qt.crop.boxes import BoxDraft
from labeler.qt.crop.canvas import CropCanvas, CropCommand
from labeler.qt.crop.saving import CropSaving
from labeler.qt.pictures import PictureLoader
from labeler.qt.theme import em
from labeler.qt.views.base import LabelerView, ViewContext
from labeler.qt.views.empty import EmptyNotice
from labeler.qt.views.notices import no_faces, no_missed_images, no_such_image
from labeler.sorting.session import StepKind, StepResult

REST_MS, TYPING_MS = 700, 300


class CropView(LabelerView):
    """One image after another: PgDn and PgUp turn, Enter saves and turns."""

    shows_details = False

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.worker = context.worker
        self.canvas, self.title, self.hint = CropCanvas(), QLabel(), QLabel()
        self.which, self.text = QComboBox(), QLineEdit()
        self._images: list[str] = []
        self._at = 0
        self._sheet: ImageBoxes | None = None
        self._goal = ""
        self._later: Callable[[], None] | None = None
        self._saving = CropSaving(self.worker, self.canvas)
        self._loader = PictureLoader(self.worker)
        self._rest, self._typing = QTimer(self), QTimer(self)
        for timer, then, pause in (
            (self._rest, self.save, REST_MS),
            (self._typing, self.reload, TYPING_MS),
        ):
            timer.setSingleShot(True)
            timer.setInterval(pause)
            timer.timeout.connect(then)
        self._lay_out()
        self._connect()
        self.empty = EmptyNotice(self.canvas)
        self.home = self.canvas

    def _lay_out(self) -> None:
        self.which.addItem(self.tr("No face found"), MISSED)
        self.which.addItem(self.tr("All images"), ALL)
        self.which.setAccessibleName(self.tr("Which images"))
        self.text.setPlaceholderText(self.tr("Name or hash of an image"))
        self.text.setAccessibleName(self.tr("Name or hash of an image"))
        self.text.setClearButtonEnabled(True)
        self.text.setMinimumWidth(em(self, 14))
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.hint.setMargin(6)
        self.hint.setWordWrap(True)
        self.hint.setText(
            self.tr(
                "Drag: a new box · arrows: 1 pixel, Shift 10, Ctrl: size · [ ]: level · N: new · "
                "Del: take away · R: as it was · a class key: its class · Enter, PgDn: next image"
            )
        )
        row, column = QHBoxLayout(), QVBoxLayout(self)
        row.setContentsMargins(6, 4, 6, 4)
        for part, share in ((self.title, 1), (self.which, 0), (self.text, 0)):
            row.addWidget(part, share)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(row)
        column.addWidget(self.canvas, 1)
        column.addWidget(self.hint)

    def _connect(self) -> None:
        self.canvas.edited.connect(self.save)
        self.canvas.rested.connect(self._go_on)
        self.canvas.nudged.connect(self._rest.start)
        self.canvas.chosen.connect(self.save)
        self.canvas.commanded.connect(self._commanded)
        self.canvas.keyed.connect(self._keyed)
        self.canvas.codes.awaited.connect(self._awaited)
        self.which.currentIndexChanged.connect(self.reload)
        self.text.textChanged.connect(self._typing.start)
        self._loader.loaded.connect(self._loaded)
        self._saving.read.connect(self._read)
        self.worker.outside.connect(self._again)
        self.worker.stepped.connect(self._stepped)

    # -- images

    def enter(self) -> None:
        """Read which images there are; the one that was shown stays."""
        self.reload()
        self.take_focus()

    def reload(self) -> None:
        """Ask for the images."""
        which, text = self.which.currentData(), self.text.text()
        which = ALL if text.strip() else which
        self.worker.ask(lambda session: images(session.dataset, which, text), self._found)

    def _found(self, found: list[str]) -> None:
        self._images = found
        self.turn_to(found.index(self._goal) if self._goal in found else 0)

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
        """Say what to do next where there is no image to be shown."""
        if self.text.text().strip():
            self.empty.show_notice(no_such_image(self.text.clear))
        else:
            self.worker.ask(lambda session: session.dataset.images.count(), self._no_images)

    def _no_images(self, count: int) -> None:
        if self._images:
            return
        every = no_missed_images(self, lambda: self.which.setCurrentIndex(1))
        self.empty.show_notice(every if count else no_faces(self, 0))

    def _go_on(self) -> None:
        """The button was let go: what waited for that."""
        later, self._later = self._later, None
        if later is not None:
            later()

    def _ask(self, sha256: str) -> None:
        self._goal = sha256
        self.worker.ask(lambda session: sheet(session.dataset, sha256), self._read)

    def _again(self) -> None:
        if self._sheet is not None and self._goal == self._sheet.sha256 and self.isVisible():
            self._ask(self._goal)

    def _read(self, found: ImageBoxes) -> None:
        """An image as it is now; nothing where another one was asked for since."""
        if found.sha256 != self._goal:
            return
        if self._sheet is not None and self._sheet.sha256 == found.sha256:
            self._sheet = found
            self._saving.bring_up_to_date(found)
            self._say()
        elif self.canvas.busy:
            self._later = lambda: self._read(found)
        else:
            self._open(found)

    def _open(self, found: ImageBoxes) -> None:
        self.save()  # what was drawn on the image before this one
        self._sheet = found
        self.canvas.show_image(QImage(), (found.width, found.height), "…")
        self._loader.ask(found.path)
        self.canvas.show_boxes([], -1)
        self._saving.bring_up_to_date(found)
        self.canvas.choose(min(0, len(self.canvas.boxes) - 1))
        self._say()

    def _say(self) -> None:
        found = self._sheet
        assert found is not None
        self.title.setText(
            self.tr("{number} of {count}  ·  {name}  ·  {width} x {height}").format(
                number=f"{self._at + 1:,}",
                count=f"{len(self._images):,}",
                name=found.title,
                width=found.width,
                height=found.height,
            )
        )

    def _loaded(self, path: PictureFile, image: QImage | str) -> None:
        if self._sheet is not None and path == self._sheet.path:
            shown, words = (QImage(), image) if isinstance(image, str) else (image, "")
            self.canvas.show_image(shown, (self._sheet.width, self._sheet.height), words)

    def settled(self) -> bool:
        """Return False until the image is there."""
        return super().settled() and not self._loader.busy

    def flush(self) -> None:
        """Save what was moved."""
        self.save()

    def looks(self) -> Hashable:
        """Return the image, its boxes, and what is seen of it."""
        canvas = self.canvas
        if self._sheet is None:
            return self._goal  # a notice covers the rest
        boxes = tuple((box.box, box.angle) for box in canvas.boxes)
        across, down = canvas.horizontalScrollBar().value(), canvas.verticalScrollBar().value()
        return self._goal, canvas.current, boxes, canvas.transform().m11(), across, down

    # -- boxes

    def save(self) -> None:
        """Keep what was drawn or moved."""
        self._rest.stop()
        if self._sheet is not None:
            self._saving.save(self._sheet.sha256)

    def undo(self) -> bool:
        """Save a box that was just moved first: that is what is taken back."""
        self.save()
        return False

    def _stepped(self, done: StepResult) -> None:
        """An undo or a redo shows on the boxes."""
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
            self.worker.say(self.tr("Choose a box first: click it, or press Tab"))
        elif command is CropCommand.DELETE:
            self._delete()
        else:
            box = self.canvas.boxes[self.canvas.current]
            self.canvas.replace_box(self._saving.as_it_was(box))
            self._rest.start()

    def _new(self) -> None:
        """Make a box in the middle, for the keyboard."""
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

    def _awaited(self, first: str) -> None:
        self.worker.say(awaited_words(first, self.worker.last.keys if self.worker.last else {}))

    def _keyed(self, key: str) -> None:
        keys = self.worker.last.keys if self.worker.last else {}
        target = next((name for name, its in keys.items() if its == key), None)
        if target is None or not self.send(target):
            self.worker.say(self.tr("Choose a saved box first, and the key of a class"))

    def send(self, target: str) -> bool:
        """Give the current box a class."""
        if self.canvas.current < 0 or self.canvas.busy or self._sheet is None:
            return False
        self.save()
        self._saving.label(self._sheet.sha256, self.canvas.boxes[self.canvas.current], target)
        return True

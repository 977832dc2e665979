"""The crop view: draw and edit boxes on images; each box is a sample.

A box is saved when the mouse button is released, or shortly after the last key that moved it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QComboBox, QLineEdit

from gleanset.errors import UsageError
from labeler.cropping import (
    ALL,
    MISSED,
    NO_IMAGE,
    ImageBoxes,
    get_box,
    list_images,
    load_image,
    put_box,
    remove_box,
)
from labeler.qt.crop_canvas import BoxDraft, CropCanvas, CropCommand
from labeler.qt.images import LoadedImage, load
from labeler.qt.theme import em
from labeler.qt.translations import tr
from labeler.qt.views.base import (
    EmptyNotice,
    LabelerView,
    NextStep,
    Notice,
    ViewContext,
    get_detection_state,
)
from labeler.qt.widgets import HEAD, KeyHints, TitleLabel, row_layout, set_column, timer
from labeler.sorting.session import NO_STEP, SortingSession, StepKind, StepResult

SAVE_DELAY_MS = 700
TYPING_MS = 300


class CropView(LabelerView):
    """Boxes of one image after another: PgDn, PgUp and Enter turn to another image."""

    shows_details = False

    def __init__(self, context: ViewContext):
        super().__init__(context)
        self.canvas = CropCanvas(self.worker)
        self.title = TitleLabel()
        self.selection_box = QComboBox()
        self.text = QLineEdit(clearButtonEnabled=True)
        self._images: list[str] = []
        self._index = 0
        self._sheet = NO_IMAGE
        self._requested = ""
        self._late_act: Callable[[], None] = lambda: None
        """What waits until the mouse button is released."""
        self._keys: dict[int, str] = {}
        """The samples that boxes (by id) became, written on the worker's thread."""
        self._pending_changes: Counter[str] = Counter()
        """Changes without an answer yet, by image."""
        self._loader = self.worker.create_task()
        self._save_timer = timer(self, self.save, SAVE_DELAY_MS)
        self._typing = timer(self, self.enter, TYPING_MS)
        self._lay_out()
        self._connect()
        self.empty = EmptyNotice(self.canvas)
        self.home = self.canvas

    def _lay_out(self) -> None:
        self.selection_box.addItem(tr("Without a box"), MISSED)
        self.selection_box.addItem(tr("All images"), ALL)
        self.selection_box.setAccessibleName(tr("Images to show"))
        self.text.setPlaceholderText(tr("Image name or hash"))
        self.text.setAccessibleName(tr("Image name or hash"))
        self.text.setMinimumWidth(em(self, 14))
        self.hints = KeyHints(
            tr(
                "Drag: new box · arrows: move 1 px (Shift: 10, Ctrl: resize) · N: new · "
                "Del: delete · class key: label · Enter, PgDn: next image"
            )
        )

        head = row_layout(
            self.title, self.selection_box, self.text, grows=self.title, margins=HEAD
        )
        set_column(
            self,
            head,
            self.canvas,
            self.hints,
            grows=self.canvas,
        )

    def _connect(self) -> None:
        self.canvas.edited.connect(self.save)
        self.canvas.gesture_ended.connect(self._run_late_act)
        self.canvas.nudged.connect(self._save_timer.start)
        self.canvas.commanded.connect(self._on_command)
        self.canvas.keyed.connect(self._on_key)
        self.selection_box.currentIndexChanged.connect(self.enter)
        self.text.textChanged.connect(self._typing.start)
        self._loader.done.connect(self._on_loaded)
        self.worker.changed_outside.connect(self._reload_image)
        self.worker.stepped.connect(self._step_finished)

    def enter(self) -> None:
        text = self.text.text()
        selection = ALL if text.strip() else self.selection_box.currentData()
        self.worker.ask(
            lambda session: list_images(session.dataset, selection, text),
            self._show_list,
        )

    def _show_list(self, hashes: list[str]) -> None:
        self._images = hashes
        self.turn_to(hashes.index(self._requested) if self._requested in hashes else 0)

    def turn_to(self, index: int) -> None:
        """Show an image of the list, once no mouse button is held."""
        if self.canvas.busy:
            self._late_act = lambda: self.turn_to(index)
            return
        self.save()
        self.hints.setVisible(bool(self._images))
        if not self._images:
            self._sheet = NO_IMAGE
            self._requested = ""
            self.canvas.show_boxes([], -1)
            self.canvas.show_image(QImage(), (1, 1))
            self.title.setText(self.selection_box.currentText())
            self._show_notice()
            return

        self.empty.show_notice(None)
        self._index = min(max(index, 0), len(self._images) - 1)
        self._requested = self._images[self._index]
        self._ask(self._requested)

    def _show_notice(self) -> None:
        if self.text.text().strip():
            self.empty.show_notice(
                Notice(
                    tr("No matching image"),
                    steps=(NextStep(tr("Clear search"), self.text.clear),),
                )
            )
        else:
            self.worker.ask(get_detection_state, self._show_detection_notice)

    def _show_detection_notice(self, state: tuple[int, bool]) -> None:
        # `state` is the answer of `get_detection_state`. Another list may be shown by now.
        if self._images:
            return
        show_all = NextStep(
            tr("Show all images"), lambda: self.selection_box.setCurrentIndex(1)
        )
        notice = Notice(
            tr("Every image has a box"),
            tr("Boxes can be drawn on any image."),
            (show_all, self.detect_faces(tr("Detect faces in new images"))),
        )

        self.empty.show_notice(notice if state[0] else self.no_faces(*state))

    def _run_late_act(self) -> None:
        act = self._late_act
        self._late_act = lambda: None
        act()

    def _ask(self, sha256: str) -> None:
        self.worker.ask(
            lambda session: load_image(session.dataset, sha256), self._show_sheet
        )

    def _reload_image(self) -> None:
        if self._requested == self._sheet.sha256 != "" and self.isVisible():
            self._ask(self._requested)

    def _show_sheet(self, boxes: ImageBoxes) -> None:
        if boxes.sha256 != self._requested:
            return  # another image was requested since
        if self._sheet.sha256 == boxes.sha256:
            self._sheet = boxes
            self._show_saved(boxes)
            self._show_title()
        elif self.canvas.busy:
            self._late_act = lambda: self._show_sheet(boxes)
        else:
            self._open(boxes)

    def _open(self, opened: ImageBoxes) -> None:
        self.save()  # of the previous image
        self._sheet = opened
        self.canvas.show_image(
            QImage(),
            (opened.width, opened.height),
            "…",
        )
        self._loader.start(lambda dataset, task: load(opened.path))
        self.canvas.show_boxes(
            [BoxDraft.from_sample(box) for box in opened.boxes],
            0,  # the first box is the current one
        )
        self._show_title()

    def _show_title(self) -> None:
        sheet = self._sheet
        self.title.setText(
            tr(
                "{number} of {count}  ·  {name}  ·  {width} x {height}",
                number=f"{self._index + 1:,}",
                count=len(self._images),
                name=sheet.title,
                width=sheet.width,
                height=sheet.height,
            )
        )

    def _on_loaded(self, loaded: LoadedImage) -> None:
        path, image = loaded
        if path == self._sheet.path:
            size = (self._sheet.width, self._sheet.height)
            if isinstance(image, str):
                self.canvas.show_image(QImage(), size, image)
            else:
                self.canvas.show_image(image, size)

    def flush(self) -> None:
        self.save()

    def save(self) -> None:
        """Save all changed boxes, except one that the mouse holds."""
        self._save_timer.stop()
        sha256 = self._sheet.sha256
        for box in self.canvas.boxes:
            if box.is_unsent and box.id != self.canvas.mouse_box:
                sent = replace(box, sent=box.place)
                self.canvas.replace_box(sent)
                self._decide(
                    sha256,
                    partial(self._put, sha256, sent),
                )

    def _decide(
        self,
        sha256: str,
        work: Callable[[SortingSession], StepResult],
        classes: Sequence[str] = (),
    ) -> None:
        # Called with the step, or with nothing if the change was refused.
        def note_answer(*step: StepResult) -> None:
            self._pending_changes[sha256] -= 1

        self._pending_changes[sha256] += 1
        self.worker.decide(work, note_answer, note_answer, classes)
        self._ask(sha256)

    def _put(self, sha256: str, draft: BoxDraft, session: SortingSession) -> StepResult:
        edit = put_box(
            session.dataset,
            sha256,
            *draft.place,
            self._sample_of(draft),
        )
        self._keys[draft.id] = edit.key
        return session.adopt(edit.step)

    def _remove(self, draft: BoxDraft, session: SortingSession) -> StepResult:
        key = self._sample_of(draft)
        if key is None:  # it was never saved
            return NO_STEP
        return session.adopt(remove_box(session.dataset, key).step)

    def _label(
        self, draft: BoxDraft, target: str, session: SortingSession
    ) -> StepResult:
        key = self._sample_of(draft)
        if key is None:
            raise UsageError("the box was not saved", "draw it again")
        # A sample is named by its box, which may have been moved since.
        key = get_box(session.dataset, key).key
        return session.decide(
            list(session.tiles.get_ids([key]).values()),
            target,
        )

    def _sample_of(self, draft: BoxDraft) -> str | None:
        return self._keys.get(
            draft.id,
            draft.sample.key if draft.sample else None,
        )

    def _show_saved(self, saved: ImageBoxes) -> None:
        """Show the saved boxes; those that were edited since, or are held, stay as they are."""
        if self._pending_changes[saved.sha256]:
            return  # the image is read again after each of them
        drafts = self.canvas.boxes
        shown_boxes = list[BoxDraft]()
        edited = {
            box.id for box in drafts if box.is_unsent or box.id == self.canvas.mouse_box
        }
        drafts_by_key = {self._sample_of(draft): draft for draft in drafts}
        for sample in saved.boxes:
            box = BoxDraft.from_sample(sample)
            draft = drafts_by_key.get(sample.key)
            if draft is not None and draft.id in edited:
                box = replace(draft, sample=sample)
            elif draft is not None:
                box = replace(box, id=draft.id)

            shown_boxes.append(box)

        # Boxes without a sample: new ones, and those whose sample was deleted meanwhile.
        new_boxes = edited - {box.id for box in shown_boxes}
        shown_boxes += [
            replace(box, sample=None) for box in drafts if box.id in new_boxes
        ]
        self.canvas.update_boxes(shown_boxes)

    def take_back(self, kind: StepKind) -> None:
        """Save a box that was just moved first: that is what is taken back."""
        self.save()
        super().take_back(kind)

    def _step_finished(self, step: StepResult) -> None:
        if step.kind is not StepKind.STEP:
            self._reload_image()

    def _on_command(self, command: CropCommand) -> None:
        step = {CropCommand.NEXT_PAGE: 1, CropCommand.PREVIOUS_PAGE: -1}.get(command, 0)
        # Without any image, this is the answer to every command.
        if not 0 <= self._index + step < len(self._images):
            self.worker.show_message(tr("No other image"))
        elif step:
            self.turn_to(self._index + step)
        elif command is CropCommand.NEW:
            self._new()
        elif command is CropCommand.LEAVE and self.canvas.current >= 0:
            self.canvas.choose(-1)
        elif self.canvas.current < 0:
            self.worker.show_message(tr("Select a box first: click it or press Tab"))
        else:
            self._delete()

    def _new(self) -> None:
        if not self.canvas.image.isNull():
            width, height = self._sheet.width, self._sheet.height
            # A square in the middle, to be moved by keys.
            side = max(16, min(width, height) // 4)
            rect = QRectF(
                (width - side) // 2,
                (height - side) // 2,
                side,
                side,
            )
            self.canvas.show_boxes(
                [*self.canvas.boxes, BoxDraft(rect).clamp_to(width, height)],
                len(self.canvas.boxes),
            )

    def _delete(self) -> None:
        deleted = self.canvas.boxes[self.canvas.current]
        self.canvas.remove_current(self.canvas.current)
        # A box that was never sent exists on the canvas only.
        if deleted.sent is not None:
            self._decide(
                self._sheet.sha256,
                partial(self._remove, deleted),
            )

    def _on_key(self, key: str) -> None:
        if (target := self.worker.class_for_key(key)) is not None and not self.send(
            target
        ):
            self.worker.show_message(
                tr("Select a saved box first, then press a class key")
            )

    def send(self, target: str) -> bool:
        if self.canvas.current < 0 or self.canvas.busy:
            return False
        self.save()  # a box becomes a sample before that is labelled
        self._decide(
            self._sheet.sha256,
            partial(self._label, self.canvas.boxes[self.canvas.current], target),
            [target],
        )
        return True

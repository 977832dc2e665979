"""Base class of the views, their context, the list of all views, and notices of empty views."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import NamedTuple

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import (
    QAbstractScrollArea,
    QFrame,
    QPushButton,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from gleanset.db.sorting import LabelCounts
from gleanset.installation import bundled_data
from gleanset.work.stage import is_running
from labeler.qt.file_import import BackgroundImport, FileDropHandler
from labeler.qt.images import DetailPanel, ThumbnailLoader
from labeler.qt.session_worker import EmbeddingTask, SessionWorker
from labeler.qt.theme import SPACE_L, SPACE_M, SPACE_S, em
from labeler.qt.translations import tr
from labeler.qt.widgets import (
    announce,
    button,
    column_layout,
    keep_focus,
    plain_label,
    row_layout,
)
from labeler.sorting.import_plan import DroppedPaths, import_commands
from labeler.sorting.session import Place, SortingSession, StepKind


class ViewContext(NamedTuple):
    """What every view gets from its window, and can ask of it."""

    worker: SessionWorker
    thumbs: ThumbnailLoader
    details: DetailPanel
    embedding_task: EmbeddingTask
    imports: BackgroundImport
    drops: FileDropHandler
    show_place: Callable[[str], object]
    """Show a class, or a place such as `:later`, in the grid."""
    show_view: Callable[[str], object]


class NextStep(NamedTuple):
    """A button with its action."""

    text: str
    do: Callable[[], object]


class Notice(NamedTuple):
    """Why a view is empty, and what to do next, the most likely first; or several ways to begin."""

    title: str
    text: str = ""
    steps: tuple[NextStep, ...] = ()
    cards: tuple["Notice", ...] = ()
    counts: LabelCounts | None = None
    """The numbers that it is about."""


class OpenWork(NamedTuple):
    """Labels to review (None: not known), images without a box, whether duplicates may be left."""

    doubtful: int | None = None
    faceless: int = 0
    copies: bool = True


def get_detection_state(session: SortingSession) -> tuple[int, bool]:
    """Return the number of images, and whether a process detects faces in them now."""
    dataset = session.dataset
    return dataset.images.count(), is_running(dataset.cache, "facecrop")


class LabelerView(QWidget):
    """One view in the middle of the window; keys act in its widget `home`.

    The window calls `enter` when the view is shown and `send` for drops on and choices in the class
    list.
    """

    changed = Signal()
    """What is shown, or what an undo reverts, has changed."""

    current_place = ""
    """The class or place that is shown; '' for none."""

    shows_details = True
    """Whether the details panel is shown next to the view."""

    def __init__(self, context: ViewContext):
        super().__init__()
        self.context = context
        self.worker = context.worker
        self.home: QWidget = self

    def enter(self) -> None:
        """Read what the view shows."""

    def open_place(self, place: str) -> bool:
        """Show a class, or a place such as `:later`; return False if the view cannot."""
        return False

    def set_current_place(self, place: str) -> None:
        self.current_place = place
        self.changed.emit()

    def send(self, target: str) -> bool:
        """Send the selected faces, or the one pointed at, to a class or place."""
        return False

    def acts(self, key: str) -> bool:
        """Return whether a key of the class list acts here."""
        return bool(key)

    def take_back(self, kind: StepKind) -> None:
        """Undo or redo the last step, or a change of the view that is newer."""
        self.worker.take_back(kind)

    def undo_name(self) -> str:
        """Return the change that an undo reverts before the last step; '' for none."""
        return ""

    def last_step(self) -> int:
        """Return the step (by its root) that an undo would revert; 0 for none."""
        step = self.worker.progress.undo if self.worker.progress else None
        return step.root if step else 0

    def focus_home(self) -> None:
        self.home.setFocus()

    def freeze_targets(self, frozen: bool) -> None:
        """Keep pointing at the same faces while a name is typed for them."""

    def flush(self) -> None:
        """Pass unsaved changes to the worker."""

    # -- what an empty view offers

    def to_view(self, name: str, text: str) -> NextStep:
        """Return a step that shows another view."""
        return NextStep(text, lambda: self.context.show_view(name))

    def to_queue(self) -> NextStep:
        """Return a step that shows the unsorted faces."""
        return NextStep(
            tr("Go to unsorted faces"),
            lambda: self.context.show_place(Place.QUEUE.target),
        )

    def to_pages(self) -> NextStep:
        """Return a step that shows the class pages."""
        return self.to_view("pages", tr("Go to class pages"))

    def no_faces(self, image_count: int, is_detecting: bool) -> Notice:
        """Return the notice of a dataset without samples, in this state of the detection."""
        if self.context.imports.running or is_detecting:
            is_whole = self.context.imports.whole_images
            return Notice(
                tr("Preparing images…" if is_whole else "Detecting faces…"),
                tr("They appear here, one after the other."),
            )

        if not image_count:
            return self._first_steps()
        return Notice(
            tr("No faces detected yet"),
            tr("{count} images are in the dataset.", count=image_count),
            (
                self.detect_faces(tr("Detect faces")),
                self.to_view("crop", tr("Draw boxes manually")),
            ),
        )

    def detect_faces(self, text: str) -> NextStep:
        """Return a step that detects faces in new images."""
        return NextStep(
            text, lambda: self.context.imports.run_command("facecrop", "run", "--new")
        )

    def _first_steps(self) -> Notice:
        drops = self.context.drops
        sample = DroppedPaths(folders=(bundled_data() / "sample" / "pictures",))
        try_sample = partial(
            self.context.imports.start, import_commands(self.worker.root, sample)
        )
        return Notice(
            tr("No faces yet"),
            tr(
                "Add images. Similar faces are put together: you type who it is, once for each."
            ),
            (NextStep(tr("Try it with the sample images"), try_sample),),
            (
                Notice(
                    tr("Drop a folder"),
                    tr(
                        "Anywhere in this window. Your files are never moved or changed."
                    ),
                    (NextStep(tr("Folder…"), drops.choose_folder),),
                ),
                Notice(
                    tr("Search a site"),
                    tr(
                        "Type the name of a character or a thing. The images appear here."
                    ),
                    (NextStep(tr("Search…"), drops.search),),
                ),
                Notice(
                    tr("Open an episode"),
                    tr(
                        "Faces are followed through each shot, so that each is named once."
                    ),
                    (NextStep(tr("Video…"), drops.choose_videos),),
                ),
            ),
        )

    def all_sorted(self, counts: LabelCounts, work: OpenWork | None = None) -> Notice:
        """Return the notice when no face is unsorted: what follows, the most useful first."""
        doubtful, faceless, copies = work or OpenWork()
        texts = [tr("Everything is sorted.")]
        steps = [self.find_duplicates()] if copies else []
        if doubtful:
            texts.append(tr("{count} labels look doubtful.", count=doubtful))
        elif doubtful == 0:  # None is not known yet: say nothing
            texts.append(tr("No label looks doubtful."))

        number = f" ({doubtful:,})" if doubtful else ""
        steps.insert(
            0 if doubtful else len(steps),
            self.to_view("review", tr("Review labels") + number),
        )
        if faceless:
            texts.append(tr("{count} images have no face.", count=faceless))
            steps.append(self.to_view("crop", tr("Draw boxes manually")))
        if counts.later:
            unsure_step = NextStep(
                tr("Show faces you were not sure of: {count}", count=counts.later),
                partial(self.context.show_place, Place.LATER.target),
            )
            steps.insert(0, unsure_step)
        return Notice(
            self._describe_work(counts),
            " ".join(texts),
            tuple(steps),
            self._last_steps(),
            counts,
        )

    def _describe_work(self, counts: LabelCounts) -> str:
        person_count = sum(row.count > 0 for row in counts.classes)
        progress = self.worker.progress
        return tr(
            "{done}, {people}, {steps}",
            done=tr("{count} faces", count=counts.total - counts.later),
            people=tr(
                "1 person" if person_count == 1 else "{count} people",
                count=person_count,
            ),
            steps=tr("{count} steps", count=progress.step_count if progress else 0),
        )

    def _last_steps(self) -> tuple[Notice, ...]:
        """Return what to do with a sorted set, each with its button."""
        run = self.context.imports.run_command
        split = partial(run, "labeler", "split")

        def run_split(*words: str) -> None:
            # Images that have a split keep it.
            split()
            run(*words)

        export = partial(run_split, "labeler", "export")
        train = partial(run_split, "baseline", "train", "--preset", "transfer")
        return (
            Notice(
                tr("Split"),
                tr("Train, val and test. Similar images stay together."),
                (NextStep(tr("Split"), split),),
            ),
            Notice(
                tr("Export"),
                tr("A folder for each class, which other tools read."),
                (NextStep(tr("Export"), export),),
            ),
            Notice(
                tr("Train"),
                tr("A model that names new images, and a report of its errors."),
                (NextStep(tr("Train"), train),),
            ),
        )

    def find_duplicates(self) -> NextStep:
        """Return a step that compares new images next to the window, then shows duplicates."""

        def find() -> None:
            self.context.imports.run_command("labeler", "dedup", "--simulate")
            self.context.show_view("duplicates")

        return NextStep(tr("Find duplicates"), find)

    def next_steps(self, *, copies: bool = True) -> list[NextStep]:
        """Return steps to unsorted faces, or those that follow when all are sorted.

        Without `copies` finding duplicates is none of them.
        """
        counts = self.worker.counts
        if counts is not None and counts.total and not counts.pending:
            export = self.to_view("statistics", tr("Split and export"))
            return [self.find_duplicates(), export] if copies else [export]
        return [self.to_pages(), self.to_queue()]

    def empty_place(self, name: str) -> Notice:
        """Return the notice of a class or place without faces."""
        return Notice(
            tr("No faces of {name}", name=name),
            tr("Point at a face and press the key of this row, or drag faces onto it."),
            (self.to_queue(), self.to_pages()),
        )

    def empty_wall(self, wall: str) -> Notice:
        """Return the notice of an empty list of the review."""
        run = self.context.imports.run_command
        searches = {
            "label-issues": NextStep(
                tr("Find label issues"), partial(run, "baseline", "label-issues")
            ),
            "flags": NextStep(
                tr("Find quality issues"), partial(run, "labeler", "quality")
            ),
        }

        first_steps = [searches[wall]] if wall in searches else []
        return Notice(
            tr("Nothing to review in this list"),
            tr("Choose another list above, or continue:"),
            (*first_steps, *self.next_steps()),
        )


class ViewKind(NamedTuple):
    """A view: its name on the command line, title, key and class (`module:name`).

    The module is imported when the view is first shown.
    """

    name: str
    title: str
    key: str
    view: str

    def load(self) -> type[LabelerView]:
        """Import the class, which takes longer than making the view."""
        module, _, name = self.view.partition(":")
        view: type[LabelerView] = getattr(
            import_module(f"labeler.qt.views.{module}"), name
        )
        return view


VIEWS: tuple[ViewKind, ...] = (
    ViewKind("grid", "Grid", "F2", "grid:GridView"),
    ViewKind("pages", "Class pages", "G", "class_pages:ClassPagesView"),
    ViewKind("duplicates", "Duplicates", "F3", "duplicates:DuplicatesView"),
    ViewKind("crop", "Crop", "F4", "crop:CropView"),
    ViewKind("review", "Review", "F5", "review:ReviewView"),
    ViewKind("statistics", "Statistics", "F6", "statistics:StatisticsView"),
)


class ViewTabs(QTabBar):
    """One tab for each view, with its key in the tooltip."""

    def __init__(self) -> None:
        super().__init__(expanding=False, drawBase=False, usesScrollButtons=False)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(tr("Views"))
        for kind in VIEWS:
            number = self.addTab(tr(kind.title))
            self.setTabToolTip(
                number,
                f"{tr(kind.title)}  {kind.key}",
            )


WIDTH_EM = 34


class EmptyNotice(QWidget):
    """Covers an empty view; the view below keeps the keys."""

    def __init__(self, below: QAbstractScrollArea):
        super().__init__(below.viewport())
        self._below = below
        self._bars = below.verticalScrollBarPolicy()
        self.notice: Notice | None = None
        self._actions: QWidget | None = None
        self.title = plain_label(style="title")
        self.text = plain_label()
        self._column = QVBoxLayout()
        below.viewport().setLayout(column_layout(self, margins=(SPACE_S,) * 4))
        layout = QVBoxLayout(self)
        layout.addStretch(2)
        layout.addLayout(row_layout(None, self._column, None))
        layout.addStretch(3)
        self._column.setSpacing(em(self, 0.6))
        for label in (self.title, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            label.setFixedWidth(em(self, WIDTH_EM))
            self._column.addWidget(label, 0, Qt.AlignmentFlag.AlignHCenter)

        self.setAutoFillBackground(True)
        self.setBackgroundRole(QPalette.ColorRole.Window)
        self.hide()

    def show_notice(self, notice: Notice | None) -> None:
        self.setVisible(notice is not None)
        bars = (
            Qt.ScrollBarPolicy.ScrollBarAlwaysOff if notice is not None else self._bars
        )
        self._below.setVerticalScrollBarPolicy(bars)
        before = self.notice or Notice("")
        self.notice = notice
        # The buttons of the same notice stay, with the focus that one may have.
        if notice is None or (notice[:2] == before[:2] and before.steps):
            return
        self.title.setText(notice.title)
        self.text.setText(notice.text)
        self.text.setFixedHeight(max(0, self.text.heightForWidth(self.text.width())))
        self.text.setVisible(bool(notice.text))
        self._add_widgets(notice)
        self.raise_()
        announce(self, f"{notice.title} {notice.text}")

    def _add_widgets(self, notice: Notice) -> None:
        if self._actions is not None:
            self._actions.setParent(None)
            self._actions.deleteLater()
        cards = row_layout(
            None, *map(self._card, notice.cards), None, margins=(0, SPACE_M, 0, SPACE_M)
        )
        # The most likely step stands out.
        buttons = (
            button(step.text, step.do, primary=step is notice.steps[0])
            for step in notice.steps
        )
        self._actions = QWidget()
        self._actions.setLayout(column_layout(cards, row_layout(None, *buttons, None)))
        self._column.addWidget(self._actions)
        keep_focus(self)
        before: QWidget = self._below  # in the order of Tab, they follow the view
        for push_button in self._actions.findChildren(QPushButton):
            QWidget.setTabOrder(before, push_button)
            before = push_button

    def _card(self, card: Notice) -> QWidget:
        frame = QFrame()
        title = plain_label(card.title, "heading")
        text = plain_label(card.text)
        frame.setObjectName("card")
        buttons = (button(*step) for step in card.steps)
        frame.setLayout(
            column_layout(title, text, None, *buttons, margins=(SPACE_L,) * 4)
        )
        return frame

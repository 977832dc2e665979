"""Commands that run next to the window, most of them imports: dialogs, and progress.

Files that are dropped on a class get it as a weak label. The dialog of files shows what `harvest
folder --simulate` reports.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import chain
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFrame,
    QLabel,
    QLayout,
    QLineEdit,
    QMenu,
    QProgressBar,
    QRadioButton,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QWidget,
)

from gleanset.db.faces import WHOLE
from gleanset.files.names import VIDEO_EXTENSIONS
from gleanset.named_files import shorten_list
from gleanset.tree import ARCHIVE, NOT_AN_IMAGE, PACKED
from labeler.qt.commands import (
    CommandEnd,
    CommandQueue,
    CommandStage,
    command_title,
    last_error,
)
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import SPACE_L, SPACE_M
from labeler.qt.translations import Words, singular, tr, translate_split_warning
from labeler.qt.widgets import (
    announce,
    button,
    choose_paths,
    column_layout,
    form_layout,
    plain_label,
    row_layout,
    timer,
)
from labeler.sorting.import_plan import (
    CommandFacts,
    DroppedPaths,
    SimulatedImport,
    import_commands,
    search_commands,
    sort_paths,
)

READING_MS = (
    6000  # a result stays so long at least; then it goes with the next decision
)


class ImportState(StrEnum):
    """State of the commands."""

    IDLE = "idle"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    DONE = "done"


class BackgroundImport(QObject):
    """Imports dropped files and detects faces, by commands that run next to the window.

    `changed` is emitted when the state or the progress changes, `images_added` when there may be
    new faces. `stage` is the last reported stage, `results` are those of the commands that ended,
    `errors` holds the error of each failed one. Interrupted commands resume where they stopped.
    """

    changed = Signal()
    images_added = Signal()

    def __init__(self, worker: SessionWorker):
        super().__init__(worker)
        self._worker = worker
        self.queue = CommandQueue(self)
        self._reset()
        self.queue.staged.connect(self._show_stage)
        self.queue.ended.connect(self._on_command_end)
        self.queue.emptied.connect(self._finish)
        self._reading = timer(self, lambda: None, READING_MS)
        worker.stepped.connect(self._dismiss_if_read)
        running = tr("a command is running")
        worker.unfinished_checks.append(lambda: running if self.running else "")

    def _reset(self) -> None:
        self.state = ImportState.IDLE
        self.stage = CommandStage("")
        self.results: list[CommandFacts] = []
        self.errors: list[str] = []
        self.commands: list[list[str]] = []

    @property
    def running(self) -> bool:
        return self.queue.running

    @property
    def whole_images(self) -> bool:
        """Whether each image becomes a tile as it is."""
        return any(WHOLE in words for words in self.commands)

    @property
    def root(self) -> Path:
        return self._worker.root.absolute()

    def run_command(self, *words: str) -> None:
        """Run a command on the dataset, such as `facecrop run --new`."""
        self.start([[*words, "-d", str(self.root)]])

    def start(self, commands: list[list[str]]) -> None:
        """Start commands, or queue them behind the running ones."""
        if not self.running:
            self._reset()
        self.commands += commands
        self._run(commands)

    def _run(self, commands: Iterable[list[str]]) -> None:
        self.state = ImportState.RUNNING
        self.queue.add(commands)
        self.changed.emit()

    def stop(self) -> None:
        """Stop at once; images imported so far are kept."""
        self.queue.stop()
        self.state = ImportState.STOPPED
        self.changed.emit()
        self.images_added.emit()

    def resume(self) -> None:
        self.errors = []
        self.stage = CommandStage("")
        self._run(self.commands)

    def dismiss(self) -> None:
        self._reset()
        self.changed.emit()

    def _show_stage(self, stage: CommandStage) -> None:
        self.stage = stage
        self.changed.emit()

    def _on_command_end(self, words: list[str], end: CommandEnd) -> None:
        # `words`, the command, come with the signal; all results are handled in the same way.
        self.stage = CommandStage("")
        self.results.append(end.facts)
        error = last_error(end.error_output) if end.code else ""
        if end.facts.no_results:
            error = tr("The site finds nothing for these words")
        if error:
            self.errors.append(error)
        self.images_added.emit()

    def _finish(self) -> None:
        self.state = ImportState.FAILED if self.errors else ImportState.DONE
        self._reading.start()
        self.changed.emit()

    def _dismiss_if_read(self) -> None:
        has_problems = any(facts.unreadable or facts.warnings for facts in self.results)
        keeps = has_problems or self._reading.isActive()
        if self.state is ImportState.DONE and not keeps:
            self.dismiss()


class ImportBar(QFrame):
    """Progress and result of an import, below the class list, where it moves no face."""

    def __init__(self, imports: BackgroundImport):
        super().__init__()
        self._import = imports
        self.text = plain_label()
        self.bar = QProgressBar()
        self.stop = button(tr("Stop"), imports.stop)
        self.resume_button = button("", imports.resume)
        self.close_button = button(tr("Close"), imports.dismiss)
        self.setObjectName("card")
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred
        )
        self.bar.setAccessibleName(tr("Import progress"))
        self.buttons = (self.resume_button, self.stop, self.close_button)
        buttons = row_layout(*self.buttons, None)
        self.setLayout(
            column_layout(self.text, self.bar, buttons, margins=(SPACE_M,) * 4)
        )
        imports.changed.connect(self.show_state)
        self._announced_state = ImportState.IDLE
        self.show_state()

    def show_state(self) -> None:
        state = self._import.state
        stage = self._import.stage
        running = state is ImportState.RUNNING
        stopped = state is ImportState.STOPPED
        self.setVisible(state is not ImportState.IDLE)
        self.bar.setVisible(running)
        self.stop.setVisible(running)
        self.resume_button.setVisible(stopped or state is ImportState.FAILED)
        self.resume_button.setText(tr("Resume" if stopped else "Retry"))
        self.close_button.setVisible(not running)
        self.text.setText(
            self._progress_text() if running else self._result_text(state)
        )
        # Without a known total, the range 0 to 0 makes it a busy indicator.
        self.bar.setRange(0, round(stage.total or 0))
        self.bar.setValue(round(stage.done))
        if not running and state is not self._announced_state:
            announce(self, self.text.text())
        self._announced_state = state

    def _progress_text(self) -> str:
        stage = self._import.stage
        count = len(self._import.commands)
        # From 1: the command that runs is not pending any more.
        number = count - len(self._import.queue.pending)
        templates = {
            "": tr("Starting…"),
            "files": tr("Importing images: {done}"),
            "frames": tr("Extracting frames: {done} of {total} seconds"),
            "faces": tr(
                "Preparing images: {done} of {total}"
                if self._import.whole_images
                else "Detecting faces: {done} of {total} images"
            ),
        }

        images_template = tr("{words}: {done} of {total} images")
        usual_template = images_template if stage.unit == "images" else "{words}"
        text = templates.get(stage.name, usual_template).format(
            words=command_title(self._import.commands[number - 1]) or stage.name,
            done=f"{stage.done:,.0f}",
            total=f"{stage.total or 0:,.0f}",
        )

        if count > 1:
            text += tr("  ·  step {at} of {count}", at=number, count=count)
        return text

    def _result_text(self, state: ImportState) -> str:
        parts = [tr("Incomplete" if self._import.errors else "Finished")]
        if state is ImportState.STOPPED:
            parts = [tr("Stopped; finished steps are kept")]
        results = self._import.results
        counts = Counter[str]()
        for facts in results:
            counts.update(self._count_texts(facts))
        parts += _list_counts(counts)

        faces = [facts.faces for facts in results]
        # None where no faces were searched for.
        if 0 in faces and not any(faces):
            parts.append(tr("no new faces"))
            only_known = any(facts.known for facts in results) and not any(
                facts.added for facts in results
            )
            if not (self._import.whole_images or only_known):
                parts.append(
                    tr(
                        "the default detector finds drawn faces: add others as whole images"
                    )
                )

        for facts in results:
            parts += self._output_texts(facts)
        # A split and the export after it report the same sizes.
        return "  ·  ".join(dict.fromkeys(parts + self._import.errors))

    def _count_texts(self, facts: CommandFacts) -> dict[str, int]:
        return {
            tr("{count} new images"): facts.added,
            tr("{count} already in the dataset"): facts.known,
            tr("{count} duplicates left out"): facts.duplicate,
            tr(
                "{count} images prepared"
                if self._import.whole_images
                else "{count} faces detected"
            ): facts.faces or 0,
            tr("{count} images without a face (F4: draw boxes)"): facts.without_face,
            tr("{count} images compared"): facts.looked_at or 0,
            tr("{count} images exported"): facts.exported,
        }

    def _output_texts(self, facts: CommandFacts) -> list[str]:
        """Return what was not read, where the result is, and what the splits have and lack."""
        texts = []
        if names := facts.unreadable:
            texts.append(tr("Not readable: {names}", names=", ".join(names)))

        if output := facts.to or facts.timeline or facts.report:
            path = Path(output)
            root = self._import.root
            path = path.relative_to(root) if path.is_relative_to(root) else path
            texts.append(tr("see {path}", path=path))

        if sizes := facts.split_sizes:
            texts.append(", ".join(f"{name} {size:,}" for name, size in sizes.items()))
        if facts.left_out:
            # Loads NumPy: not at the start.
            from labeler.export.plan import WITHOUT_SPLIT

            text = tr("{count} labelled faces left out: press Split, then export again")
            texts += _list_counts({text: facts.left_out.get(WITHOUT_SPLIT, 0)})

        lines = chain.from_iterable(map(shorten_list, facts.split_warnings))
        return [*texts, *map(translate_split_warning, lines), *facts.warnings]


def _list_counts(counts: Mapping[str, int]) -> list[str]:
    """Return the texts with their counts, without zeros."""
    return [
        singular(text, count).format(count=f"{count:,}")
        for text, count in counts.items()
        if count
    ]


DEFAULT_LIMIT = 100
MAX_LIMIT = 10_000
SITES = ("bing", "flickr", "google", "pixiv")


class CommandDialog(QDialog):
    """Base of dialogs that ask what to import and what becomes a tile; a button starts it."""

    def __init__(self, parent: QWidget, title: str, start: str):
        super().__init__(parent)
        self.setWindowTitle(title)
        standard = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(standard.Ok | standard.Cancel)
        self.start_button = self.buttons.button(standard.Ok)
        self.start_button.setText(start)
        self.start_button.setProperty("primary", True)
        self.start_button.setEnabled(False)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.finished.connect(self.deleteLater)
        # Buttons without a common parent would not exclude each other.
        self.faces = QRadioButton(tr("Detect faces"), self)
        self.whole_images = QRadioButton(
            tr("Whole images, or faces that are already cropped"), self
        )
        self.faces.setChecked(True)
        self.tiles = column_layout(
            self.faces, self.whole_images, margins=(SPACE_M,) * 4
        )

    def commands(self, root: Path) -> list[list[str]]:
        """Return the commands for what the user chose."""
        raise NotImplementedError

    def lay_out(self, *parts: QWidget | QLayout) -> None:
        """Set the parts above the buttons."""
        self.setLayout(column_layout(*parts, self.buttons, margins=(SPACE_L,) * 4))
        (self.whole_images if self.whole_images.isChecked() else self.faces).setFocus()


class ImportDialog(CommandDialog):
    """Shows what `harvest folder --simulate` reports of dropped files; asks how to import them.

    `label` is the weak label of all files.
    """

    def __init__(
        self, parent: QWidget, dropped: DroppedPaths, root: Path, label: str | None
    ):
        super().__init__(parent, tr("Import"), tr("Import"))
        self.summary = plain_label(tr("Scanning files…"))
        self.names = QCheckBox(tr("Folder names are class names"))
        self.names.setToolTip(tr("Weak labels: suggested, never applied automatically"))
        self.names.hide()
        self.whole_images.setChecked(Words.are_images and not dropped.videos)
        self._dropped = dropped
        self._label = label
        self._report = SimulatedImport()
        self._simulation = CommandQueue(self)
        self._simulation.ended.connect(self._add_to_report)
        self._simulation.emptied.connect(self._show_result)
        self.finished.connect(self._simulation.stop)
        note = tr(
            "Images and frames of videos are copied; the originals are not changed."
        )
        self.lay_out(
            self.summary,
            self.tiles,
            self.names,
            plain_label(note),
        )
        self._simulation.add(
            [*words, "--simulate"]
            for words in dropped.harvest(root, hints=True, label=label)
        )

    def _add_to_report(self, words: list[str], end: CommandEnd) -> None:
        if end.code:
            self._report.error = last_error(end.error_output)
            self._simulation.pending = []
        else:
            # harvest folder PATH
            self._report.add(Path(words[2]), end.facts)

    def _show_result(self) -> None:
        report = self._report
        self.summary.setText(self._summary_text(report))
        self.names.setVisible(self._label is None and bool(report.hints))
        self.names.setChecked(report.has_class_folders)
        self.start_button.setEnabled(self.can_import)
        self.start_button.setDefault(True)
        self.adjustSize()

    @property
    def can_import(self) -> bool:
        report = self._report
        files = (
            report.images
            or report.known_images
            or report.videos
            or self._dropped.videos
        )
        return bool(files) and not report.error

    def _summary_text(self, report: SimulatedImport) -> str:
        if report.error:
            return report.error
        counts = {
            tr("{count} new files"): report.images,
            tr("{count} already in the dataset"): report.known_images,
            tr("{count} videos"): report.videos.total() + len(self._dropped.videos),
        }

        parts = _list_counts(counts)
        if not self.can_import:
            parts = [tr("No images or videos found")]
        lines = ["  ·  ".join(parts)]
        others = tr("{count} files are ignored: hidden, system or linked")
        texts = {
            ARCHIVE: tr("{count} archives are ignored: drop archives directly"),
            PACKED: tr("{count} archives are ignored: unpack first"),
            NOT_AN_IMAGE: tr("{count} files are ignored: not an image"),
        }

        ignored = Counter[str]()
        for reason, count in report.ignored.items():
            ignored[texts.get(reason, others)] += count
        lines += _list_counts(ignored)
        if report.hints:
            common = report.hints.most_common()
            names = shorten_list([f"{name} ({count:,})" for name, count in common])
            lines.append(tr("Folders: {names}", names=", ".join(names)))

        return "\n".join(lines)

    def commands(self, root: Path) -> list[list[str]]:
        return import_commands(
            root,
            self._dropped,
            whole_images=self.whole_images.isChecked(),
            hints=self.names.isChecked(),
            label=self._label,
            video_folders=self._report.videos,
        )


class SearchDialog(CommandDialog):
    """Asks for what to search, where, and how many images."""

    def __init__(self, parent: QWidget):
        super().__init__(parent, tr("Search a site"), tr("Search"))
        self.words = QLineEdit()
        self.site = QComboBox()
        self.limit = QSpinBox(minimum=1, maximum=MAX_LIMIT, value=DEFAULT_LIMIT)
        # A style sheet has no effect on the field of a spin box.
        self.limit.lineEdit().setTextMargins(SPACE_M, 0, 0, 0)
        for name in SITES:
            self.site.addItem(name.capitalize(), name)
        form = form_layout(
            {
                tr("Words"): (self.words,),
                tr("Images"): (self.limit,),
                tr("Site"): (self.site,),
            }
        )

        self.words.textChanged.connect(
            lambda text: self.start_button.setEnabled(bool(text.strip()))
        )
        self.lay_out(form, self.tiles)
        self.words.setFocus()

    def commands(self, root: Path) -> list[list[str]]:
        return search_commands(
            root,
            self.words.text().strip(),
            self.site.currentData(),
            self.limit.value(),
            whole_images=self.whole_images.isChecked(),
        )


class FileDropHandler(QObject):
    """Asks how to import files that are dropped or chosen, or what to search; starts it.

    Files can be dropped anywhere on the window; a hint says so while they are held over it.
    """

    def __init__(
        self, window: QWidget, worker: SessionWorker, imports: BackgroundImport
    ):
        super().__init__(window)
        self._window = window
        self._worker = worker
        self._import = imports
        self.dialog: CommandDialog | None = None
        self._folder = worker.root.absolute().parent
        self._hint = QLabel(tr("Drop here to import, or drop onto a class"), window)
        self._hint.setObjectName("card")
        self._hint.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._hint.hide()
        window.setAcceptDrops(True)
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Accept files as copies: the originals are never moved."""
        kind = event.type()
        if kind == QEvent.Type.DragLeave:
            self._hint.hide()
        elif kind in (QEvent.Type.DragEnter, QEvent.Type.Drop):
            assert isinstance(event, QDropEvent)
            mime = event.mimeData()
            if not mime.hasUrls() or isinstance(mime, TileMimeData):
                return False
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()
            self._hint.adjustSize()
            self._hint.move(self._window.rect().center() - self._hint.rect().center())
            self._hint.raise_()
            self._hint.setVisible(kind == QEvent.Type.DragEnter)
            paths = [
                Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()
            ]
            if kind == QEvent.Type.Drop and paths:
                self.offer(paths)
            return True

        return False

    def offer(self, paths: Sequence[Path], label: str | None = None) -> None:
        """Ask how to import files, with a class as the weak label of all."""
        dropped = sort_paths(paths)
        if not dropped:
            self._worker.show_error(tr("No images or videos found"))
            return
        self._open(ImportDialog(self._window, dropped, self._worker.root, label))

    def search(self) -> None:
        """Ask what to search on which site."""
        self._open(SearchDialog(self._window))

    def _open(self, dialog: CommandDialog) -> None:
        self.close_dialog()
        self.dialog = dialog
        dialog.accepted.connect(
            lambda: self._import.start(dialog.commands(self._worker.root))
        )
        dialog.finished.connect(self._on_dialog_end)
        dialog.open()

    def _on_dialog_end(self) -> None:
        self.dialog = None

    def close_dialog(self) -> None:
        if self.dialog is not None:
            self.dialog.reject()

    def choose_files(self) -> None:
        self.choose(tr("Add images and videos"), QFileDialog.FileMode.ExistingFiles)

    def choose_folder(self) -> None:
        self.choose(tr("Add a folder"), QFileDialog.FileMode.Directory)

    def choose_videos(self) -> None:
        dialog = self.choose(
            tr("Open an episode"),
            QFileDialog.FileMode.ExistingFiles,
        )
        endings = " ".join(f"*{ending}" for ending in sorted(VIDEO_EXTENSIONS))
        dialog.setNameFilter(tr("Videos ({endings})", endings=endings))

    def choose(self, title: str, mode: QFileDialog.FileMode) -> QFileDialog:
        """Ask for files or a folder to import; begin in the folder of the last ones."""
        return choose_paths(
            self._window, title, str(self._folder), self._offer_files, mode
        )

    def _offer_files(self, names: list[str]) -> None:
        self._folder = Path(names[0]).parent
        self.offer([Path(name) for name in names])


class AddButton(QToolButton):
    """Button with a menu to choose files or a folder to import, or to search a site."""

    def __init__(self, drops: FileDropHandler):
        super().__init__()
        # Qt would paint its own arrow over the text.
        self.setText(tr("Add") + " ▾")
        self.setToolTip(
            tr("Import images, videos or folders; or drop them on the window")
        )
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        menu.addAction(tr("Images and videos…"), drops.choose_files)
        menu.addAction(tr("Folder…"), drops.choose_folder)
        menu.addAction(tr("Search a site…"), drops.search)
        self.setMenu(menu)

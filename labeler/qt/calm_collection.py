"""Looking through all objects for garbage while nobody waits.

Among 100,000 samples that takes 100 ms and more, in which no thread of Python's goes on.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

CALM_MS = 10_000
"""So long after the last gesture nobody is taken to wait."""

NEVER = 1_000_000_000


class CalmCollection(QObject):
    """Collects old garbage some seconds after the last gesture, and at no other time.

    What is young is collected as ever.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._usual = gc.get_threshold()
        self._calm = QTimer(self)
        self._calm.setSingleShot(True)
        self._calm.timeout.connect(lambda: gc.collect())

    def wait(self) -> None:
        """Wait for calm: there was a gesture."""
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, NEVER)
        self._calm.start(CALM_MS)

    def end(self) -> None:
        """Leave it to Python again."""
        self._calm.stop()
        gc.set_threshold(*self._usual)

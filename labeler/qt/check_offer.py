"""The offer to look at a class once more, when it is done. It is no question: it can be left."""

from __future__ import annotations

from PySide6.QtWidgets import QPushButton

from labeler.qt.desk import Desk
from labeler.sorting.finishing import Finished


class CheckOffer(QPushButton):
    """Hidden while no class is on offer; C and a click take it up. Beside a page it is short."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(self.tr("Check (C)"))
        self._desk = desk
        self._offer: Finished | None = None
        self._short = True
        self.hide()

    def shorten(self, short: bool) -> None:
        """Leave the line to what is said of the page; with no page the class is named."""
        self._short = short
        self._name()

    def _name(self) -> None:
        label = self._offer.label if self._offer else ""
        whole = self.tr("Check {label} (C)").format(label=label)
        self.setText(self.tr("Check (C)") if self._short or not label else whole)
        self.setToolTip(whole if label else "")
        self.setAccessibleName(whole if label else self.tr("Check (C)"))

    def show_offer(self, offer: Finished | None) -> None:
        """Offer a class, and say so once; None for no class."""
        before, self._offer = self._offer, offer
        self._name()
        self.setVisible(offer is not None)
        if offer is not None and offer != before:
            self._desk.say(
                self.tr(
                    "{label} is done: C shows {count} of them once more, without the name"
                ).format(label=offer.label, count=offer.shown)
            )

    def taken(self) -> str:
        """The class that was on offer; empty for none. It is not offered any more."""
        label = self._offer.label if self._offer else ""
        self.show_offer(None)
        return label

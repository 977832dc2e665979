"""What answers requests: the settings of a server, its model in force, and what computes."""

from __future__ import annotations

from typing import Any, NamedTuple

from webapp.compute_queue import ComputeQueue
from webapp.model_card import OfModel
from webapp.portraits import Portraits
from webapp.problems import RefusedRequest
from webapp.report_spool import ReportSpool
from webapp.served import ModelInForce
from webapp.settings import ServeSettings


class Service(NamedTuple):
    """A server from its start to its end."""

    settings: ServeSettings
    models: ModelInForce
    queue: ComputeQueue
    spool: ReportSpool | None
    cards: OfModel[dict[str, Any]]
    portraits: OfModel[Portraits]

    def spool_for(self, lacking: str) -> ReportSpool:
        """Return what keeps things in the dataset; `RefusedRequest` where there is none."""
        if self.spool is None:
            contact = self.settings.web.contact or ""
            raise RefusedRequest(404, lacking, "this server has no dataset", contact)
        return self.spool

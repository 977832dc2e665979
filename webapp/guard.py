"""Access to the page and the API: the users' token, and the administrator's."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import Headers, QueryParams
from starlette.types import Scope

from gleanset.web.guard import (
    Guard,
    get_client,
    get_token,
    is_change,
    token_error,
)
from webapp.compute_queue import ComputeQueue
from webapp.settings import ServeSettings

API = "/api/"
ADMIN_API = "/api/v1/admin"
"""Addresses with a token of their own."""
HEALTH_CHECKS = ("/api/v1/health", "/api/v1/ready")
MODEL_VERSION = "model-version"
COOKIE = "gleanset-token"
ADMIN_COOKIE = "gleanset-admin"


@dataclass(eq=False, kw_only=True)
class PageGuard(Guard):
    """Checks tokens, and refuses what a busy server cannot compute."""

    settings: ServeSettings
    queue: ComputeQueue

    def is_counted(self, scope: Scope, headers: Headers) -> bool:
        """Return whether a request counts against the rate of its client."""
        path = scope["path"]
        if not _is_guarded(path):
            # Only the addresses with a token, which may be a guess. QueryParams also decodes a
            # percent-encoded name.
            return "token" in QueryParams(scope["query_string"])
        if not path.startswith(f"{ADMIN_API}/"):
            return True
        # Requests of the administrator are not counted: a page of reports loads many faces.
        return not self.settings.is_admin(get_token(headers, ADMIN_COOKIE))

    def check(self, scope: Scope, headers: Headers) -> None:
        """Raise `RefusedRequest` unless a request may be passed on."""
        super().check(scope, headers)
        if _is_guarded(scope["path"]) and is_change(scope):
            self.queue.refuse_if_busy(get_client(scope))

    def check_token(self, scope: Scope, headers: Headers) -> None:
        """Raise `RefusedRequest` for an address of the API without the users' token."""
        path = scope["path"]
        # The administrator's addresses check their own.
        if not _is_guarded(path) or path.startswith(f"{ADMIN_API}/"):
            return
        token = get_token(headers, COOKIE)
        if not self.settings.lets_in(token):
            raise token_error(
                token,
                "token needed",
                "this server needs a token",
                "open the address that `webapp serve` printed",
            )


def _is_guarded(path: str) -> bool:
    return path.startswith(API) and path not in HEALTH_CHECKS

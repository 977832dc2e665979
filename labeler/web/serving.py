"""`labeler serve`: from the request of a user to a running server."""

import os
import webbrowser
from urllib.parse import urlsplit

from gleanset.cli import CommandJob
from gleanset.command_result import CommandResult
from gleanset.platform import has_display
from gleanset.web.listening import is_loopback, make_token
from gleanset.web.server import run_server
from gleanset.web.settings import AccessSettings, TransferLimits
from labeler.requests import LabelerServeRequest
from labeler.web.access import Invitations
from labeler.web.app import LabelerApi

TOKEN_VARIABLE = "GLEANSET_LABELER_TOKEN"  # noqa: S105 - not a token, but its name
BODY_BYTES = 65_536
LOCAL_LINK = "only this machine can open it; for others: labeler serve --host 0.0.0.0"


class InvitationResult(CommandResult):
    """A person who was invited, with the links that let this person in; or `revoked`."""

    invited: str = ""
    links: list[str] = []
    note: str = ""
    """How to let people on other devices in, if the links are of no use to them."""
    revoked: str = ""


def serve_labeler(
    job: CommandJob, request: LabelerServeRequest
) -> InvitationResult | None:
    """Invite or revoke a person, or else serve the dataset until Ctrl-C.

    Raises what `run_server` raises.
    """
    request.check()
    people = Invitations(job.root)
    if request.revoke is not None:
        people.revoke(request.revoke)
        return InvitationResult(revoked=request.revoke)
    if request.invite is not None:
        token = people.invite(request.invite)
        links = people.list_links(token) or request.list_links(
            request.find_port(), token
        )
        return InvitationResult(
            invited=request.invite,
            links=links,
            note=LOCAL_LINK if is_loopback(urlsplit(links[0]).hostname or "") else "",
        )

    token = os.environ.get(TOKEN_VARIABLE) or make_token()
    settings = AccessSettings(
        hosts=request.accepted_hosts(),
        token=token,
        limits=TransferLimits(body_bytes=BODY_BYTES),
    )

    def announce(port: int) -> None:
        # Without a token: `--invite` adds that of the person to these links.
        people.note_links(request.list_links(port, None))
        links = request.list_links(port, token)
        for link in links:
            job.show(link)
        job.say("press Ctrl-C to stop")
        if has_display():
            webbrowser.open(links[0])

    run_server(
        LabelerApi(job.root, settings, request.double).create_app(), request, announce
    )
    return None

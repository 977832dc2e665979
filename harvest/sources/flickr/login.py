"""Logging in to Flickr: an API key and its secret, tried with one signed call."""

from __future__ import annotations

from contextlib import closing

from harvest.http import Client
from harvest.login import Ask, checked_answer, keep_login
from harvest.secrets import FLICKR_KEYS_PAGE
from harvest.sources.base import Endpoint
from harvest.sources.flickr.api import HOST, FlickrApi


def login_flickr(ask: Ask, *, endpoint: str = HOST) -> dict[str, object]:
    """Ask for the API key and its secret, try them, keep them; return the command's result.

    Raises `NeedsLogin` when Flickr refuses them, `RateLimited`, `Blocked`, `Unreachable`,
    `Changed`, and `MissingComponent` without flickrapi.
    """
    question = f"Flickr API key (one is made at {FLICKR_KEYS_PAGE})"
    key = checked_answer(ask(question, hidden=True), "key")
    signing = checked_answer(ask("Its secret", hidden=True), "secret")
    # An endpoint that the person wrote may well be on this machine.
    with (
        Client(allow_private=endpoint != HOST) as client,
        closing(FlickrApi("a login", client, 0, Endpoint(endpoint), (key, signing))) as api,
    ):
        api.check_keys()
    return keep_login("flickr", {"flickr.key": key, "flickr.secret": signing})

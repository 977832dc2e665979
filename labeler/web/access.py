"""Who may use the server: the owner, and the people who were invited, by their tokens."""

import hashlib
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers, QueryParams
from starlette.types import Scope

from gleanset.db.classes import normalize_alias
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import atomic_file
from gleanset.platform import get_user_name
from gleanset.web.guard import Guard, get_token, token_error
from gleanset.web.listening import make_token
from gleanset.web.problems import RefusedRequest
from gleanset.web.settings import AccessSettings

PersonName = str | None
"""A person who was invited; None is the owner of the dataset."""

API = "/api/"
PERSON = "person"
"""The key of a request's scope with the name of its person; None for the owner."""
TOKEN = "token"  # noqa: S105 - the key of a request's scope with its token
PEOPLE_FILE = "people.json"
LINKS_FILE = "labeler-links.txt"


class Invitations:
    """The people who were invited to a dataset; a running server follows the file."""

    def __init__(self, root: Path):
        self._path = root / PEOPLE_FILE
        self._links_path = root / LINKS_FILE

    def identify(self, settings: AccessSettings, token: str) -> dict[str, PersonName]:
        """Return who has a token, as a part of the scope; empty for a wrong one."""
        if settings.lets_in(token):
            return {PERSON: None}
        name = self._read().get(_hash(token))
        return {PERSON: name} if name else {}

    def invite(self, name: str) -> str:
        """Add a person, and return the token, which is stored nowhere.

        A person who was invited before gets a new one. Raises `UsageError` for an unusable name.
        """
        # The owner's decisions are stored under the user's name: a person of that name would be
        # taken for the owner.
        if name.strip() in ("", get_user_name()):
            raise UsageError(f"{name!r} cannot be invited", "choose another name")
        name = normalize_alias(name)
        token = make_token()
        self._write(self._list_others(name) | {_hash(token): name})
        return token

    def revoke(self, name: str) -> None:
        """Take a person's access away. Raises `UsageError` for an unknown name."""
        names = self._read().values()
        if name not in names:
            raise UsageError(
                f"{name!r} is not invited",
                f"choose one of: {', '.join(names)}"
                if names
                else "invite somebody: labeler serve --invite NAME",
            )
        self._write(self._list_others(name))

    def list_names(self) -> list[str]:
        """Return the people who are invited."""
        return sorted(self._read().values())

    def note_links(self, links: list[str]) -> None:
        """Note the addresses of the server that runs."""
        self._links_path.write_text("\n".join(links))

    def list_links(self, token: str) -> list[str]:
        """Return the links for a person to the server that runs; none if none does."""
        with suppress(OSError, ValueError, IndexError):
            links = self._links_path.read_text().split()
            address = urlsplit(links[0])
            # The server may have been killed since.
            socket.create_connection((address.hostname, address.port), 1).close()
            return [f"{link}?token={token}" for link in links]
        return []

    def _list_others(self, name: str) -> dict[str, str]:
        return {key: other for key, other in self._read().items() if other != name}

    def _read(self) -> dict[str, str]:
        """Return names by the hash of their token, which is random, so that it needs no salt."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            raise InputUnusable(
                f"cannot read who was invited: {self._path}",
                "delete this file, and invite people again",
            ) from error

    def _write(self, people: dict[str, str]) -> None:
        with atomic_file(self._path) as partial:
            partial.touch(mode=0o600)  # private before its first byte is written
            partial.write_bytes(msgspec.json.encode(people))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def check_owner(person: PersonName) -> None:
    """Raise `RefusedRequest` for somebody who was invited."""
    if person is not None:
        raise RefusedRequest(
            403, "not the owner", "only the owner may do this", "ask the owner"
        )


def cookie_name(scope: Scope) -> str:
    """Return the name of the cookie with the token: browsers do not separate ports."""
    _, port = scope.get("server") or ("", 0)
    return f"gleanset-labeler-{port}"


@dataclass(eq=False, kw_only=True)
class PersonGuard(Guard):
    """Admits people to the API by their tokens; only requests of others are counted."""

    # Pages of other sites cannot be allowed: they would decide in the name of a person.
    ORIGIN_HINT = "open the page at the address that `labeler serve` printed"

    people: Invitations

    def is_counted(self, scope: Scope, headers: Headers) -> bool:
        """Note in the scope who sent a request; return whether it may be a guess of a token."""
        if not scope["path"].startswith(API):
            # QueryParams also decodes a percent-encoded name.
            return "token" in QueryParams(scope["query_string"])
        token = get_token(headers, cookie_name(scope))
        scope[TOKEN] = token
        scope.update(self.people.identify(self.settings, token))
        return PERSON not in scope

    def check_token(self, scope: Scope, headers: Headers) -> None:
        """Raise `RefusedRequest` for an address of the API without a token."""
        if scope["path"].startswith(API) and PERSON not in scope:
            raise no_access_error(scope)


def no_access_error(scope: Scope) -> RefusedRequest:
    """Return the error for a wrong token, or for none."""
    return token_error(
        scope[TOKEN],
        "token needed",
        "this server needs a token",
        "open the address that `labeler serve` printed, or ask for a new link",
    )

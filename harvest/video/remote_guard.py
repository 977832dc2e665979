"""yt-dlp over our guarded connections: what resolves to a private address is refused.

yt-dlp asks the web through request handlers. Here it gets one alone, its own over
`requests`, with the guard of our downloads before it; what needs another handler (an
imitated browser, a web socket) is refused.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from harvest.http import Client
from harvest.http.routes import trust
from harvest.sources.guarded import guard_session


def guarded(library: Any, params: dict[str, Any], client: Client) -> Any:
    """A `YoutubeDL` with these settings, whose every request goes where the client may.

    It raises `Unreachable` for a private address, and what yt-dlp raises.
    """
    handler = _handler(library, client)

    class Loader(library.YoutubeDL):  # type: ignore[misc]
        def build_request_director(self, handlers: Any, preferences: Any = None) -> Any:
            return super().build_request_director([handler], preferences)

    return Loader(params, auto_init=True)


def _handler(library: Any, client: Client) -> Any:
    base: Any = library.networking._requests.RequestsRH  # noqa: SLF001
    refused: Any = library.networking.exceptions.HTTPError

    class GuardedRH(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._answers: WeakSet[Any] = WeakSet()

        def _create_instance(self, *args: Any, **options: Any) -> Any:
            session = super()._create_instance(*args, **options)
            guard_session(session, client)
            return session

        def _make_sslcontext(self, *_: Any, **__: Any) -> Any:
            return trust()

        def _send(self, request: Any) -> Any:
            try:
                answer = super()._send(request)
            except refused as error:
                self._answers.add(error.response)
                raise
            self._answers.add(answer)
            return answer

        def close(self) -> None:
            # Extractors leave off reading where they know enough, and the socket open.
            for answer in list(self._answers):
                answer.close()
            super().close()

    return GuardedRH

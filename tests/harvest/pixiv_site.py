"""A real server on loopback that answers like Pixiv's two hosts and records its requests."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from faulty_server import FaultyServer, Handler

# Maps the fields sent to an endpoint to its answer: a status and a body.
Answer = tuple[int, Any]
Endpoint = Callable[[dict[str, str]], Answer]


def account(
    access: str = "access-1", refresh: str = "refresh-1", life: int = 3600
) -> Answer:
    user = {"id": "1", "name": "Gleaner", "account": "gleaner"}
    tokens = {
        "access_token": access,
        "expires_in": life,
        "refresh_token": refresh,
        "user": user,
    }
    return 200, tokens | {"response": tokens}


def error(message: str, status: int) -> Answer:
    return status, {"error": {"user_message": "", "message": message, "reason": ""}}


BAD_TOKEN: Answer = (
    400,
    {
        "has_error": True,
        "errors": {"system": {"message": "Invalid refresh token", "code": 1508}},
        "error": "invalid_grant",
    },
)
EXPIRED = error(
    "Error occurred at the OAuth process. Please check your Access Token to fix this. "
    "Error Message: invalid_grant",
    400,
)


def work(number: int, **fields: Any) -> dict[str, Any]:
    """Return a work with one page in the API's format."""
    url = f"https://i.pximg.net/img-original/img/2024/05/01/00/00/00/{number}_p0.png"
    return {
        "id": number,
        "title": f"Work {number}",
        "type": "illust",
        "user": {"id": 7, "name": "Mika", "account": "mika"},
        "tags": [{"name": "猫", "translated_name": "cat"}],
        "create_date": "2024-05-01T10:00:00+09:00",
        "page_count": 1,
        "width": 800,
        "height": 600,
        "x_restrict": 0,
        "illust_ai_type": 1,
        "total_bookmarks": 100,
        "visible": True,
        "meta_single_page": {"original_image_url": url},
        "meta_pages": [],
    } | fields


def search_response(*works: dict[str, Any], next_offset: int | None = None) -> Answer:
    link = f"https://app-api.pixiv.net/v1/search/illust?word=x&new_parameter=1&offset={next_offset}"
    return 200, {
        "illusts": list(works),
        "next_url": None if next_offset is None else link,
    }


class PixivSite(FaultyServer):
    """A Pixiv with login and search; `sent` holds paths and fields."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, dict[str, str]]] = []
        self.endpoints: dict[str, Endpoint] = {
            "/auth/token": lambda _: account(),
            "/v1/search/illust": lambda _: search_response(),
        }
        self.otherwise = self._respond

    @property
    def options(self) -> dict[str, str]:
        return {"endpoint": f"{self.url}/api", "auth_endpoint": f"{self.url}/oauth/"}

    def requests_to(self, path: str) -> list[dict[str, str]]:
        return [fields for place, fields in self.sent if place.endswith(path)]

    def _respond(self, h: Handler) -> None:
        parts = urlsplit(h.path)
        self.sent.append((parts.path, h.fields))
        place = parts.path.removeprefix("/api").removeprefix("/oauth")
        status, body = self.endpoints.get(place, lambda _: (404, "<html>"))(h.fields)
        text = body if isinstance(body, str) else json.dumps(body)
        kind = "text/html" if isinstance(body, str) else "application/json"
        h.answer(status, text.encode(), Content_Type=kind)

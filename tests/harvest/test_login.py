"""Logins to servers on loopback, with a test in the place of the user, and stored secrets."""

import hashlib
import json
import os
import stat
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pixiv_site import BAD_TOKEN, Answer, PixivSite, account, error
from tools_for_tests import running

from gleanset.errors import Blocked, Changed, GleansetError, NeedsLogin, RateLimited
from harvest.secrets import VARIABLES, read_secret, redact_secrets, store_secrets
from harvest.sources.flickr import log_in_to_flickr
from harvest.sources.pixiv.api import log_in_to_pixiv

REST = "/services/rest/"


@pytest.fixture(autouse=True)
def secrets_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the file for secrets; there is no variable."""
    for name in VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "gleanset" / "secrets.json"


@pytest.fixture
def site() -> Iterator[PixivSite]:
    with running(PixivSite()) as server:
        yield server


class Person:
    """A scripted user who answers in turn and records the questions."""

    def __init__(self, *answers: str | Callable[[str], str]) -> None:
        self._answers = list(answers)
        self.questions: list[str] = []
        self.hidden: list[bool] = []
        self.opened: list[str] = []

    def ask(self, question: str, *, hidden: bool = False) -> str:
        self.questions.append(question)
        self.hidden.append(hidden)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer if isinstance(answer, str) else answer(question)

    def open_browser(self, url: str) -> bool:
        self.opened.append(url)
        return True


def pixiv(site: PixivSite, person: Person) -> dict[str, object]:
    return log_in_to_pixiv(person.ask, person.open_browser, **site.options).to_json()


def accept_code(site: PixivSite, code: str, token: str) -> None:
    """Play the token service: one single-use code, one refresh token."""
    left = {code}

    def speak(fields: dict[str, str]) -> Answer:
        if fields["grant_type"] == "refresh_token":
            return (
                account(refresh=token)
                if fields["refresh_token"] == token
                else BAD_TOKEN
            )
        if fields.get("code") not in left:
            return BAD_TOKEN
        left.clear()
        return account(refresh=token)

    site.endpoints["/auth/token"] = speak


def test_existing_token_is_verified_and_stored(
    site: PixivSite, secrets_file: Path
) -> None:
    accept_code(site, "none", "my-token")
    result = pixiv(site, Person("my-token\n"))
    assert result == {
        "logged_in": "pixiv",
        "account": "Gleaner",
        "kept_in": str(secrets_file),
    }
    assert read_secret("pixiv.refresh_token") == "my-token"
    assert stat.S_IMODE(secrets_file.stat().st_mode) == 0o600


@pytest.mark.parametrize("token", ["wrong", "", "two\nlines", "ключ"])
def test_wrong_token_is_not_stored(
    site: PixivSite, secrets_file: Path, token: str
) -> None:
    accept_code(site, "none", "my-token")
    with pytest.raises(NeedsLogin):
        pixiv(site, Person(token))
    assert not secrets_file.exists()


@pytest.mark.parametrize(
    "line",
    [
        "pixiv://account/login?code=good-code_1&via=login",
        "  https://app-api.pixiv.net/web/v1/users/auth/pixiv/callback?state=x&code=good-code_1\n",
        "good-code_1",
        "my-token",
    ],
)
def test_pasted_address_code_or_token_is_accepted(site: PixivSite, line: str) -> None:
    accept_code(site, "good-code_1", "my-token")
    person = Person(line)
    assert pixiv(site, person)["logged_in"] == "pixiv"
    assert (read_secret("pixiv.refresh_token"), person.hidden) == ("my-token", [True])
    [url] = person.opened
    assert url in person.questions[0]
    assert "F12" in person.questions[0]


def test_code_verifier_matches_challenge(site: PixivSite) -> None:
    accept_code(site, "good", "my-token")
    person = Person("pixiv://account/login?code=good")
    pixiv(site, person)
    page = parse_qs(urlsplit(person.opened[0]).query)
    exchange, verified = site.requests_to("/auth/token")
    digest = hashlib.sha256(exchange["code_verifier"].encode()).digest()
    assert page["code_challenge"] == [urlsafe_b64encode(digest).decode().rstrip("=")]
    assert (page["code_challenge_method"], page["client"]) == (
        ["S256"],
        ["pixiv-android"],
    )
    assert urlsplit(person.opened[0]).path == "/api/web/v1/login"
    assert exchange["grant_type"] == "authorization_code"
    callback = "https://app-api.pixiv.net/web/v1/users/auth/pixiv/callback"
    assert (exchange["redirect_uri"], verified["refresh_token"]) == (
        callback,
        "my-token",
    )


def test_expired_code_is_asked_again(site: PixivSite) -> None:
    accept_code(site, "good", "my-token")
    person = Person(
        "pixiv://account/login?code=old", "", "pixiv://account/login?code=good"
    )
    pixiv(site, person)
    assert ["half a minute" in question for question in person.questions] == [True] * 3
    assert "rejected the code" in person.questions[1]
    assert len(person.opened) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((403, "<html>Just a moment...</html>"), Blocked),
        (error("Rate Limit", 403), RateLimited),
        ((200, {"welcome": True}), Changed),
        ((404, "<html>"), Changed),
    ],
)
def test_site_refusal_raises_error(
    site: PixivSite, secrets_file: Path, answer: Answer, kind: type[GleansetError]
) -> None:
    site.endpoints["/auth/token"] = lambda _: answer
    with pytest.raises(GleansetError) as caught:
        pixiv(site, Person("pixiv://account/login?code=good"))
    assert type(caught.value) is kind
    assert not secrets_file.exists()


def flickr(site: PixivSite, person: Person) -> dict[str, object]:
    return log_in_to_flickr(person.ask, endpoint=f"{site.url}/flickr").to_json()


def reply_to_flickr(site: PixivSite, status: int, body: object) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    site.endpoints[f"/flickr{REST}"] = lambda _: (status, text)


def test_flickr_key_is_verified_and_stored(site: PixivSite, secrets_file: Path) -> None:
    reply_to_flickr(
        site, 200, {"stat": "ok", "method": {"_content": "flickr.test.echo"}}
    )
    person = Person(" my-key\n", "my-secret")
    assert flickr(site, person) == {"logged_in": "flickr", "kept_in": str(secrets_file)}
    assert (read_secret("flickr.key"), read_secret("flickr.secret")) == (
        "my-key",
        "my-secret",
    )
    assert person.hidden == [True, True]
    [request] = site.requests_to(REST)
    assert request["method"] == "flickr.test.echo"
    assert 'oauth_consumer_key="my-key"' in site.headers[0]["authorization"]
    assert "my-secret" not in str(site.headers) + str(site.sent)


BAD_KEY = {"stat": "fail", "code": 100, "message": "Invalid API Key (Key not found)"}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, BAD_KEY, NeedsLogin),
        (401, "oauth_problem=signature_invalid&debug_sbs=my-key", NeedsLogin),
        (403, "<h1>Forbidden</h1>", Blocked),
        (200, {"hello": 1}, Changed),
    ],
)
def test_rejected_flickr_key_is_not_stored(
    site: PixivSite,
    secrets_file: Path,
    capfd: pytest.CaptureFixture[str],
    status: int,
    body: object,
    kind: type[GleansetError],
) -> None:
    reply_to_flickr(site, status, body)
    with pytest.raises(GleansetError) as caught:
        flickr(site, Person("my-key", "my-secret"))
    assert type(caught.value) is kind
    assert "my-secret" not in str(caught.value)
    assert "my-key" not in str(caught.value) + "".join(capfd.readouterr())
    assert not secrets_file.exists()


KEY = "flickr.key"
needs_modes = pytest.mark.skipif(
    os.name != "posix", reason="needs the modes of POSIX files"
)


def test_private_file_is_used(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(0)
    try:
        store_secrets({KEY: "abc123"})
    finally:
        os.umask(before)
    store_secrets({"pixiv.refresh_token": "r-1"})
    assert json.loads(secrets_file.read_text()) == {
        KEY: "abc123",
        "pixiv.refresh_token": "r-1",
    }
    assert [path.name for path in secrets_file.parent.iterdir()] == ["secrets.json"]
    if os.name == "posix":
        assert stat.S_IMODE(secrets_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(secrets_file.parent.stat().st_mode) == 0o700
    assert read_secret(KEY) == "abc123"
    monkeypatch.setenv("FLICKR_API_KEY", "from-the-environment\n")
    assert read_secret(KEY) == "from-the-environment"
    monkeypatch.setenv("FLICKR_API_KEY", "")
    assert read_secret(KEY) == "abc123"


@pytest.mark.posix("rights of a secrets_file's group and of others")
@needs_modes
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602, 0o666])
def test_file_readable_by_others_raises_error(secrets_file: Path, mode: int) -> None:
    store_secrets({KEY: "abc123"})
    secrets_file.chmod(mode)
    for attempt in (lambda: read_secret(KEY), lambda: store_secrets({KEY: "x"})):
        with pytest.raises(NeedsLogin, match=r"chmod 600 .*secrets\.json") as caught:
            attempt()
        assert "abc123" not in str(caught.value)
    secrets_file.chmod(0o600)
    assert read_secret(KEY) == "abc123"


@pytest.mark.parametrize(
    "text", ['{"flickr.key": "abc123"', '["abc123"]', '{"a": 1}', "\xff"]
)
def test_damaged_file_error_contains_no_secret(secrets_file: Path, text: str) -> None:
    secrets_file.parent.mkdir(parents=True)
    secrets_file.touch(0o600)
    secrets_file.write_bytes(text.encode("latin-1"))
    with pytest.raises(NeedsLogin, match="damaged") as caught:
        read_secret(KEY)
    assert "abc123" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_redact_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    store_secrets({KEY: "k3y/with+signs"})
    monkeypatch.setenv("PIXIV_REFRESH_TOKEN", "t0ken-of-pixiv")
    result = "key k3y/with+signs, quoted k3y%2Fwith%2Bsigns, token t0ken-of-pixiv, and the rest"
    assert redact_secrets(result) == "key ***, quoted ***, token ***, and the rest"

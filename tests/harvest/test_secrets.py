"""Secrets in the environment, in a file, and in real keyrings that work, fail or hang."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import keyring
import platformdirs
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as FailKeyring
from keyring.backends.null import Keyring as NullKeyring
from keyring.errors import PasswordDeleteError

from gleanset.errors import NeedsLogin
from harvest import secrets
from harvest.secrets import SERVICE, SecretStore, read_secret, redact_secrets, store_secret

KEY = "flickr.key"
needs_modes = pytest.mark.skipif(os.name != "posix", reason="needs the modes of POSIX files")


class Memory(KeyringBackend):
    """A working keyring that lives as long as the test."""

    priority = 1

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError(username)


class Broken(Memory):
    """A keyring that raises undocumented errors, as D-Bus libraries do."""

    def get_password(self, service: str, username: str) -> str | None:
        raise OSError("no bus, and by the way the password is hunter2")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError(password)


class Hanging(Memory):
    """A keyring that waits for a user who is not there."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()
        self.calls = 0

    def get_password(self, service: str, username: str) -> str | None:
        self.calls += 1
        self.released.wait(60)
        return None

    set_password = get_password  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def _own_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for variable in ("FLICKR_API_KEY", "FLICKR_API_SECRET", "PIXIV_REFRESH_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    # A new store: one that found its keyring hanging does not ask again.
    monkeypatch.setattr(secrets, "_store", SecretStore())
    before = keyring.get_keyring()
    keyring.set_keyring(FailKeyring())
    yield
    keyring.set_keyring(before)


@pytest.fixture
def ring() -> Memory:
    memory = Memory()
    keyring.set_keyring(memory)
    return memory


@pytest.fixture
def file() -> Path:
    return Path(platformdirs.user_config_dir("gleanset")) / "secrets.json"


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("flickr.key", "FLICKR_API_KEY"),
        ("flickr.secret", "FLICKR_API_SECRET"),
        ("pixiv.refresh_token", "PIXIV_REFRESH_TOKEN"),
    ],
)
def test_environment_takes_precedence(
    ring: Memory, monkeypatch: pytest.MonkeyPatch, name: str, variable: str
) -> None:
    ring.set_password(SERVICE, name, "from the keyring")
    assert read_secret(name) == "from the keyring"
    monkeypatch.setenv(variable, "from-the-environment\n")
    assert read_secret(name) == "from-the-environment"
    monkeypatch.setenv(variable, "")
    assert read_secret(name) == "from the keyring"


def test_working_keyring_is_used(ring: Memory, file: Path) -> None:
    assert store_secret(KEY, " abc123 ") == "the system's keyring"
    assert ring.kept == {("gleanset", KEY): "abc123"}
    assert not file.exists()
    assert read_secret(KEY) == "abc123"


@pytest.mark.parametrize("backend", [FailKeyring, NullKeyring, Broken])
def test_private_file_is_used_without_keyring(backend: type[KeyringBackend], file: Path) -> None:
    keyring.set_keyring(backend())
    before = os.umask(0)
    try:
        assert store_secret(KEY, "abc123") == str(file)
    finally:
        os.umask(before)
    store_secret("pixiv.refresh_token", "r-1")
    assert json.loads(file.read_text()) == {KEY: "abc123", "pixiv.refresh_token": "r-1"}
    assert [path.name for path in file.parent.iterdir()] == ["secrets.json"]
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert read_secret(KEY) == "abc123"


def test_hanging_keyring_times_out_once(tmp_path: Path) -> None:
    hanging = Hanging()
    keyring.set_keyring(hanging)
    vault = SecretStore(tmp_path, timeout=0.2)
    try:
        assert vault.store(KEY, "abc123") == str(tmp_path / "secrets.json")
        assert vault.read(KEY) == "abc123"
        assert hanging.calls == 1
    finally:
        hanging.released.set()


@pytest.mark.posix("rights of a file's group and of others")
@needs_modes
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o602, 0o666])
def test_file_readable_by_others_raises_error(file: Path, mode: int) -> None:
    store_secret(KEY, "abc123")
    file.chmod(mode)
    for attempt in (lambda: read_secret(KEY), lambda: store_secret(KEY, "x")):
        with pytest.raises(NeedsLogin, match=r"chmod 600 .*secrets\.json") as caught:
            attempt()
        assert "abc123" not in str(caught.value)
    file.chmod(0o600)
    assert read_secret(KEY) == "abc123"


@pytest.mark.parametrize("text", ['{"flickr.key": "abc123"', '["abc123"]', '{"a": 1}', "\xff"])
def test_damaged_file_error_contains_no_secret(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True)
    file.touch(0o600)
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(NeedsLogin, match="damaged") as caught:
        read_secret(KEY)
    assert "abc123" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_redact_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    store_secret(KEY, "k3y/with+signs")
    monkeypatch.setenv("PIXIV_REFRESH_TOKEN", "t0ken-of-pixiv")
    result = "key k3y/with+signs, quoted k3y%2Fwith%2Bsigns, token t0ken-of-pixiv, and the rest"
    assert redact_secrets(result) == "key ***, quoted ***, token ***, and the rest"
    assert "k3y" not in repr(SecretStore())

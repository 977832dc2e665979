"""Secrets in the environment and in a file."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import platformdirs
import pytest

from gleanset.errors import NeedsLogin
from harvest.secrets import VARIABLES, read_secret, redact_secrets, store_secret

KEY = "flickr.key"
needs_modes = pytest.mark.skipif(os.name != "posix", reason="needs the modes of POSIX files")


@pytest.fixture(autouse=True)
def _own_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def file() -> Path:
    return Path(platformdirs.user_config_dir("gleanset")) / "secrets.json"


def test_private_file_is_used(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0)
    try:
        store_secret(KEY, " abc123 ")
    finally:
        os.umask(before)
    store_secret("pixiv.refresh_token", "r-1")
    assert json.loads(file.read_text()) == {KEY: "abc123", "pixiv.refresh_token": "r-1"}
    assert [path.name for path in file.parent.iterdir()] == ["secrets.json"]
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert read_secret(KEY) == "abc123"
    monkeypatch.setenv("FLICKR_API_KEY", "from-the-environment\n")
    assert read_secret(KEY) == "from-the-environment"
    monkeypatch.setenv("FLICKR_API_KEY", "")
    assert read_secret(KEY) == "abc123"


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

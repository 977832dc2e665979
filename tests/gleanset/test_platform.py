"""Features of some operating systems, and their replacements elsewhere."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from gleanset import platform


@pytest.mark.parametrize("error", [ImportError, KeyError, OSError])
def test_user_name_falls_back_to_someone(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def raise_error() -> str:
        raise error("no name")

    monkeypatch.setattr(getpass, "getuser", raise_error)
    assert platform.get_user_name() == "someone"


def test_exchange_paths_swaps_or_keeps(tmp_path: Path) -> None:
    file, other = tmp_path / "one", tmp_path / "other"
    file.write_text("1")
    other.write_text("2")
    swapped = platform.exchange_paths(file, other)
    assert (file.read_text(), other.read_text()) == (("2", "1") if swapped else ("1", "2"))
    assert not platform.exchange_paths(file, tmp_path / "missing")

"""PySide6 is installed in a version without known faults."""

import pytest

PySide6 = pytest.importorskip(
    "PySide6", reason="needs PySide6: pip install 'gleanset[gui]'"
)


def test_pyside6_version_is_supported() -> None:
    """PySide6 6.12.0 loses a reference to None with every override that returns nothing."""
    assert (6, 8) <= PySide6.__version_info__[:2] < (6, 12)

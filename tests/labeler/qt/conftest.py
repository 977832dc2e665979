"""Setup of the window tests, which need PySide6 and no display; fixtures: `window_fixtures`."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
if find_spec("PySide6") is None:
    # `test__pyside6.py` reports what is missing.
    collect_ignore_glob = ["test_[!_]*.py"]
else:
    from window_fixtures import (  # noqa: F401 - fixtures
        _mouse_outside,
        _own_settings,
        _short_enter_delay,
        _usual_texts,
        application,
        clusters_person,
        faces,
        fake_commands,
        install_language,
        labelled,
        open_window,
        person,
        shared_faces,
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test in this folder as `gui`."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.gui)

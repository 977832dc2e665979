"""The container of the detector animeface-docker, made once, for the tests that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from container_image import IMAGE, build_image

from facecrop.detectors.animeface_docker import IMAGE_SETTING, container
from facecrop.run_docker import ENGINE_SETTING, ContainerEngine


@pytest.fixture(scope="session")
def engine() -> ContainerEngine:
    """An engine that runs here and has the test's image; skips, saying why, where none does."""
    return build_image()


@pytest.fixture
def container_engine(
    engine: ContainerEngine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ContainerEngine]:
    """The same, chosen by the settings, and without a container before and after the test."""
    monkeypatch.setenv(ENGINE_SETTING, engine.program)
    monkeypatch.setenv(IMAGE_SETTING, IMAGE)
    yield engine
    container.cache_clear()

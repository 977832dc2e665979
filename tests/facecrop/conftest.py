"""Fixtures for the container of the detector animeface-docker."""

from collections.abc import Iterator

import pytest
from container_image import IMAGE, build_image

from facecrop.detectors.animeface_docker import IMAGE_SETTING, get_container
from facecrop.run_docker import ENGINE_SETTING, ContainerEngine


@pytest.fixture(scope="session")
def engine() -> ContainerEngine:
    """Return a working engine with the test image, or skip."""
    return build_image()


@pytest.fixture
def container_engine(
    engine: ContainerEngine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ContainerEngine]:
    """Yield the engine that the settings select, without leftover containers."""
    monkeypatch.setenv(ENGINE_SETTING, engine.program)
    monkeypatch.setenv(IMAGE_SETTING, IMAGE)
    yield engine
    get_container.cache_clear()

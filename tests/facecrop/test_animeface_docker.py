"""animeface in a real container: isolated, with the same results as in process."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from built_detectors import build_detector
from container_image import IMAGE
from facecrop_scenes import scene
from PIL import Image
from tools_for_tests import run_cli

from facecrop.detectors import animeface_docker
from facecrop.detectors.animeface_docker import IMAGE_SETTING, AnimeFaceDocker
from facecrop.run_docker import ENGINE_SETTING, MEMORY_MB, ContainerEngine
from gleanset.arrays import Pixels
from gleanset.records import Face

# Building the base takes half a minute, or several on a busy machine.
pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]


def control(engine: ContainerEngine, *words: str) -> str:
    done = subprocess.run(
        [engine.program, *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def in_process(pixels: Pixels) -> list[Face]:
    """Return in-process results under the container's name."""
    faces = build_detector("animeface").detect(pixels)
    return [replace(face, detector="animeface-docker") for face in faces]


@pytest.fixture
def detector(container_engine: ContainerEngine) -> AnimeFaceDocker:
    animeface_docker.get_container.cache_clear()
    return AnimeFaceDocker()


@pytest.mark.parametrize(
    ("canvas", "places"),
    [
        ((420, 300), [50]),
        ((1920, 1080), [100, 900, 1500]),
        ((3000, 4000), [300, 2000]),
        ((7000, 1000), [200, 3400, 6500]),
        ((1, 1), []),
        ((57, 57), []),
        ((56, 900), []),
    ],
    ids=lambda value: "x".join(map(str, value)),
)
def test_drawn_faces_match_in_process_results(
    detector: AnimeFaceDocker, canvas: tuple[int, int], places: list[int]
) -> None:
    pixels = np.asarray(
        scene(*places, size=canvas, side=160 if canvas[0] < 1000 else 480)
    )
    result = detector.detect(pixels)
    assert (result, len(result)) == (in_process(pixels), len(places))


def test_real_images_match_in_process_results(
    detector: AnimeFaceDocker, shared_data: Path
) -> None:
    files = sorted((shared_data / "faces").glob("*.[jp]*g"))
    assert len(files) > 70
    faces = 0
    for file in files:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
        result = detector.detect(pixels)
        assert result == in_process(pixels), file.name
        faces += len(result)
    assert faces > 20


def test_container_is_isolated(
    detector: AnimeFaceDocker, container_engine: ContainerEngine
) -> None:
    own = ("--filter", f"name=gleanset-{os.getpid()}-")
    names = control(container_engine, "ps", "--all", "--quiet", *own).split()
    result = json.loads(control(container_engine, "inspect", *names))
    assert result, "it runs"
    for container in result:
        host = container["HostConfig"]
        assert container["Config"]["User"] == "65534:65534"
        assert (host["NetworkMode"], host["ReadonlyRootfs"]) == ("none", True)
        assert not container["Mounts"]
        if container_engine.name == "docker":
            assert host["CapDrop"] == ["ALL"]
        assert host["Memory"] == host["MemorySwap"] == MEMORY_MB * 2**20
        assert host["PidsLimit"] == 16


def test_check_command_reports_image(container_engine: ContainerEngine) -> None:
    setting = {ENGINE_SETTING: container_engine.program, IMAGE_SETTING: IMAGE}
    result = run_cli("facecrop.cli", "docker", "check", "--json", **setting).json
    assert result == {
        "engine": container_engine.name,
        "image": IMAGE,
        "animeface": "2.0.3",
        "pillow": "11.3.0",
    }

"""The detector in a real container: the same as in process, walled in, and hard to hurt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from container_image import IMAGE
from facecrop_scenes import put, scene
from PIL import Image
from tools_for_tests import eventually, python, run_cli

from facecrop.detectors import DetectorSpec, Pixels, animeface_docker, detector_named
from facecrop.detectors.animeface_docker import IMAGE_SETTING, AnimeFaceDocker
from facecrop.run_docker import ENGINE_SETTING, MEMORY, ContainerEngine
from facecrop.search import find_faces
from gleanset import Dataset
from gleanset.images.cut import CutSettings
from gleanset.records import Face

# Making the base takes half a minute, and several on a machine that is busy.
pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]


def ours(engine: ContainerEngine, pid: int | None = None) -> list[str]:
    """The containers of that process (this one) that run or are left over."""
    named = f"name=gleanset-{pid or os.getpid()}-"
    return control(engine, "ps", "--all", "--quiet", "--filter", named).split()


def of_workers(engine: ContainerEngine) -> list[str]:
    """The containers of our worker processes."""
    here = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [container for pid in here for container in ours(engine, int(pid))]


def control(engine: ContainerEngine, *words: str) -> str:
    done = subprocess.run([engine.program, *words], capture_output=True, text=True, check=True)
    return done.stdout


def in_process(pixels: Pixels) -> list[Face]:
    """What animeface finds, said as if the container had."""
    faces = detector_named("animeface").detect(pixels)
    return [replace(face, detector="animeface-docker") for face in faces]


@pytest.fixture
def detector(container_engine: ContainerEngine) -> AnimeFaceDocker:
    """Each test's own: most of them hurt its container."""
    animeface_docker.container.cache_clear()
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
def test_drawn_faces_are_the_same(
    detector: AnimeFaceDocker, canvas: tuple[int, int], places: list[int]
) -> None:
    side = 160 if canvas[0] < 1000 else 480
    pixels = np.asarray(scene(*places, size=canvas, side=side))
    found = detector.detect(pixels)
    assert found == in_process(pixels)
    assert len(found) == len(places)


def test_real_pictures_give_the_same(detector: AnimeFaceDocker, shared_data: Path) -> None:
    files = sorted((shared_data / "faces").glob("*.[jp]*g"))
    assert len(files) > 70
    faces = 0
    for file in files:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
        found = detector.detect(pixels)
        assert found == in_process(pixels), file.name
        faces += len(found)
    assert faces > 20


def test_the_container_is_walled_in(
    detector: AnimeFaceDocker, container_engine: ContainerEngine
) -> None:
    told = json.loads(control(container_engine, "inspect", *ours(container_engine)))
    assert told, "it runs"
    for container in told:
        host = container["HostConfig"]
        assert container["Config"]["User"] == "65534:65534"
        assert (host["NetworkMode"], host["ReadonlyRootfs"]) == ("none", True)
        assert not container["Mounts"]
        if container_engine.name == "docker":
            assert host["CapDrop"] == ["ALL"]
        assert host["Memory"] == host["MemorySwap"] == MEMORY * 2**20
        assert host["PidsLimit"] == 16


def test_a_killed_container_is_replaced(
    detector: AnimeFaceDocker, container_engine: ContainerEngine
) -> None:
    pixels = np.asarray(scene(50))
    before = detector.detect(pixels)
    killed = ours(container_engine)
    control(container_engine, "kill", *killed)
    assert detector.detect(pixels) == before
    assert not set(killed) & set(ours(container_engine))


def test_a_frozen_container_is_replaced(
    detector: AnimeFaceDocker, container_engine: ContainerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(animeface_docker, "SEARCH_SECONDS", 5.0)
    pixels = np.asarray(scene(50))
    before = detector.detect(pixels)
    frozen = ours(container_engine)
    control(container_engine, "pause", *frozen)
    assert detector.detect(pixels) == before
    assert not set(frozen) & set(ours(container_engine))


def test_a_run_loses_nothing_to_killed_containers(
    dataset: Dataset, container_engine: ContainerEngine
) -> None:
    for left in range(24):
        put(dataset, scene(5 + 10 * left))
    over = threading.Event()

    def kill_one_after_another() -> None:
        while not over.wait(2.5):
            for container in of_workers(container_engine)[:1]:
                subprocess.run([container_engine.program, "kill", container], capture_output=True)

    killer = threading.Thread(target=kill_one_after_another)
    killer.start()
    try:
        spec = DetectorSpec.of("animeface-docker", image=IMAGE)
        tally = find_faces(dataset, spec, CutSettings(margin=0.3), workers=2)
    finally:
        over.set()
        killer.join()
    assert tally["images"] == 24
    # A container that is killed twice within one picture costs that picture, and is counted.
    assert tally["faces"] + tally["rejected"] == 24
    assert tally["rejected"] <= 2


def test_a_container_ends_with_its_killed_process(container_engine: ContainerEngine) -> None:
    code = (
        "import time; from facecrop.detectors import detector_named\n"
        "kept = detector_named('animeface-docker'); print('ready', flush=True); time.sleep(600)"
    )
    with python(code) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        assert len(ours(container_engine, process.pid)) == 1
        os.kill(process.pid, signal.SIGKILL)
    assert eventually(lambda: not ours(container_engine, process.pid))


def test_commands_know_the_image(container_engine: ContainerEngine) -> None:
    setting = {ENGINE_SETTING: container_engine.program, IMAGE_SETTING: IMAGE}
    told = run_cli("facecrop.cli", "docker", "check", "--json", **setting).json
    assert told == {
        "engine": container_engine.name,
        "image": IMAGE,
        "animeface": "2.0.3",
        "pillow": "11.3.0",
    }

"""`facecrop docker`: the container of the detector animeface-docker."""

import os
import time
from pathlib import Path

import click

from gleanset.cli import Command, CommandJob, job_options
from gleanset.command_result import CommandResult
from gleanset.errors import GleansetError, InputUnusable
from gleanset.installation import restore_command

BUILD = "build"
CHECK = "check"


class DockerResult(CommandResult, kw_only=True):
    """The container that answered, and the versions in it; `seconds` of a build."""

    engine: str
    image: str
    animeface: str
    pillow: str
    seconds: float | None = None


@click.command(cls=Command)
@job_options(dataset=False)
@click.argument("action", type=click.Choice([BUILD, CHECK]))
@click.option(
    "--base",
    metavar="IMAGE",
    help="Base image with Python 3.11 to 3.13 and venv. Default: python:3.12-slim.",
)
@click.option(
    "--engine",
    type=click.Choice(["docker", "podman"]),
    help="Container engine. Default: $GLEANSET_CONTAINER_ENGINE, else the first that works.",
)
def docker(
    job: CommandJob, action: str, base: str | None, engine: str | None
) -> DockerResult:
    """Build or check the image of the detector animeface-docker.

    Both run it once on a test image. It is named gleanset-animeface-2009, or
    $GLEANSET_CONTAINER_IMAGE. Output of the engine goes to stderr.

    Example: facecrop docker build --engine podman
    """
    from facecrop.detectors.animeface_docker import choose_image_name
    from facecrop.run_docker import choose_engine

    image = choose_image_name()
    start = time.monotonic()
    if action == CHECK:
        return _test_image(engine or "", image)
    container_engine = choose_engine(image, engine or "", to_build=True)
    container_engine.build(find_build_context(), image, base, job.say)
    result = _test_image(container_engine.program, image)
    result.seconds = round(time.monotonic() - start, 1)
    return result


def states() -> dict[str, dict[str, str]]:
    """Return each engine's `state`, and a `hint` unless it is "ready"."""
    from facecrop.detectors.animeface_docker import choose_image_name
    from facecrop.run_docker import ENGINE_SETTING, ENGINES

    names = dict.fromkeys(ENGINES)
    if setting := os.environ.get(ENGINE_SETTING):
        names[setting] = None
    return {name: _describe_state(name, choose_image_name()) for name in names}


def _describe_state(name: str, image: str) -> dict[str, str]:
    from facecrop.run_docker import find_engines

    try:
        trouble: GleansetError | None = find_engines(name)[0].find_trouble(image)
    except GleansetError as error:
        trouble = error
    if trouble:
        return {"state": trouble.what, "hint": trouble.fix}
    return {"state": "ready"}


def find_build_context() -> Path:
    """Return the folder with the Dockerfile, of a checkout or a wheel.

    Raises `InputUnusable` if it is missing.
    """
    package = Path(__file__).resolve().parent
    for folder in (
        package / "animeface-2009",
        package.parent / "docker" / "animeface-2009",
    ):
        if (folder / "Dockerfile").is_file():
            return folder

    raise InputUnusable(
        "the folder docker/animeface-2009 is missing from this installation",
        restore_command("docker"),
    )


def _test_image(engine: str, image: str) -> DockerResult:
    from facecrop.detectors.animeface_docker import AnimeFaceContainer

    container = AnimeFaceContainer(engine, image)
    greeting = container.greeting
    container.stop()
    return DockerResult(
        engine=container.engine,
        image=image,
        animeface=greeting.animeface,
        pillow=greeting.pillow,
    )

"""What docker and podman complain of, as errors with their mend.

The engines have one exit code for everything: what went wrong is told by their words.
"""

from __future__ import annotations

import re

from gleanset.errors import MissingComponent

# In lower case. Tried with docker 20 and 28 and podman 4; newer ones put it a little differently.
_NO_IMAGE = re.compile(r"no such image|image not known|no such object|unable to find image")
_NOT_PERMITTED = re.compile(r"permission denied|operation not permitted")
_NOT_RUNNING = re.compile(
    r"cannot connect|daemon is running|daemon running|failed to connect|connection refused"
)

_START = {"docker": "sudo systemctl start docker", "podman": "podman machine start"}


class ImageNotBuilt(MissingComponent):
    """The engine works, but does not have the image."""


def none_there(names: tuple[str, ...]) -> MissingComponent:
    """None of the engines of these names is installed."""
    return MissingComponent(
        f"there is no {' and no '.join(names)} on this machine",
        "install one: sudo apt-get install podman (or docker.io); "
        "the detector animeface finds the same faces without a container",
    )


def broken(name: str, error: OSError) -> MissingComponent:
    """The engine's program is there and cannot be started."""
    return MissingComponent(f"{name} cannot be started: {error}", f"install {name} anew")


def silent(name: str, seconds: float) -> MissingComponent:
    """The engine did not answer within so many seconds."""
    return MissingComponent(
        f"{name} has not answered in {seconds:g} seconds",
        f"see what `{name} info` says; starting its service anew often helps",
    )


def explained(name: str, words: str, image: str) -> MissingComponent:
    """The error for the `words` that the engine `name` printed when asked for `image`."""
    lowered = words.lower()
    if _NO_IMAGE.search(lowered):
        mend = "build it with: facecrop docker build"
        return ImageNotBuilt(f"{name} has no image {image}", mend)
    if _NOT_PERMITTED.search(lowered):
        return MissingComponent(
            f"you are not permitted to use {name}: {last_line(words)}",
            "sudo usermod -aG docker $USER, then log in again (this group may do what root may); "
            "or install podman, which needs no rights",
        )
    if _NOT_RUNNING.search(lowered):
        mend = f"start it with: {_START.get(name, _START['docker'])}"
        return MissingComponent(f"{name} is installed but is not running", mend)
    return MissingComponent(
        f"{name} does not work here: {last_line(words)}", f"see what `{name} info` says"
    )


def not_built(name: str, image: str, last: str) -> MissingComponent:
    """Building the image failed; `last` is the end of what the engine printed."""
    return MissingComponent(
        f"{name} could not build the image {image}; it ended with:\n     {last}",
        "the build gets its base and two Python packages from the net; another base with Python "
        "3.11 to 3.13 and venv is taken with --base IMAGE",
    )


def last_line(words: str) -> str:
    """The last line that says something, without what a terminal would act on."""
    lines = [line for raw in words.splitlines() if (line := printable(raw).strip())]
    return lines[-1][:300] if lines else "it does not say why"


def printable(line: str) -> str:
    """A line without control characters."""
    return "".join(letter for letter in line if letter.isprintable())

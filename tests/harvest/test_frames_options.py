"""Command-line options of `harvest frames`, the sampling they select, the disk it needs."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

import harvest.cli
from gleanset.errors import UsageError
from harvest.cli import frames
from harvest.request import FramesRequest
from harvest.video.options import parse_time
from harvest.video.sampling import SIMILAR, Sampling


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12:34", 754),
        ("1:02:03.5", 3723.5),
        ("0:00", 0),
        ("90s", 90),
        ("1.5m", 90),
        ("500ms", 0.5),
        ("0", 0),
        ("1h", 3600),
        (" 1:05 ", 65),
    ],
)
def test_parse_time(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds)


SAMPLINGS: list[tuple[dict[str, Any], Sampling]] = [
    ({}, Sampling()),
    ({"every": "5s"}, Sampling("every", every=5.0)),
    ({"every": "1/5fps"}, Sampling("every", every=5.0)),
    ({"keyframes": True}, Sampling("keyframes")),
    ({"scenes": 3}, Sampling("scenes", per_scene=3)),
    ({"start": "1:00", "end": "2:00", "limit": 7}, Sampling(start=60.0, end=120.0, limit=7)),
    ({"size": "960x540"}, Sampling(width=960, height=540)),
    ({"size": "x540"}, Sampling(height=540)),
    ({"format": "jpg:80"}, Sampling(format="jpeg", quality=80)),
    ({"format": "png"}, Sampling(format="png")),
    ({"skip_similar": True}, Sampling()),
    ({"skip_similar": 0}, Sampling(skip_similar=0)),
    ({"skip_openings": True}, Sampling(skip_openings=True)),
    ({"skip_similar": False, "keep_bad": True}, Sampling(skip_similar=None, drop_bad=False)),
]


@pytest.mark.parametrize(("options", "sampling"), SAMPLINGS)
def test_request_gives_sampling(options: dict[str, Any], sampling: Sampling) -> None:
    assert FramesRequest(videos=("a",), **options).sampling() == sampling


CONTRADICTIONS: list[dict[str, Any]] = [
    {"keyframes": True, "scenes": 1},
    {"every": "1s", "scenes": 1},
    {"format": "png:90"},
    {"format": "jpeg:0"},
    {"size": "96x54!"},
    {"size": "0x5"},
    {"size": "5x99999"},
    {"start": "2:00", "end": "1:00"},
    {"format": "webp"},
    {"every": "0s"},
    {"end": "0"},
    {"every": ""},
    {"size": ""},
]


@pytest.mark.parametrize("options", CONTRADICTIONS)
def test_contradictory_options_raise_error(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        FramesRequest(videos=("a",), **options).sampling()
    assert caught.value.fix


def parse_arguments(*args: str) -> FramesRequest:
    """Return the request that the real command makes of its arguments."""
    requests: list[FramesRequest] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harvest.cli, "carry_out", lambda _, request: requests.append(request))
        frames.main(["-q", *args], standalone_mode=False)
    return requests[0]


def test_skip_similar_option() -> None:
    assert parse_arguments("a").skip_similar == SIMILAR
    assert parse_arguments("--skip-similar", "3", "a").skip_similar == 3
    assert parse_arguments("--skip-similar", "off", "a").sampling().skip_similar is None
    with pytest.raises(UsageError, match="99"):
        parse_arguments("--skip-similar", "99", "a")
    assert CliRunner().invoke(frames, ["--scenes", "0", "a"]).exit_code == 2

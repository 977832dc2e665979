"""The `harvest frames` command line: folders, URLs, and exit codes of errors."""

from __future__ import annotations

import functools
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tools_for_tests import Ran, drawn_video

from gleanset import Dataset, Origin
from harvest.cli import main

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
Frames = Callable[..., Ran]
ALL = ("--skip-similar", "off", "--keep-bad", "--json")


def clip(path: Path, source: str = "testsrc2=s=96x64:r=10:d=3") -> Path:
    return drawn_video(path, source, "-c:v", "mpeg4", "-q:v", "2")


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make two episodes, a subfolder, and files that are not videos."""
    folder = tmp_path_factory.mktemp("episodes")
    (folder / "extra").mkdir()
    clip(folder / "1.mkv")
    clip(folder / "2.mp4", "mandelbrot=s=96x64:r=10,trim=duration=2")
    clip(folder / "extra" / "3.webm.avi", "testsrc=s=96x64:r=10:d=1")
    (folder / "notes.txt").write_text("no video")
    return folder


@pytest.fixture
def frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Frames:
    """Return a function that runs `harvest frames` on the dataset `d`."""

    def run(*args: str | Path) -> Ran:
        words = ["harvest", "frames", "-d", tmp_path / "d", *args]
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        with pytest.raises(SystemExit) as end:
            main()
        return Ran(int(str(end.value.code)), *capfd.readouterr())

    return run


def origins(root: Path) -> list[Origin]:
    with Dataset.open(root) as dataset:
        result = [origin for image in dataset.images.iterate() for origin in image.origins]
    return sorted(result, key=lambda origin: (origin.title or "", origin.time or 0.0))


def test_bad_file_does_not_affect_others(frames: Frames, tmp_path: Path, episodes: Path) -> None:
    shutil.copytree(episodes, tmp_path / "in")
    (tmp_path / "in" / "broken.mkv").write_bytes(b"\x1aE\xdf\xa3 cut off")
    done = frames(tmp_path / "in", "--every", "1s", *ALL)
    assert done.code == 0
    assert (done.json["added"], done.json["rejected"]) == (6, 1)
    alone = frames(tmp_path / "in" / "broken.mkv", "--json")
    assert alone.code == 3
    assert "broken.mkv: " in alone.stderr
    assert "Traceback" not in alone.stderr


def test_simulation_lists_videos(frames: Frames, tmp_path: Path, episodes: Path) -> None:
    done = frames(episodes, "--every", "1s", "-s", "--json")
    assert done.code == 0, done.stderr
    *shown, _ = done.stdout.splitlines()
    assert shown == [str(episodes / name) for name in ("1.mkv", "2.mp4", "extra/3.webm.avi")]
    assert done.json["videos"] == 3
    assert not (tmp_path / "d").exists()
    assert frames(episodes / "1.mkv", "--every", "1s", "-q").code == 0
    again = frames(episodes, "--every", "1s", "-s", "--json")
    assert (again.json["videos"], again.json["known"]) == (2, 1)


class Quiet(SimpleHTTPRequestHandler):
    requests: list[str]

    def send_head(self) -> Any:
        self.requests.append(self.path)
        if self.path == "/forbidden.mp4":
            self.send_error(403)
            return None
        return super().send_head()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""


class Site(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore that yt-dlp hangs up once it knows a file's type."""


@pytest.fixture
def web_site(episodes: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve the episodes on loopback; yield the URL and requested paths."""
    pytest.importorskip("yt_dlp", reason="needs the extra [video]")
    requests: list[str] = []
    handler = type("Recording", (Quiet,), {"requests": requests})
    server = Site(("127.0.0.1", 0), functools.partial(handler, directory=episodes))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", requests
    server.shutdown()
    thread.join()
    server.server_close()


def test_exit_codes_of_web_errors(
    frames: Frames, tmp_path: Path, web_site: tuple[str, list[str]], episodes: Path
) -> None:
    base, requests = web_site
    private = frames(f"{base}/1.mkv")
    assert private.code == 3
    assert "--allow-private" in private.stderr
    assert requests == []
    refused = frames(f"{base}/forbidden.mp4", "--allow-private")
    assert refused.code == 4
    assert "403" in refused.stderr
    both = frames(f"{base}/forbidden.mp4", episodes / "2.mp4", "--allow-private", *ALL)
    assert both.code == 0
    assert both.json["rejected"] == 1
    assert both.json["added"] > 0

"""Videos on the web: a real yt-dlp with a real server on loopback."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tools_for_tests import Ran, drawn_video, run_here

from gleanset import Dataset
from gleanset.errors import DiskFull, MissingComponent, Unreachable
from gleanset.installation import install_command
from harvest.frames import harvest_frames
from harvest.http import Client, DownloadLimits
from harvest.http.connections import is_private
from harvest.video.inputs import InputResult, KnownVideo, LocalVideo, UnusableInput
from harvest.video.remote import VideoUrl
from harvest.video.sampling import Sampling

pytest.importorskip("yt_dlp", reason="needs the extra [video]")
pytestmark = [
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg"),
    # Where a stream breaks off, yt-dlp leaves its own file open.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]


class Pages(ThreadingHTTPServer):
    """A server of a folder that records requests; `/status/403` answers so."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []
        self.agents: set[str] = set()
        self.broken: set[str] = set()
        self.ranges: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}/{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that hang up once they have read enough."""


class _Handler(SimpleHTTPRequestHandler):
    server: Pages

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, directory=str(args[2].folder), **options)

    def send_head(self) -> Any:
        self.server.requests.append(self.path)
        self.server.agents.add(self.headers.get("User-Agent", ""))
        if self.path.startswith("/status/"):
            self.send_error(int(self.path.rsplit("/", 1)[-1]))
            return None
        if "Range" in self.headers:
            return self._rest(self.headers["Range"])
        return super().send_head()

    def _rest(self, byte_range: str) -> Any:
        """Serve a byte range of a file, as every real server does."""
        self.server.ranges.append(byte_range)
        file = Path(self.translate_path(self.path)).open("rb")  # noqa: SIM115
        size = Path(file.name).stat().st_size
        begin = int(byte_range.removeprefix("bytes=").partition("-")[0])
        file.seek(begin)
        self.send_response(206)
        self.send_header("Content-Type", self.guess_type(self.path))
        self.send_header("Content-Range", f"bytes {begin}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - begin))
        self.end_headers()
        return file

    def copyfile(self, source: Any, outputfile: Any) -> None:
        while data := source.read(1 << 14):
            outputfile.write(data)
            if self.path in self.server.broken and source.tell() > 100_000:
                self.close_connection = True
                return

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Log nothing."""


def encode(path: Path, *options: str) -> Path:
    return drawn_video(path, "testsrc=s=96x64:r=10:d=3", "-c:v", "libx264", "-g", "10", *options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a clip, a page with two clips, and several streams."""
    folder = tmp_path_factory.mktemp("site")
    clip = encode(folder / "episode.mp4")
    (folder / "other.mp4").write_bytes(clip.read_bytes() + b"\0")
    page = '<title>Two</title><video src="/episode.mp4"></video><video src="/other.mp4"></video>'
    (folder / "two.html").write_text(f"<html>{page}</html>")
    (folder / "text.html").write_text("<html><title>Words</title>nothing moves here</html>")
    stream = encode(folder / "stream.m3u8", "-f", "hls", "-hls_time", "1", "-hls_list_size", "0")
    result = stream.read_text()
    (folder / "live.m3u8").write_text(result.replace("#EXT-X-ENDLIST", ""))
    return folder


@pytest.fixture
def pages(folder: Path) -> Iterator[Pages]:
    server = Pages(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
    gc.collect()


def iter_results(
    url: str, scratch: Path, *, private: bool = True, sampled: str | None = None
) -> Iterator[InputResult]:
    def client() -> Client:
        return Client(allow_private=private, contact="me@example.org")

    return VideoUrl(url, client, sampled).iter_videos(scratch)


def single_result(url: str, scratch: Path, *, private: bool = True) -> InputResult:
    [result] = list(iter_results(url, scratch, private=private))
    return result


def test_download_writes_only_the_video(
    pages: Pages, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    scratch = tmp_path / "scratch"
    url = pages.url("episode.mp4")
    level = logging.getLogger("urllib3").level
    video = single_result(url, scratch)
    assert isinstance(video, LocalVideo)
    assert video.path.read_bytes() == (pages.folder / "episode.mp4").read_bytes()
    assert (video.display_name, video.origin.path) == (url, None)
    assert (video.origin.page_url, video.origin.title) == (url, "episode")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [video.path]
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("urllib3").level == level
    assert {agent.partition("/")[0] for agent in pages.agents} == {"gleanset"}
    assert all("me@example.org" in agent for agent in pages.agents)


def test_download_is_removed_after_sampling(pages: Pages, tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        downloads = dataset.cache / "downloads"
        client = partial(Client, allow_private=True)
        address = VideoUrl(pages.url("episode.mp4"), client, cache=downloads)
        assert harvest_frames(dataset, [address], Sampling("every", 1.0))["added"]
        assert not list(downloads.iterdir())


def test_page_with_two_videos(pages: Pages, tmp_path: Path) -> None:
    videos = list(iter_results(pages.url("two.html"), tmp_path))
    assert {video.display_name for video in videos} == {
        pages.url("episode.mp4"),
        pages.url("other.mp4"),
    }
    assert len({video.sha256 for video in videos if isinstance(video, LocalVideo)}) == 2


def test_known_video_is_not_requested(pages: Pages, tmp_path: Path) -> None:
    url = pages.url("episode.mp4")
    assert list(iter_results(url, tmp_path, sampled="ab" * 32)) == [KnownVideo(url, "ab" * 32)]
    assert pages.requests == []


def test_private_address_is_rejected(pages: Pages, tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "127.1"):
        result = single_result(pages.url("episode.mp4", host), tmp_path, private=False)
        assert isinstance(result, UnusableInput)
        assert result.reason == "private address"
    assert pages.requests == []


def test_name_with_private_address_is_rejected(pages: Pages, tmp_path: Path) -> None:
    host = socket.gethostname()
    try:
        private = is_private(socket.gethostbyname(host))
    except OSError:
        private = False
    if not private:
        pytest.skip("this machine's own name leads nowhere private")
    result = single_result(pages.url("episode.mp4", host), tmp_path, private=False)
    assert isinstance(result, UnusableInput)
    assert result.reason == "private address"
    assert pages.requests == []


def test_error_of_yt_dlp_is_reported(pages: Pages, tmp_path: Path) -> None:
    result = single_result(pages.url("status/404"), tmp_path)
    assert isinstance(result, UnusableInput)
    assert (result.reason, type(result.error)) == ("not downloaded", Unreachable)
    assert "404" in result.detail


def test_live_stream_and_page_without_video_are_rejected(pages: Pages, tmp_path: Path) -> None:
    for page in ("text.html", "live.m3u8"):
        result = single_result(pages.url(page), tmp_path)
        assert isinstance(result, UnusableInput)
        assert result.reason == "not downloaded"


def test_exit_codes_of_web_errors(pages: Pages, tmp_path: Path) -> None:
    def run(*words: str | Path) -> Ran:
        return run_here("harvest.cli", "frames", *words, "-d", tmp_path / "d", "--json")

    private = run(pages.url("episode.mp4"))
    assert private.code == 3
    assert "--allow-private" in private.stderr
    assert pages.requests == []
    refused = run(pages.url("status/403"), "--allow-private")
    assert refused.code == 4
    assert "403" in refused.stderr
    outcome = run(pages.url("status/403"), pages.folder / "episode.mp4", "--allow-private")
    assert (outcome.code, outcome.json["rejected"]) == (0, 1)
    assert outcome.json["added"] > 0


def test_full_disk_ends_download(pages: Pages, small_disk: Callable[[str], Path]) -> None:
    big = pages.folder / "big.mp4"
    big.write_bytes((pages.folder / "episode.mp4").read_bytes() + os.urandom(600_000))
    with pytest.raises(DiskFull):
        list(iter_results(pages.url("big.mp4"), small_disk("size=300k")))


def test_missing_extra_raises_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "yt_dlp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "yt_dlp", None)
    with pytest.raises(MissingComponent, match="yt-dlp") as caught:
        single_result("https://example.org/v", tmp_path)
    assert caught.value.fix == install_command("video")


def test_download_resumes_after_broken_connection(
    pages: Pages, tmp_path: Path, folder: Path
) -> None:
    film = folder / "film.mp4"
    film.write_bytes((folder / "episode.mp4").read_bytes() + os.urandom(600_000))
    limits = DownloadLimits(retries=0)
    address = VideoUrl(
        pages.url("film.mp4"), lambda: Client(limits, allow_private=True), cache=tmp_path
    )
    pages.broken.add("/film.mp4")
    [failed] = address.iter_videos(tmp_path)
    assert isinstance(failed, UnusableInput)
    [part] = tmp_path.rglob("*.part")
    size = part.stat().st_size
    pages.broken.clear()
    pages.ranges.clear()
    [video] = address.iter_videos(tmp_path)
    assert isinstance(video, LocalVideo)
    assert video.path.read_bytes() == film.read_bytes()
    assert f"bytes={size}-" in pages.ranges

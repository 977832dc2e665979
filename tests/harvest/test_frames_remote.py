"""Videos on the web: a real yt-dlp with a real server on loopback."""

import gc
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from mimetypes import guess_type
from pathlib import Path

import pytest
from faulty_server import FaultyServer, Handler, lying_name_server
from tools_for_tests import Ran, drawn_video, run_here, running

from gleanset import Dataset
from gleanset.errors import DiskFull, MissingComponent, Unreadable
from gleanset.installation import install_command
from harvest.frames import FrameHarvest
from harvest.http import Client, DownloadLimits
from harvest.video.inputs import LocalVideo, VideoUrl
from harvest.video.sampling import Sampling

pytest.importorskip("yt_dlp", reason="needs the extra [video]")
pytestmark = [
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg"),
    # Where a stream breaks off, yt-dlp leaves its own file open.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]


class Pages(FaultyServer):
    """A server of a folder; `/status/403` answers so, and `broken` files break off."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.broken: set[str] = set()
        self.ranges: list[str] = []
        self.otherwise = self._answer

    def address(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}/{path}"

    def _answer(self, h: Handler) -> None:
        file = self.folder / h.path.lstrip("/")
        if h.path.startswith("/status/") or not file.is_file():
            h.answer(int(file.name) if file.name.isdigit() else 404)
            return
        data = file.read_bytes()
        begin = 0
        byte_range = h.headers.get("Range")
        if byte_range is not None:
            self.ranges.append(byte_range)
            begin = int(byte_range.removeprefix("bytes=").partition("-")[0])
        h.begin_answer(
            200 if byte_range is None else 206,
            ("Content-Type", guess_type(file.name)[0] or "application/octet-stream"),
            ("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}"),
            ("Content-Length", len(data) - begin),
        )
        h.close_connection = h.path in self.broken
        h.wfile.write(data[begin : 100_000 if h.close_connection else None])


def encode(path: Path, *options: str) -> Path:
    return drawn_video(
        path, "testsrc=s=96x64:r=10:d=3", "-c:v", "libx264", "-g", "10", *options
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a clip, a page with two clips, and several streams."""
    folder = tmp_path_factory.mktemp("site")
    clip = encode(folder / "episode.mp4")
    (folder / "other.mp4").write_bytes(clip.read_bytes() + b"\0")
    page = '<title>Two</title><video src="/episode.mp4"></video><video src="/other.mp4"></video>'
    (folder / "two.html").write_text(f"<html>{page}</html>")
    (folder / "text.html").write_text(
        "<html><title>Words</title>nothing moves here</html>"
    )
    stream = encode(
        folder / "stream.m3u8", "-f", "hls", "-hls_time", "1", "-hls_list_size", "0"
    )
    result = stream.read_text()
    (folder / "live.m3u8").write_text(result.replace("#EXT-X-ENDLIST", ""))
    return folder


@pytest.fixture
def pages(folder: Path) -> Iterator[Pages]:
    with running(Pages(folder)) as server:
        yield server
    gc.collect()


def iter_results(
    url: str, scratch: Path, *, private: bool = True, sampled: str | None = None
) -> Iterator[LocalVideo]:
    def client() -> Client:
        return Client(allow_private=private, contact="me@example.org")

    return VideoUrl(url, client, scratch, sampled).iter_videos()


def single_result(url: str, scratch: Path, *, private: bool = True) -> LocalVideo:
    [result] = list(iter_results(url, scratch, private=private))
    return result


def test_download_writes_only_the_video(
    pages: Pages,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    scratch = tmp_path / "scratch"
    url = pages.address("episode.mp4")
    level = logging.getLogger("urllib3").level
    video = single_result(url, scratch)
    assert video.path.read_bytes() == (pages.folder / "episode.mp4").read_bytes()
    assert (video.display_name, video.origin.path) == (url, None)
    assert (video.origin.page_url, video.origin.title) == (url, "episode")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [video.path]
    assert (capfd.readouterr(), logging.getLogger("urllib3").level) == (("", ""), level)
    agents = {headers["user-agent"] for headers in pages.headers}
    assert {agent.partition("/")[0] for agent in agents} == {"gleanset"}
    assert all("me@example.org" in agent for agent in agents)


def test_download_is_removed_after_sampling(pages: Pages, tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        downloads = dataset.cache / "downloads"
        client = partial(Client, allow_private=True)
        address = VideoUrl(pages.address("episode.mp4"), client, downloads)
        assert FrameHarvest(dataset, Sampling("every", 1.0)).run([address]).added
        assert not list(downloads.iterdir())


def test_page_with_two_videos(pages: Pages, tmp_path: Path) -> None:
    videos = list(iter_results(pages.address("two.html"), tmp_path))
    assert {video.display_name for video in videos} == {
        pages.address("episode.mp4"),
        pages.address("other.mp4"),
    }
    assert len({video.sha256 for video in videos}) == 2


def test_known_video_is_not_requested(pages: Pages, tmp_path: Path) -> None:
    url = pages.address("episode.mp4")
    [video] = iter_results(url, tmp_path, sampled="ab" * 32)
    assert (video.display_name, video.sha256) == (url, "ab" * 32)
    assert pages.requests == []


def test_private_address_is_rejected(
    pages: Pages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying_name_server(monkeypatch, "127.0.0.1")
    for host in ("127.0.0.1", "localhost", "127.1", "pictures.example"):
        with pytest.raises(Unreadable, match="private address"):
            single_result(pages.address("episode.mp4", host), tmp_path, private=False)
    assert pages.requests == []


def test_error_of_yt_dlp_is_reported(pages: Pages, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"not downloaded.*404"):
        single_result(pages.address("status/404"), tmp_path)


def test_live_stream_and_page_without_video_are_rejected(
    pages: Pages, tmp_path: Path
) -> None:
    for page in ("text.html", "live.m3u8"):
        with pytest.raises(Unreadable, match="not downloaded"):
            single_result(pages.address(page), tmp_path)


def test_exit_codes_of_web_errors(pages: Pages, tmp_path: Path) -> None:
    def run(*words: str | Path) -> Ran:
        return run_here("harvest.cli", "frames", *words, "-d", tmp_path / "d", "--json")

    run(pages.address("episode.mp4")).refused(3, "--allow-private")
    assert pages.requests == []
    run(pages.address("status/403"), "--allow-private").refused(4, "403")
    outcome = run(
        pages.address("status/403"), pages.folder / "episode.mp4", "--allow-private"
    )
    assert (outcome.code, outcome.json["rejected"]) == (0, 1)
    assert outcome.json["added"] > 0


def test_full_disk_ends_download(
    pages: Pages, small_disk: Callable[[str], Path]
) -> None:
    big = pages.folder / "big.mp4"
    big.write_bytes((pages.folder / "episode.mp4").read_bytes() + os.urandom(600_000))
    with pytest.raises(DiskFull):
        list(iter_results(pages.address("big.mp4"), small_disk("size=300k")))


def test_missing_extra_raises_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "yt_dlp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "yt_dlp", None)
    with pytest.raises(MissingComponent, match="yt_dlp") as caught:
        single_result("https://example.org/v", tmp_path)
    assert caught.value.fix == install_command("video")


def test_download_resumes_after_broken_connection(
    pages: Pages, tmp_path: Path, folder: Path
) -> None:
    film = folder / "film.mp4"
    film.write_bytes((folder / "episode.mp4").read_bytes() + os.urandom(600_000))
    limits = DownloadLimits(retries=0)
    address = VideoUrl(
        pages.address("film.mp4"), lambda: Client(limits, allow_private=True), tmp_path
    )
    pages.broken.add("/film.mp4")
    with pytest.raises(Unreadable):
        list(address.iter_videos())
    [part] = tmp_path.rglob("*.part")
    size = part.stat().st_size
    pages.broken.clear()
    pages.ranges.clear()
    [video] = address.iter_videos()
    assert video.path.read_bytes() == film.read_bytes()
    assert f"bytes={size}-" in pages.ranges

"""Sampled videos: which are done, and how far the others were when their run stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gleanset.db.connection import Connection
from gleanset.db.values import clean, dump, load


class VideoName(NamedTuple):
    """What a video is called: its content, and where it was found. `url` None for a file."""

    sha256: str
    name: str
    url: str | None = None


class Videos:
    """The `video` table: one row for each video, by content, and sampling."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def frames(self, sha256: str, settings: str) -> int:
        """How many frames that sampling gave; 0 when it was not done yet."""
        return self.done(sha256, settings) or 0

    def done(self, sha256: str, settings: str) -> int | None:
        """How many frames that sampling gave; None when it was not done to its end."""
        row = self._db.one(
            "SELECT frames FROM video WHERE sha256=? AND settings=? AND done", (sha256, settings)
        )
        return None if row is None else int(row["frames"])

    def state(self, sha256: str, settings: str) -> dict[str, Any] | None:
        """What `checkpoint` or `record` stored last (JSON values)."""
        row = self._db.one(
            "SELECT state FROM video WHERE sha256=? AND settings=?", (sha256, settings)
        )
        if row is None or row["state"] is None:
            return None
        told = load(row["state"])
        return told if isinstance(told, dict) else None

    def sampled_at(self, url: str, settings: str) -> str | None:
        """The content (SHA-256) of a video that was sampled to its end from that address."""
        row = self._db.one(
            "SELECT sha256 FROM video WHERE url=? AND settings=? AND done ORDER BY id DESC",
            (url, settings),
        )
        return None if row is None else str(row["sha256"])

    def record(
        self,
        sha256: str,
        name: str,
        settings: str,
        duration: float | None,
        frames: int,
        url: str | None = None,
        state: Mapping[str, object] | None = None,
    ) -> None:
        """Note that a video was sampled to its end. `duration` in seconds."""
        self._put(VideoName(sha256, name, url), settings, duration, frames, state, done=True)

    def checkpoint(
        self,
        video: VideoName,
        settings: str,
        duration: float | None,
        frames: int,
        state: Mapping[str, object],
    ) -> None:
        """Note how far the sampling of a video is; `state` is what goes on from there."""
        self._put(video, settings, duration, frames, state, done=False)

    def _put(
        self,
        video: VideoName,
        settings: str,
        duration: float | None,
        frames: int,
        state: Mapping[str, object] | None,
        *,
        done: bool,
    ) -> None:
        with self._db.write():
            self._db.run(
                "INSERT INTO video(sha256,name,settings,duration,frames,url,state,done) "
                "VALUES(?,?,?,?,?,?,?,?) ON CONFLICT(sha256,settings) DO UPDATE SET "
                "name=excluded.name, duration=excluded.duration, frames=excluded.frames, "
                "url=coalesce(excluded.url, url), state=excluded.state, done=excluded.done",
                (
                    video.sha256,
                    clean(video.name),
                    settings,
                    duration,
                    frames,
                    clean(video.url),
                    None if state is None else dump(state),
                    done,
                ),
            )

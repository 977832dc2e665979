"""TensorBoard's events, written at once by the thread that trains.

TensorBoard's own writer hands them to a thread by a queue. Ctrl-C in the middle of that leaves a
queue to which nobody listens, and closing it waits for ever: 4 of 42 trainings that were
interrupted never ended.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from gleanset.files.atomic import disk_errors


class TensorBoardEvents:
    """A new file of events in `folder`. Raises `DiskFull` and `NotWritable`."""

    def __init__(self, folder: Path) -> None:
        # TensorBoard reads files with such names, in the order of their times.
        name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}.0"
        self._path = folder / name
        with disk_errors(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            self._records = RecordWriter(self._path.open("ab"))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, name: str, value: float, step: int) -> None:
        """Add a point to the curve of that name."""
        point = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        self._write(Event(wall_time=time.time(), step=step, summary=point))

    def flush(self) -> None:
        """Let whoever looks on see all of it."""
        with disk_errors(self._path):
            self._records.flush()

    def close(self) -> None:
        """Write what is left."""
        with disk_errors(self._path):
            self._records.close()

    def _write(self, event: Event) -> None:
        with disk_errors(self._path):
            self._records.write(event.SerializeToString())

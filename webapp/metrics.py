"""Metrics of a server in Prometheus' text format.

Labels only have values of this program: addresses of the API, statuses, and limits of seconds.
Nothing is recorded about clients, images or predictions.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, math.inf)
"""Upper limits of the buckets of durations."""
OTHER = "other"
"""Label of addresses outside the API."""


class QueueStatus(NamedTuple):
    """Requests that wait, and compute processes that are ready or busy."""

    waiting_requests: int
    ready_processes: int
    busy_processes: int


class Metrics:
    """Counts and durations of responses by endpoint."""

    def __init__(self, endpoints: Iterable[str]):
        # By endpoint and status.
        self._statuses = Counter[tuple[str, int]]()
        # By endpoint: responses in each bucket, and the sum of all durations.
        self._buckets = {name: [0] * len(MAX_SECONDS) for name in (*endpoints, OTHER)}
        self._seconds = dict.fromkeys(self._buckets, 0.0)

    def record(self, path: str, status: int, seconds: float) -> None:
        """Count a response."""
        endpoint = path if path in self._buckets else OTHER
        self._statuses[endpoint, status] += 1
        bucket = bisect_left(MAX_SECONDS, seconds)
        self._buckets[endpoint][bucket] += 1
        self._seconds[endpoint] += seconds

    def lines(self, model_version: str, queue: QueueStatus) -> Iterator[str]:
        """Yield the metrics, those of the queue, and the version of the model as a label."""
        yield "# TYPE gleanset_model_info gauge"
        yield f'gleanset_model_info{{version="{model_version}"}} 1'
        for name, value in queue._asdict().items():
            yield f"# TYPE gleanset_{name} gauge"
            yield f"gleanset_{name} {value}"

        yield "# TYPE gleanset_responses_total counter"
        for (endpoint, status), count in sorted(self._statuses.items()):
            labels = f'endpoint="{endpoint}",status="{status}"'
            yield f"gleanset_responses_total{{{labels}}} {count}"

        yield "# TYPE gleanset_response_seconds histogram"
        for endpoint, counts in self._buckets.items():
            label = f'endpoint="{endpoint}"'
            total = 0
            # A bucket counts the responses up to its limit, including those of the buckets before.
            for limit, count in zip(MAX_SECONDS, counts, strict=True):
                total += count
                edge = "+Inf" if math.isinf(limit) else f"{limit:g}"
                yield f'gleanset_response_seconds_bucket{{{label},le="{edge}"}} {total}'

            yield f"gleanset_response_seconds_sum{{{label}}} {self._seconds[endpoint]:.6f}"
            yield f"gleanset_response_seconds_count{{{label}}} {total}"

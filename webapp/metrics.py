"""Metrics of a server in Prometheus' text format.

Labels only have values of this program: addresses of the API, statuses, and limits of seconds.
Nothing is recorded about clients, images or predictions.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, float("inf"))
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
        self._statuses = Counter[tuple[str, int]]()
        self._durations = {name: [0] * len(MAX_SECONDS) for name in (*endpoints, OTHER)}
        self._seconds = dict.fromkeys(self._durations, 0.0)

    def record(self, path: str, status: int, seconds: float) -> None:
        """Count a response."""
        endpoint = path if path in self._durations else OTHER
        self._statuses[endpoint, status] += 1
        self._durations[endpoint][
            sum(seconds > limit for limit in MAX_SECONDS[:-1])
        ] += 1
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
            yield f'gleanset_responses_total{{endpoint="{endpoint}",status="{status}"}} {count}'
        yield "# TYPE gleanset_response_seconds histogram"
        for endpoint, counts in self._durations.items():
            label = f'endpoint="{endpoint}"'
            totals = list(accumulate(counts))
            for limit, total in zip(MAX_SECONDS, totals, strict=True):
                edge = "+Inf" if limit == MAX_SECONDS[-1] else f"{limit:g}"
                yield f'gleanset_response_seconds_bucket{{{label},le="{edge}"}} {total}'
            yield f"gleanset_response_seconds_sum{{{label}}} {self._seconds[endpoint]:.6f}"
            yield f"gleanset_response_seconds_count{{{label}}} {totals[-1]}"

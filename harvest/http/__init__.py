"""The polite downloader: every source and every download goes through `Client`."""

from harvest.http.client import Client, Page
from harvest.http.policy import DownloadLimits, unreachable_error
from harvest.http.throttle import Closed, parse_retry_after

__all__ = [
    "Client",
    "Closed",
    "DownloadLimits",
    "Page",
    "parse_retry_after",
    "unreachable_error",
]

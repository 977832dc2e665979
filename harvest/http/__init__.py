"""The one polite downloader: every source and every download goes through `Client`."""

from harvest.http.client import Client, Page
from harvest.http.policy import DownloadLimits, unreachable
from harvest.http.throttle import Closed, retry_after

__all__ = ["Client", "Closed", "DownloadLimits", "Page", "retry_after", "unreachable"]

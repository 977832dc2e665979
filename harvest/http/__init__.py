"""The one polite downloader: every source and every download goes through `Client`."""

from harvest.http.client import Client, Download, Page
from harvest.http.policy import Limits
from harvest.http.throttle import Closed, retry_after

__all__ = ["Client", "Closed", "Download", "Limits", "Page", "retry_after"]

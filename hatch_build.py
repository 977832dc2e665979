"""What the wheel holds besides the source: the parts of the page, fetched by npm."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PagePartsHook(BuildHookInterface[Any]):
    """Fetches the parts where npm is there; without it the page asks the server for everything."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the parts among the files of a wheel; an editable install has them in place."""
        if version == "editable":
            return
        script = Path(self.root, "webapp", "npm_parts.py")
        subprocess.run([sys.executable, str(script)], check=False)  # noqa: S603 - our own script
        build_data["artifacts"].append("webapp/page/vendor/**")

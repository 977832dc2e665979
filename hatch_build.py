"""What the wheel holds besides the source: the parts of the page, fetched by npm, and its SBOM."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.requirements import Requirement

SBOM = "gleanset.cdx.json"


class PagePartsHook(BuildHookInterface[Any]):
    """Fetches the parts where npm is there; without it the page asks the server for everything."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put both among the files of a wheel; an editable install has the parts in place."""
        if version == "editable":
            return
        script = Path(self.root, "webapp", "npm_parts.py")
        subprocess.run([sys.executable, str(script)], check=False)  # noqa: S603 - our own script
        build_data["artifacts"].append("webapp/page/vendor/**")
        # Beside the wheel, and in it where PEP 770 has such files.
        sbom = Path(self.directory, SBOM)
        sbom.parent.mkdir(parents=True, exist_ok=True)
        sbom.write_text(json.dumps(self._bill(), indent=1) + "\n", encoding="utf-8")
        build_data["sbom_files"].append(str(sbom))

    def _bill(self) -> dict[str, Any]:
        """Return the list in CycloneDX: what lies in the wheel, and what it asks to be installed.

        Nothing in it differs from one build to the next.
        """
        about = self.metadata.core
        components = [*self._in_the_wheel(), *self._installed_beside()]
        purl = f"pkg:pypi/{about.name}@{self.metadata.version}"
        component = {"type": "application", "name": about.name, "version": self.metadata.version}
        component |= {"bom-ref": purl, "purl": purl, "licenses": _licence(about.license_expression)}
        needed = [part["bom-ref"] for part in components]
        return {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"component": component},
            "components": components,
            "dependencies": [{"ref": purl, "dependsOn": needed}],
        }

    def _in_the_wheel(self) -> Iterator[dict[str, Any]]:
        lock = Path(self.root, "webapp", "page", "vendor", "package-lock.json")
        packages = json.loads(lock.read_bytes())["packages"] if lock.is_file() else {}
        for place, told in packages.items():
            # The others are not among the parts that are copied.
            if (name := place.removeprefix("node_modules/")).startswith("onnxruntime"):
                purl = f"pkg:npm/{name}@{told['version']}"
                digest = b64decode(told["integrity"].removeprefix("sha512-")).hex()
                yield {
                    "type": "library",
                    "bom-ref": purl,
                    "name": name,
                    "purl": purl,
                    "version": told["version"],
                    "licenses": _licence(told["license"]),
                    "hashes": [{"alg": "SHA-512", "content": digest}],
                }

    def _installed_beside(self) -> Iterator[dict[str, Any]]:
        """Yield what pip is asked for: with the versions that do, not those that it will take."""
        wanted = [("", line) for line in self.metadata.core.dependencies]
        for extra, lines in self.metadata.core.optional_dependencies.items():
            wanted += [(extra, line) for line in lines]
        parts: dict[str, dict[str, Any]] = {}
        for extra, line in wanted:
            asked = Requirement(line)
            name = asked.name.lower().replace("_", "-")
            if name != self.metadata.core.name:
                purl = f"pkg:pypi/{name}"
                part = {"type": "library", "bom-ref": purl, "name": name, "purl": purl}
                part |= {"scope": "optional" if extra else "required", "properties": []}
                told = parts.setdefault(name, part)["properties"]
                told.append({"name": f"gleanset:{extra or 'always'}", "value": str(asked)})
        yield from (parts[name] for name in sorted(parts))


def _licence(spdx: str) -> list[dict[str, Any]]:
    return [{"license": {"id": spdx}}]

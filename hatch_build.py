"""Build hook: adds the page's npm packages and an SBOM to the wheel."""

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
    """Downloads the page's npm packages if npm is installed; the page works without them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add both to a wheel. An editable install reads the packages from the source folder."""
        if version == "editable":
            return
        script = Path(self.root, "tools", "npm_parts.py")
        subprocess.run([sys.executable, str(script)], check=False)  # noqa: S603 - a script of this repository
        build_data["artifacts"].append("webapp/page/vendor/**")
        # Inside the wheel, as PEP 770 specifies. Not next to it: twine checks and uploads dist/*.
        sbom = Path(self.root, "build", SBOM)
        sbom.parent.mkdir(parents=True, exist_ok=True)
        sbom.write_text(
            json.dumps(self._bill_of_materials(), indent=1) + "\n", encoding="utf-8"
        )
        build_data["sbom_files"].append(str(sbom))

    def _bill_of_materials(self) -> dict[str, Any]:
        """Return the SBOM (CycloneDX): bundled npm packages and required Python packages.

        Equal sources give an equal SBOM.
        """
        about = self.metadata.core
        components = [*self._npm_components(), *self._python_components()]
        purl = f"pkg:pypi/{about.name}@{self.metadata.version}"
        component = {
            "type": "application",
            "name": about.name,
            "version": self.metadata.version,
        }
        component |= {
            "bom-ref": purl,
            "purl": purl,
            "licenses": _licence(about.license_expression),
        }
        return {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"component": component},
            "components": components,
            "dependencies": [
                {"ref": purl, "dependsOn": [part["bom-ref"] for part in components]}
            ],
        }

    def _npm_components(self) -> Iterator[dict[str, Any]]:
        lock = Path(self.root, "webapp", "page", "vendor", "package-lock.json")
        packages = json.loads(lock.read_bytes())["packages"] if lock.is_file() else {}
        for folder, package in packages.items():
            # Only files of this package are copied into the wheel.
            if (name := folder.removeprefix("node_modules/")).startswith("onnxruntime"):
                purl = f"pkg:npm/{name}@{package['version']}"
                digest = b64decode(package["integrity"].removeprefix("sha512-")).hex()
                yield {
                    "type": "library",
                    "bom-ref": purl,
                    "name": name,
                    "purl": purl,
                    "version": package["version"],
                    "licenses": _licence(package["license"]),
                    "hashes": [{"alg": "SHA-512", "content": digest}],
                }

    def _python_components(self) -> Iterator[dict[str, Any]]:
        """Yield required and optional packages, with version ranges instead of versions."""
        requirements = [("", line) for line in self.metadata.core.dependencies]
        for extra, lines in self.metadata.core.optional_dependencies.items():
            requirements += [(extra, line) for line in lines]
        components: dict[str, dict[str, Any]] = {}
        for extra, line in requirements:
            requirement = Requirement(line)
            name = requirement.name.lower().replace("_", "-")
            if name == self.metadata.core.name:
                continue
            purl = f"pkg:pypi/{name}"
            component = {"type": "library", "bom-ref": purl, "name": name, "purl": purl}
            component |= {
                "scope": "optional" if extra else "required",
                "properties": [],
            }
            properties = components.setdefault(name, component)["properties"]
            properties.append(
                {"name": f"gleanset:{extra or 'always'}", "value": str(requirement)}
            )
        yield from (components[name] for name in sorted(components))


def _licence(spdx: str) -> list[dict[str, Any]]:
    return [{"license": {"id": spdx}}]

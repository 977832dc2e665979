"""Draw `map.svg`, the map of the packages in docs/architecture.md, from the imports of the code.

    python docs/images/make_map.py

Each package is a band that imports only from bands below it. A card is a folder with its modules; a
module is above those of its folder that it imports.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PURPOSES = {
    "pipeline": "recipes, demo, doctor, status, listing, report, maintenance",
    "webapp": "the page, the REST API, reports from users, the model card",
    "labeler": "duplicates, decisions, splits, exports; the window in qt/",
    "baseline": "training, evaluating, prelabeling, using models",
    "harvest": "collecting images",
    "facecrop": "detecting and cropping faces",
    "curation": "split groups, similarity, reports, boxes by hand",
    "gleanset": "the core: records, catalogue, files, images, work on many items",
}
"""Packages from top to bottom, with what they are for."""
# pixels
WIDTH = 1180
MARGIN = 18
GAP = 10
LINE = 14
CHARACTER = 6.4
MAX_ROWS = 12
"""Modules in a column of a card."""
STYLE = """
.paper{fill:#fff}.band{fill:#f8fafc;stroke:#94a3b8}.core{fill:#eef2ff;stroke:#6366f1}
.card{fill:#fff;stroke:#cbd5e1}.package{font-size:16px;font-weight:600;fill:#0f172a}
.purpose{font-size:12px;fill:#475569}.folder{font-size:12px;font-weight:600;fill:#0f172a}
.module{font-size:11px;fill:#334155;font-family:ui-monospace,'DejaVu Sans Mono',monospace}
"""


def main() -> None:
    """Write the map next to this script."""
    Path(__file__).with_name("map.svg").write_text(draw_map(), encoding="utf-8")


def draw_map() -> str:
    """Return the map as SVG."""
    top = float(MARGIN)
    bands = []
    for package in PURPOSES:
        band, height = draw_band(package, find_modules(package), top)
        bands.append(band)
        top += height + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + MARGIN - GAP}" '
        'role="img" font-family="system-ui,\'DejaVu Sans\',sans-serif">\n'
        "<title>The packages and modules of Gleanset</title>\n"
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{top + MARGIN - GAP}"/>\n'
        + "\n".join(bands)
        + "\n</svg>\n"
    )


def draw_band(
    package: str, cards: dict[str, list[str]], top: float
) -> tuple[str, float]:
    """Return the SVG of a package, drawn from `top` down, and its height in pixels."""
    left = MARGIN * 2.0
    row = top + 34.0
    row_height = 0.0
    body = []
    for name, modules in cards.items():
        columns = -(-len(modules) // MAX_ROWS)
        per_column = -(-len(modules) // columns)
        step = max(map(len, modules)) * CHARACTER + 14
        width = max(columns * step + 6, len(name) * 7.2 + 20)
        height = per_column * LINE + 30
        if left + width > WIDTH - MARGIN * 2:
            left = MARGIN * 2.0
            row = row + row_height + GAP
            row_height = 0.0
        body.append(
            f'<rect class="card" x="{left:.0f}" y="{row:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" rx="6"/>'
            f'<text class="folder" x="{left + 10:.0f}" y="{row + 17:.0f}">{escape(name)}</text>'
        )
        for number, module in enumerate(modules):
            x = left + 10 + number // per_column * step
            y = row + 33 + number % per_column * LINE
            body.append(
                f'<text class="module" x="{x:.0f}" y="{y:.0f}">{escape(module)}</text>'
            )
        left = left + width + GAP
        row_height = max(row_height, height)
    height = row + row_height + GAP - top
    style = "core" if package == "gleanset" else "band"
    frame = (
        f'<rect class="{style}" x="{MARGIN}" y="{top:.0f}" width="{WIDTH - MARGIN * 2}" '
        f'height="{height:.0f}" rx="10"/>'
        f'<text class="package" x="{MARGIN * 2}" y="{top + 23:.0f}">{package}</text>'
        f'<text class="purpose" x="{MARGIN * 2 + len(package) * 10 + 16}" y="{top + 23:.0f}">'
        f"{escape(PURPOSES[package])}</text>"
    )
    return "\n".join([frame, *body]), height


def find_modules(package: str) -> dict[str, list[str]]:
    """Return the modules of each folder of a package, the package's own folder first."""
    folders: dict[str, list[Path]] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        if not path.stem.startswith("__"):
            folders.setdefault(
                path.parent.relative_to(ROOT).as_posix() + "/", []
            ).append(path)
    names = sorted(folders, key=lambda name: (name != f"{package}/", name))
    return {name: order_modules(folders[name]) for name in names}


def order_modules(paths: list[Path]) -> list[str]:
    """Return the names of the modules of a folder, each above those that it imports."""
    names = {path.stem for path in paths}
    imports = {path.stem: find_imports(path) & names - {path.stem} for path in paths}
    levels: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in levels:
            levels[name] = 0
            levels[name] = 1 + max(map(level, imports[name]), default=0)
        return levels[name]

    return sorted(imports, key=lambda name: (-level(name), name))


def find_imports(path: Path) -> set[str]:
    """Return the names imported from the module's folder, also within functions."""
    folder = ".".join(path.parent.relative_to(ROOT).parts)
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == folder:
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.removeprefix(f"{folder}."))
    return names


if __name__ == "__main__":
    main()

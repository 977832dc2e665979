"""Draw `map.svg`, the map of the house in docs/architecture.md, from the code's own imports.

    python docs/images/make_map.py

Every room is a band that imports only from bands below it; every card in it is a package with its
modules, ordered so that a module stands above those of its package that it imports.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BANDS = (
    ("pipeline",),
    ("labeler",),
    ("baseline",),
    ("harvest",),
    ("facecrop",),
    ("curation",),
    ("gleanset",),
)
PURPOSE = {
    "pipeline": "recipes, demo, doctor, status, listing, report, maintenance",
    "labeler": "duplicates, decisions, splits, exports; the window in qt/",
    "baseline": "training, judging, prelabeling, using models",
    "harvest": "getting images in",
    "facecrop": "finding faces and cutting them",
    "curation": "split groups, similarity, snapshots, removals, reports, boxes by hand",
    "gleanset": "the core: records, catalogue, files, images, running over many items",
}
WIDTH, MARGIN, GAP, LINE, CHARACTER = 1180, 18, 10, 14, 6.4
STYLE = """
.paper{fill:#fff}.band{fill:#f8fafc;stroke:#94a3b8}.core{fill:#eef2ff;stroke:#6366f1}
.card{fill:#fff;stroke:#cbd5e1}.room{font-size:16px;font-weight:600;fill:#0f172a}
.say{font-size:12px;fill:#475569}.package{font-size:12px;font-weight:600;fill:#0f172a}
.module{font-size:11px;fill:#334155;font-family:ui-monospace,'DejaVu Sans Mono',monospace}
"""


def main() -> None:
    """Write the map beside this script."""
    target = Path(__file__).with_name("map.svg")
    target.write_text(draw(ROOT), encoding="utf-8")


def draw(root: Path) -> str:
    """The whole map as SVG."""
    top, parts = MARGIN, []
    for rooms in BANDS:
        for room in rooms:
            band, height = draw_band(room, packages(root, room), top)
            parts.append(band)
            top += height + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + MARGIN - GAP}" '
        'role="img" font-family="system-ui,\'DejaVu Sans\',sans-serif">\n'
        "<title>The rooms, packages and modules of Gleanset</title>\n"
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" width="{WIDTH}" height="{top + MARGIN - GAP}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def draw_band(room: str, cards: dict[str, list[str]], top: float) -> tuple[str, float]:
    """One room from `top` on: its SVG and its height, both in pixels."""
    left, row, tallest, body = MARGIN * 2.0, top + 34.0, 0.0, []
    for name, modules in cards.items():
        columns = -(-len(modules) // 12)
        per_column = -(-len(modules) // columns)
        step = max(map(len, modules)) * CHARACTER + 14
        width = max(columns * step + 6, len(name) * 7.2 + 20)
        height = per_column * LINE + 30
        if left + width > WIDTH - MARGIN * 2:
            left, row, tallest = MARGIN * 2.0, row + tallest + GAP, 0.0
        body.append(
            f'<rect class="card" x="{left:.0f}" y="{row:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" rx="6"/>'
            f'<text class="package" x="{left + 10:.0f}" y="{row + 17:.0f}">{escape(name)}</text>'
        )
        for number, module in enumerate(modules):
            x = left + 10 + number // per_column * step
            y = row + 33 + number % per_column * LINE
            body.append(f'<text class="module" x="{x:.0f}" y="{y:.0f}">{escape(module)}</text>')
        left, tallest = left + width + GAP, max(tallest, height)
    height = row + tallest + GAP - top
    style = "core" if room == "gleanset" else "band"
    frame = (
        f'<rect class="{style}" x="{MARGIN}" y="{top:.0f}" width="{WIDTH - MARGIN * 2}" '
        f'height="{height:.0f}" rx="10"/>'
        f'<text class="room" x="{MARGIN * 2}" y="{top + 23:.0f}">{room}</text>'
        f'<text class="say" x="{MARGIN * 2 + len(room) * 9 + 16}" y="{top + 23:.0f}">'
        f"{escape(PURPOSE[room])}</text>"
    )
    return "\n".join([frame, *body]), height


def packages(root: Path, room: str) -> dict[str, list[str]]:
    """The modules of every package of a room, highest first; the room's own come first."""
    folders: dict[str, list[Path]] = {}
    for path in sorted((root / room).rglob("*.py")):
        if not path.stem.startswith("__"):
            folders.setdefault(path.parent.relative_to(root).as_posix() + "/", []).append(path)
    own = f"{room}/"
    names = sorted(folders, key=lambda name: (name != own, name))
    return {name: ordered(folders[name]) for name in names}


def ordered(paths: list[Path]) -> list[str]:
    """The modules' names, each above those beside it that it imports."""
    beside = {path.stem: imports_beside(path, {other.stem for other in paths}) for path in paths}
    floors: dict[str, int] = {}

    def floor(name: str) -> int:
        if name not in floors:
            floors[name] = 0
            floors[name] = 1 + max(map(floor, beside[name]), default=0)
        return floors[name]

    return sorted(beside, key=lambda name: (-floor(name), name))


def imports_beside(path: Path, names: set[str]) -> set[str]:
    """Which modules of its own folder a module imports, anywhere in it."""
    package = ".".join(path.parent.relative_to(ROOT).parts)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.removeprefix(f"{package}."))
    return (found & names) - {path.stem}


if __name__ == "__main__":
    main()

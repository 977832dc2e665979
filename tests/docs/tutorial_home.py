"""Home folders with the files that tutorials and pages assume, and the four sites."""

import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from console_blocks import Command, NamedFile, Step, steps
from fake_internet import fake_internet, trust_in_chromium
from shell_session import ShellSession
from tools_for_tests import ROOT, run_here

sys.path.insert(0, str(ROOT / "tests" / "labeler"))
sys.path.insert(0, str(ROOT / "tests" / "pipeline"))

from drawn_cases import drawn_case
from drawn_sites import DrawnSites, drawn
from virtual_display import display

EACH = 90
"""Images that each site has for a search."""

CASCADE = ROOT.parent / "shared" / "data" / "lbpcascade_animeface.xml"
SAMPLE = ROOT / "datasets" / "sample"


@contextmanager
def at_home(
    home: Path,
    scratch: Path,
    sites: DrawnSites,
    stands_for: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[ShellSession]:
    """Yield a shell in a home folder, with fake sites, a display and `variables`."""
    scratch.mkdir(parents=True)
    with fake_internet(sites, scratch) as internet, display(scratch) as screen:
        trust_in_chromium(home, scratch / "cert.pem")
        own = {
            "DISPLAY": screen.env["DISPLAY"],
            "XDG_CONFIG_HOME": str(home / ".config"),
            **(variables or {}),
        }
        with ShellSession(home, internet | own, stands_for) as shell:
            yield shell


def searches(page: Path) -> dict[str, str]:
    """Map each search of a tutorial to the kind of images it finds."""
    result: dict[str, str] = {}
    for step in steps(page):
        if isinstance(step, NamedFile) and step.name.endswith(".toml"):
            for table in tomllib.loads(step.text).get("keyword", []):
                for keyword in table["keywords"]:
                    words, label = (
                        (keyword, keyword) if isinstance(keyword, str) else keyword
                    )
                    result[words] = table.get("label", label)
        elif isinstance(step, Command) and step.plain.startswith("harvest keyword"):
            words = re.split(r"\s--?\w", step.plain.removeprefix("harvest keyword "))[
                0
            ].split()
            result |= {word: word for word in words}
    return result


@contextmanager
def at_tutorial(page: Path, home: Path, scratch: Path) -> Iterator[ShellSession]:
    """Yield a shell for a tutorial."""
    furnish(home)
    with at_home(home, scratch, DrawnSites(searches(page), each=EACH)) as shell:
        yield shell


def printed(page: Path) -> list[Step]:
    """Return the steps of a tutorial, without logins that ask for a password."""
    return [
        step
        for step in steps(page)
        if not (isinstance(step, Command) and step.plain.startswith("harvest login"))
    ]


def save_drawn(folder: Path, kind: str, seeds: range, stem: str | None = None) -> None:
    """Draw images of a kind into a folder, named by it or by `stem`."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"{stem or kind}-{seed}.jpg").write_bytes(drawn(kind, 10**6 + seed))


def furnish(home: Path) -> None:
    """Fill a home folder with the files that the tutorials assume."""
    (home / "episodes").mkdir(parents=True)
    shutil.copy(SAMPLE / "episode.mp4", home / "episodes" / "episode-01.mp4")
    save_drawn(home / "pictures", "hana", range(600, 601))
    (home / "pictures" / "hana-600.jpg").rename(home / "pictures" / "group.png")
    save_drawn(home / "new-faces", "hatsune_miku", range(700, 703))
    save_drawn(home / "new-faces", "megumin", range(703, 706))
    save_drawn(home / "megumin", "megumin", range(800, 820))
    save_drawn(home / "holiday", "owl", range(900, 904))
    save_drawn(home / "photos", "photo", range(120))
    save_drawn(home / "to-sort", "photo", range(500, 510))
    save_drawn(home / "to-sort", "meme", range(510, 520))


def furnish_with_groups(home: Path) -> None:
    """Add groups: parts of one image, photos of one animal or of one day; trees to check."""
    for who in ("hana", "rei"):
        save_drawn(home / "faces" / who, who, range(700, 704))
    for kind, name in (("cat", "tom"), ("owl", "ula")):
        save_drawn(home / "pets" / kind / name, kind, range(710, 713))
    for day in ("20240501", "20240502"):
        save_drawn(home / "sessions", "cat", range(int(day), int(day) + 2), stem=day)
    for kind in ("cat", "owl"):
        save_drawn(home / "messy", kind, range(220, 228))
        for part, first in (("train", 140), ("test", 180)):
            save_drawn(home / "published" / part / kind, kind, range(first, first + 30))


def furnish_for_docs(home: Path, demo: Path) -> dict[str, str]:
    """Fill a home with the files that docs/ assumes; return names that differ here.

    `demo` is a dataset with a model, which becomes `my-dataset`.
    """
    furnish(home)
    furnish_with_groups(home)
    shutil.copytree(demo, home / "my-dataset")
    [run] = (demo / "runs").iterdir()
    for who in ("hana", "rei"):
        save_drawn(home / "pictures" / "characters" / who, who, range(30, 42))
    for folder in ("birds", "scans"):
        save_drawn(home / folder, "owl", range(6))
    for folder in ("new", "inbox"):
        save_drawn(home / folder, "hana", range(50, 54))
    for name, kind in FILES.items():
        drawn_case(kind, 60).save(home / name)
    for number in (1, 2):
        drawn_case("sora", 70 + number).save(home / "new" / f"mei-{number}.png")
    for part in ("train", "test"):
        shutil.copytree(
            home / "pictures" / "characters", home / "some-other-tree" / part
        )
    save_drawn(home / "episodes", "sora", range(80, 82))
    (home / "list.txt").write_text("http://pictures.example/p/bing/1/0.jpg\n")
    (home / "runs").symlink_to(home / "my-dataset" / "runs")
    for kind in ("cat", "owl"):
        save_drawn(home / "pictures" / "pets" / kind, kind, range(100, 130))
        save_drawn(home / "unsorted", kind, range(130, 134))
    assert (
        run_here("pipeline.cli", "snapshot", "v1", "-d", home / "my-dataset").code == 0
    )
    result = run_here(
        "pipeline.cli", "list", "images", "-d", home / "my-dataset"
    ).stdout
    frame = next(
        row
        for row in map(json.loads, result.splitlines())
        if row["origins"][0]["video"]
    )
    return {
        "20261120-145203-transfer": run.name,
        "20261120-145203-simple": run.name,
        "3f9a0b": frame["sha256"][:12],
    }


FILES = {
    "picture.png": "hana",
    "group.png": "rei",
    "crop.png": "yuki",
    "a.jpg": "hana",
    "b.jpg": "rei",
}

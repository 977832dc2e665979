"""The spool of reports: locked catalogue, kills, stripped images, limits."""

import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from catalogue_rows import locked
from PIL import Image
from server_helpers import Serve, solid_image
from starlette.testclient import TestClient
from test_web_reports import send_report
from tools_for_tests import encode, eventually, examples, picture, python, run_here

from gleanset import Dataset
from gleanset.db.reports import REFUSED, Reports
from gleanset.images.decode import decode
from pipeline.maintenance.check_files import collect_garbage
from pipeline.status import gather_status
from webapp.report_checks import strip_image
from webapp.report_decisions import read_report_image, refuse_reports

SPOOL_SCRIPT = """
import io, sys
from pathlib import Path
from PIL import Image
from gleanset import Box
from gleanset.db.reports import Claim
from gleanset.files.store import hash_bytes
from webapp.report_spool import ReportSpool
from webapp.settings import RequestLimits
from webapp.computations import KeptReport
spool = ReportSpool(Path(sys.argv[1]), RequestLimits())
for number in range(int(sys.argv[2]), 100_000):
    Image.new("RGB", (9, 9), number).save(file := io.BytesIO(), "PNG")
    sha256 = hash_bytes(file.getvalue())
    claim = Claim(
        sha256=sha256, format="PNG", box=Box(0, 0, 9, 9), claimed="mei", run="a-run"
    )
    assert spool.add(KeptReport(claim, file.getvalue(), sha256, False))
    print(sha256, flush=True)
"""


def stored_files(dataset: Dataset) -> list[Path]:
    return [
        path for path in (dataset.root / "web" / "reports").rglob("*") if path.is_file()
    ]


def test_reports_are_kept_while_catalogue_is_locked(
    client: TestClient, dataset: Dataset
) -> None:
    files = {"files": ("a.png", solid_image("blue"))}

    def seconds_of_a_prediction() -> float:
        begun = time.monotonic()
        assert client.post("/api/v1/predict", files=files).status_code == 200
        return time.monotonic() - begun

    with locked(dataset.root), ThreadPoolExecutor(4) as threads:
        names = [f"mei {number}" for number in range(12)]
        begun = time.monotonic()
        original = [threads.submit(send_report, client, claimed=name) for name in names]
        longest = max(seconds_of_a_prediction() for _ in range(5))
        assert all(future.result().json()["new"] for future in original)
        # Waiting for the catalogue would have taken half a minute each.
        assert time.monotonic() - begun < 20
        assert longest < 5
        assert not send_report(client, claimed="mei 3").json()["new"]
        assert Reports(dataset.db).count() == 0
        assert gather_status(dataset).to_json()["reports"]["waiting"] == 12
    assert eventually(lambda: Reports(dataset.db).count() == 12)
    assert eventually(lambda: not list((dataset.root / "web" / "spool").iterdir()))


def test_confirmed_reports_survive_kill(dataset: Dataset) -> None:
    answered = set[str]()
    for lines in (20, 1)[: examples(1, 2)]:
        with (
            locked(dataset.root),
            python(SPOOL_SCRIPT, dataset.root, str(1000 * lines)) as server,
        ):
            answered |= {server.stdout.readline() for _ in range(lines)}
            server.kill()
            answered |= set(server.stdout)
    run_here("webapp.cli", "reports", "refuse", "all", "-d", dataset.root)
    recorded = {
        f"{report.claim.sha256}\n" for report in Reports(dataset.db).iterate(REFUSED)
    }
    assert len(answered) >= 20
    assert {line for line in answered if line.endswith("\n")} <= recorded
    assert not list((dataset.root / "web" / "spool").glob("*.report"))


def test_trailing_bytes_are_stripped(client: TestClient, dataset: Dataset) -> None:
    clean = picture(1)
    for junk in (b"", b"PK\3\4 a program", bytes(100_000), clean + clean):
        assert (
            send_report(
                client, data=clean + junk, claimed=f"mei {len(junk)}"
            ).status_code
            == 200
        )
    (path,) = stored_files(dataset)
    assert path.read_bytes() == clean, (
        "bit for bit, so that it is known again elsewhere"
    )
    assert len({report.claim.sha256 for report in Reports(dataset.db).iterate()}) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_strip_image_keeps_pixels(kind: str) -> None:
    original = encode(Image.effect_noise((60, 40), 80).convert("RGB"), kind)
    stripped = strip_image(original + b"junk" * 5000, 10_000)
    assert b"junk" not in stripped.data
    assert (stripped.width, stripped.height) == (60, 40)
    assert (stripped.data == original) == (kind in ("JPEG", "PNG"))
    if kind != "WEBP":
        assert (
            decode(stripped.data).pixels.tobytes() == decode(original).pixels.tobytes()
        )


def test_hidden_metadata_is_stripped() -> None:
    jpeg = picture(1)
    png = solid_image("red")
    segment = b"\xff\xe5\xff\xff" + bytes(65_533)
    chunk = b"juNk" + bytes(300_000)
    size = (len(chunk) - 4).to_bytes(4, "big")
    crc = zlib.crc32(chunk).to_bytes(4, "big")
    long_png = png[:33] + size + chunk + crc + png[33:]
    for crafted in (jpeg[:2] + segment * 5 + jpeg[2:], long_png):
        stripped = strip_image(crafted, 10_000)
        assert len(stripped.data) < 20_000
        assert decode(stripped.data).pixels.size == decode(crafted).pixels.size


def test_total_report_bytes_are_limited(serve: Serve, dataset: Dataset) -> None:
    pictures = [picture(seed) for seed in range(4)]
    client = serve(limits={"report_bytes": sum(map(len, pictures)) - 1})
    for number, data in enumerate(pictures[:3]):
        assert (
            send_report(client, data=data, claimed=f"mei {number}").status_code == 200
        )
    answer = send_report(client, data=pictures[3], claimed="mei")
    assert (answer.status_code, answer.json()["reason"]) == (503, "full")
    first, *others = Reports(dataset.db).iterate()
    refuse_reports(dataset, [first.id])
    collect_garbage(dataset, 0.0, simulate=False)
    assert send_report(client, data=pictures[3], claimed="mei").status_code == 200
    assert {path.read_bytes() for path in stored_files(dataset)} == set(pictures[1:])
    assert read_report_image(dataset, others[-1]) == pictures[2]

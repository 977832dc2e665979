"""Opt-out signals against machine learning: no such image is kept, each has its reason.

One server plays every host, as a proxy: each case has its own host with its own robots.txt,
tdmrep.json, headers and image bytes.
"""

import json
import struct
import time
import zlib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from faulty_server import JPEG, FaultyServer, Handler
from PIL import PngImagePlugin
from tools_for_tests import picture

from gleanset import Dataset
from gleanset.images.embedded_opt_outs import find_opt_outs
from gleanset.records import Candidate, Origin
from harvest.downloads import DownloadRun, harvest_urls
from harvest.http import Client, DownloadLimits
from harvest.http.robots import PathRule, parse_tdm_rules
from harvest.http.scheduler import JobQueue, Scheduler
from harvest.opt_out_signals import SIGNALS
from harvest.request import FolderRequest

QUICK = DownloadLimits(backoff=0.01, max_wait=0.1)
TDM = "tdm-reservation"
SIGNAL = "content-signal ai-train=no"
IPTC = "iptc data mining prohibited"
C2PA = "c2pa training not allowed"
VOCABULARY = "http://ns.useplus.org/ldf/vocab/"


class Statements(NamedTuple):
    """The signals of a host about `/art/owl.jpg`, and in the image itself."""

    robots: str = ""
    tdmrep: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    picture: bytes = JPEG


def header(*lines: str) -> Statements:
    return Statements(
        headers=tuple(
            (name, value) for name, _, value in (x.partition(": ") for x in lines)
        )
    )


def robots(*lines: str) -> Statements:
    return Statements(robots="\n".join(lines))


def rules(*pairs: tuple[object, object]) -> Statements:
    return tdmrep([{"location": place, TDM: value} for place, value in pairs])


def tdmrep(content: object) -> Statements:
    return Statements(tdmrep=json.dumps(content).encode())


# Images with embedded signals


def xmp(body: str, attributes: str = "") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" {attributes}>{body}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def mining(value: str) -> bytes:
    return xmp("", f'plus:DataMining="{VOCABULARY}{value}"')


PROHIBITED = mining("DMI-PROHIBITED")


def with_xmp(packet: bytes, kind: str = "JPEG") -> Statements:
    if kind == "TIFF":
        return Statements(picture=picture(kind=kind, tiffinfo={700: packet}))
    if kind != "PNG":
        return Statements(picture=picture(kind=kind, xmp=packet))
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", packet.decode(), zip=True)
    return Statements(picture=picture(kind="PNG", pnginfo=texts))


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def superbox(label: str, kind: bytes, *content: bytes, hashed: bool = False) -> bytes:
    """Return a JUMBF superbox; its description may have a salt."""
    ids = kind + bytes.fromhex("00110010800000aa00389b71")
    salt = box(b"c2sh", bytes(range(16))) if hashed else b""
    about = box(
        b"jumd", ids, b"\x13" if hashed else b"\x03", label.encode() + b"\0", salt
    )
    return box(b"jumb", about, *content)


def text(value: str) -> bytes:
    return (
        bytes([0x60 + len(value)]) + value.encode()
        if len(value) < 24
        else (bytes([0x78, len(value)]) + value.encode())
    )


def mapping(**entries: bytes) -> bytes:
    return bytes([0xA0 + len(entries)]) + b"".join(
        text(k) + v for k, v in entries.items()
    )


def uses(prefix: str, **entries: str) -> bytes:
    stated = {
        f"{prefix}.{name}": mapping(use=text(use)) for name, use in entries.items()
    }
    return box(b"cbor", mapping(entries=mapping(**stated)))


def manifest(
    assertion: bytes, label: str = "c2pa.training-mining", filler: int = 0
) -> bytes:
    """Return a C2PA store of one manifest whose claim lists its assertions."""
    thumbnail = superbox(
        "c2pa.thumbnail.claim", b"@\xcb\x0c2", box(b"bidb", b"\xff" * filler)
    )
    stored = superbox(label, b"cbor", assertion, hashed=True)
    claim = box(b"cbor", mapping(url=text(f"self#jumbf=c2pa.assertions/{label}")))
    return superbox(
        "c2pa",
        b"c2pa",
        superbox(
            "urn:c2pa:1",
            b"c2ma",
            superbox("c2pa.assertions", b"c2as", thumbnail, stored),
            superbox("c2pa.claim", b"c2cl", claim),
        ),
    )


def in_jpeg(store: bytes, max_size: int = 60_000) -> Statements:
    """Embed a store in JPEG segments that each repeat its box header."""
    pieces = [store[at : at + max_size] for at in range(8, len(store), max_size)]
    segments = b""
    for number, piece in enumerate(pieces, 1):
        body = b"JP" + struct.pack(">HI", 1, number) + store[:8] + piece
        segments += b"\xff\xeb" + struct.pack(">H", 2 + len(body)) + body
    return Statements(picture=JPEG[:2] + segments + JPEG[2:])


def in_png(store: bytes) -> Statements:
    image = picture(kind="PNG")
    check = struct.pack(">I", zlib.crc32(b"caBX" + store))
    chunk = struct.pack(">I", len(store)) + b"caBX" + store + check
    return Statements(picture=image[:33] + chunk + image[33:])


def in_webp(store: bytes) -> Statements:
    image = picture(kind="WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    body = (
        image[8:]
        + b"C2PA"
        + struct.pack("<I", len(store))
        + store
        + b"\0" * (len(store) % 2)
    )
    return Statements(picture=b"RIFF" + struct.pack("<I", len(body)) + body)


NO_TRAINING = uses("c2pa", ai_training="notAllowed", data_mining="allowed")

OPTED_OUT: dict[str, tuple[str, Statements]] = {
    "noai": ("robots tag noai", header("X-Robots-Tag: noai")),
    "noimageai": ("robots tag noimageai", header("X-Robots-Tag: nofollow, noimageai")),
    "noml": ("robots tag noml", header("x-robots-tag: NoML")),
    "noml for own name": ("robots tag noml", header("X-Robots-Tag: gleanset: noml")),
    "noindex": ("robots tag noindex", header("X-Robots-Tag: gleanset: noindex")),
    "noimageindex": ("robots tag noimageindex", header("X-Robots-Tag: noimageindex")),
    "second header": (
        "robots tag noai",
        header("X-Robots-Tag: all", "X-Robots-Tag: noai"),
    ),
    "tdm header": (TDM, header("TDM-Reservation: 1")),
    "tdm policy": (
        TDM,
        header("tdm-reservation: 1", "tdm-policy: https://x.example/p.json"),
    ),
    "tdm for all paths": (TDM, rules(("/", 1))),
    "tdm for a folder": (TDM, rules(("/other/", 0), ("/art/", 1))),
    "tdm for a pattern": (TDM, rules(("/*/ow*.jpg", 1))),
    "tdm with end anchor": (TDM, rules(("/art/owl.jpg$", 1))),
    "tdm, first matching rule": (TDM, rules(("/art", 1), ("/art/owl.jpg", 0))),
    "tdm, quoted path": (TDM, rules(("/%61rt/", "1"))),
    "signal": (
        SIGNAL,
        robots("User-agent: *", "Content-Signal: search=yes,ai-train=no", "Allow: /"),
    ),
    "signal with a path": (
        SIGNAL,
        robots("User-agent: *", "Content-Signal: /art/ ai-train=no"),
    ),
    "signal for own name": (
        SIGNAL,
        robots(
            "User-agent: *",
            "Allow: /",
            "",
            "User-agent: gleanset",
            "content-signal: AI-train = no",
        ),
    ),
    "signal before groups": (
        SIGNAL,
        robots("Content-Signal: ai-train=no", "", "User-agent: x", "Allow: /"),
    ),
    "usage": (SIGNAL, robots("User-Agent: *", "Content-Usage: train-ai=n", "Allow: /")),
    "usage for a path": (
        SIGNAL,
        robots("User-Agent: *", "Content-Usage: ai=y", "Content-Usage: /art/ ai=n"),
    ),
    "signal header": (SIGNAL, header("Content-Signal: search=yes, ai-train=no")),
    "usage header": (SIGNAL, header("Content-Usage: train-ai=n")),
    "xmp attribute": (IPTC, with_xmp(PROHIBITED)),
    "xmp element": (
        IPTC,
        with_xmp(
            xmp(
                f"<plus:DataMining>\n{VOCABULARY}DMI-PROHIBITED-AIMLTRAINING</plus:DataMining>"
            )
        ),
    ),
    "xmp resource": (
        IPTC,
        with_xmp(
            xmp(
                f'<plus:DataMining rdf:resource="{VOCABULARY}DMI-PROHIBITED-SEECONSTRAINT"/>'
            )
        ),
    ),
    "xmp, generative": (IPTC, with_xmp(mining("DMI-PROHIBITED-GENAIMLTRAINING"))),
    "xmp of a png, compressed": (IPTC, with_xmp(PROHIBITED, "PNG")),
    "xmp of a webp": (IPTC, with_xmp(PROHIBITED, "WEBP")),
    "xmp of a tiff": (IPTC, with_xmp(PROHIBITED, "TIFF")),
    "xmp of an avif": (IPTC, with_xmp(PROHIBITED, "AVIF")),
    "c2pa": (C2PA, in_jpeg(manifest(NO_TRAINING))),
    "c2pa over segments": (
        C2PA,
        in_jpeg(manifest(NO_TRAINING, filler=130_000), max_size=43_210),
    ),
    "c2pa, assertion split over segments": (
        C2PA,
        in_jpeg(manifest(NO_TRAINING, filler=500), max_size=150),
    ),
    "c2pa, second assertion": (
        C2PA,
        in_jpeg(manifest(NO_TRAINING, "c2pa.training-mining__1")),
    ),
    "c2pa of a png": (C2PA, in_png(manifest(NO_TRAINING))),
    "c2pa of a webp": (C2PA, in_webp(manifest(NO_TRAINING))),
    "cawg, constrained": (
        C2PA,
        in_jpeg(
            manifest(uses("cawg", ai_training="constrained"), "cawg.training-mining")
        ),
    ),
    "c2pa as json": (
        C2PA,
        in_jpeg(
            manifest(
                box(b"json", b'{"entries":{"c2pa.data_mining":{"use": "notAllowed"}}}')
            )
        ),
    ),
}

NEAR: dict[str, Statements] = {
    "no signal": Statements(),
    "tag for another agent": header("X-Robots-Tag: otherbot: noai, noml"),
    "part of a word": header("X-Robots-Tag: noaim, nomlx"),
    "tdm 0": header("tdm-reservation: 0"),
    "tdm malformed": header("tdm-reservation: yes"),
    "tdm policy only": header("tdm-policy: https://x.example/p.json"),
    "tdm for other paths": rules(
        ("/other/", 1), ("/art/owl.jpeg", 1), ("/art/owl$", 1)
    ),
    "tdm, first rule allows": rules(("/art/*.jpg", 0), ("/", 1)),
    "tdm with other values": rules(
        ("/", 2), ("/", True), ("/", "yes"), ("/", None), (7, 1)
    ),
    "tdm is not a list": tdmrep({"location": "/", TDM: 1}),
    "tdm is not json": Statements(tdmrep=b"<html>tdm-reservation 1</html>"),
    "tdm too deep": Statements(tdmrep=b"[" * 200_000),
    "tdm endless number": Statements(
        tdmrep=b'[{"location": "/", "tdm-reservation": ' + b"1" * 9999 + b"}]"
    ),
    "signal yes": robots(
        "User-agent: *", "Content-Signal: ai-train=yes, search=no, ai-input=no"
    ),
    "signal for another agent": robots(
        "User-agent: otherbot",
        "Content-Signal: ai-train=no",
        "",
        "User-agent: *",
        "Allow: /",
    ),
    "signal for others": robots(
        "User-agent: *",
        "Content-Signal: ai-train=no",
        "",
        "User-agent: gleanset",
        "Allow: /",
    ),
    "signal for another path": robots(
        "User-agent: *", "Content-Signal: /private/ ai-train=no"
    ),
    "signal in a comment": robots(
        "User-agent: *", "# Content-Signal: ai-train=no", "Allow: /"
    ),
    "signal malformed": robots(
        "User-agent: *", "Content-Signal: ai-train=nope, ai-train, no"
    ),
    "usage for other paths": robots(
        "User-agent: *", "Content-Usage: train-ai=n", "Content-Usage: /art/ train-ai=y"
    ),
    "signal header yes": header(
        "Content-Signal: ai-train=yes", "Content-Usage: search=n"
    ),
    "xmp allows": with_xmp(mining("DMI-ALLOWED")),
    "xmp unspecified": with_xmp(mining("DMI-UNSPECIFIED")),
    "xmp in a caption": with_xmp(xmp("", 'plus:Notes="DataMining DMI-PROHIBITED"')),
    "xmp next to the element": with_xmp(
        xmp("<plus:DataMining></plus:DataMining>DMI-PROHIBITED")
    ),
    "c2pa allows": in_jpeg(
        manifest(uses("c2pa", ai_training="allowed", data_mining="allowed"))
    ),
    "c2pa, another assertion": in_jpeg(manifest(NO_TRAINING, "c2pa.actions")),
    "c2pa cut off": in_jpeg(manifest(NO_TRAINING)[:120]),
    "c2pa without content": in_jpeg(manifest(b"")),
}


def get_host(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name) + ".example"


def answer(says: Statements, h: Handler) -> None:
    files = {
        "/robots.txt": says.robots.encode(),
        "/.well-known/tdmrep.json": says.tdmrep,
    }
    if (file := files.get(urlsplit(h.path).path)) is not None:
        h.answer(200 if file else 404, file)
        return
    h.begin_answer(200, ("Content-Length", len(says.picture)), *says.headers)
    h.wfile.write(says.picture)


CASES = {name: says for name, (_, says) in OPTED_OUT.items()} | NEAR


@pytest.fixture
def web(site: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
    """Serve the hosts of all cases."""
    hosts = {get_host(name): says for name, says in CASES.items()}
    assert len(hosts) == len(CASES)
    site.behaviours.clear()
    site.otherwise = lambda h: answer(hosts[str(urlsplit(h.path).hostname)], h)
    monkeypatch.setenv("http_proxy", site.url)
    return site


def address(name: str) -> str:
    return f"http://{get_host(name)}/art/owl.jpg"


def test_opt_outs_are_rejected_with_reason(
    web: FaultyServer, dataset: Dataset, tmp_path: Path
) -> None:
    assert len(OPTED_OUT) >= 30
    addresses = tmp_path / "list.txt"
    addresses.write_text("\n".join(map(address, CASES)))
    harvest_urls(dataset, [addresses], DownloadRun(lambda: Client(QUICK)))
    named = {
        rejection.item: rejection.reason for rejection in dataset.rejections.iterate()
    }
    assert named == {address(name): reason for name, (reason, _) in OPTED_OUT.items()}
    stored = {
        origin.url for image in dataset.images.iterate() for origin in image.origins
    }
    assert stored == set(map(address, NEAR))
    # Once per host; where robots.txt forbids everything, tdmrep.json is not requested.
    assert web.hits["/robots.txt"] == len(CASES)
    closed = sum(
        says.robots != "" and reason == SIGNAL for reason, says in OPTED_OUT.values()
    )
    assert web.hits["/.well-known/tdmrep.json"] == len(CASES) - closed


@pytest.mark.parametrize("word", [*SIGNALS, "none"])
def test_ignored_signal_is_accepted(web: FaultyServer, word: str) -> None:
    message = {
        "tdm-reservation": TDM,
        "content-signal": SIGNAL,
        "robots.txt": "",  # and its signals about training
        "iptc": IPTC,
        "c2pa": C2PA,
    }.get(word, f"robots tag {word}")
    ignored = frozenset() if word == "none" else frozenset({word})
    with Client(QUICK, ignore_robots=ignored) as client:
        candidates = [Candidate(address(name), Origin("t", name)) for name in OPTED_OUT]
        batches = Scheduler(client, bytes, 8).run(JobQueue(candidates))
        got = {outcome.item.url: outcome for batch in batches for outcome in batch}
    for name, (reason, says) in OPTED_OUT.items():
        free = (
            word == "all"
            or reason == message
            or (word == "robots.txt" and bool(says.robots))
        )
        assert got[address(name)].reason == (None if free else reason), name
    assert (web.hits["/.well-known/tdmrep.json"] == 0) == (
        word in ("tdm-reservation", "all")
    )


def test_opt_outs_in_own_folder_are_only_reported(
    dataset: Dataset, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for number, name in enumerate(("xmp attribute", "c2pa of a png", "no signal")):
        (folder / f"{number}.jpg").write_bytes(
            OPTED_OUT.get(name, ("", Statements()))[1].picture
        )
    done = FolderRequest(path=str(folder)).run(dataset).to_json()
    assert (done["added"], done["reserved"]) == (3, 2)
    files = done["reserved_files"]["files"]
    assert sorted(files) == [f"mine/0.jpg: {IPTC}", f"mine/1.jpg: {C2PA}"]


def test_long_path_patterns_match_quickly() -> None:
    assert PathRule("/a%24", reserved=True).matches("/a$x")
    assert not PathRule("/a%2A", reserved=True).matches("/abc")
    slow = PathRule("/" + "a*" * 900 + "b", reserved=True)
    start = time.thread_time()
    assert not slow.matches("/" + "a" * 100_000)
    assert time.thread_time() - start < 1


XMP_JPEG = b"\xff\xd8\xff\xe1\xff\xfehttp://ns.adobe.com/xap/"
HOSTILE: dict[str, bytes] = {
    "spaces": XMP_JPEG + b"1.0/\0 x:DataMining" + b" " * 70_000,
    "names": XMP_JPEG + b" x:DataMining=" * 9000,
    "labels": b"GIF8" + b"c2pa.training-mining\0" * 200_000,
    "lengths": b"GIF8" + b"c2pa.training-mining\0\xff\xff\xff\xffcbor" * 100_000,
    "bomb": b"\x89PNG\r\n\x1a\n"
    + struct.pack(">I", 99)
    + b"zTXtRaw profile type xmp\0\0x" * 99,
    "segments": b"\xff\xd8" + b"\xff\xeb\0\x0aJP\0\1\0\0\0\2" * 60_000,
    "endless segment": b"\xff\xd8\xff\xeb\xff\xffJP",
    "webp": b"RIFF\xff\xff\xff\xffWEBP" + b"C2PA\xff\xff\xff\xff" * 9,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes_are_searched_quickly(data: bytes) -> None:
    cpu_start = time.process_time()
    assert list(find_opt_outs(data)) == []
    assert time.process_time() - cpu_start < 2


def test_number_of_tdm_rules_is_limited() -> None:
    long_rules = [{"location": "/" + "x" * 5000, "tdm-reservation": 1}] * 20
    assert parse_tdm_rules(json.dumps(long_rules).encode()) == ()
    many_rules = [{"location": "/", "tdm-reservation": 1}] * 9000
    assert len(parse_tdm_rules(json.dumps(many_rules).encode())) == 1000

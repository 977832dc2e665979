"""A small Google on loopback: a page filled by JavaScript, with more results when scrolled.

The format is that of sites.md 2 c): script arrays with the height first, "2003" entries,
thumbnails next to them, and `\\u003d`, `\\u0026` and `\\/` in every string.
"""

import json
import threading
import time
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from faulty_server import FaultyServer, Handler
from tools_for_tests import picture

CHUNK = 8
PAGE = r"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>cats - Google
</title></head><body><noscript>Please click <a href="/retry/enablejs">here</a></noscript>
<div id="rso"></div><div hidden>Looks like you've reached the end</div><script>
function AF_initDataCallback() {}
let next = 0, busy = false;
async function more() {
  if (busy) return;
  busy = true;
  const answer = await fetch('more?' + location.search.slice(1) + '&n=' + next++);
  const text = await answer.text();
  if (text) {
    const row = document.createElement('div');
    for (const id of new Set(text.match(/ID\d+/g))) {
      const tile = document.createElement('div');
      tile.dataset.docid = id;
      row.append(tile);
    }
    if (!text.startsWith(")]}'")) {
      const script = document.createElement('script');
      script.textContent = text;
      document.body.append(script);
    }
    row.style.height = '3000px';
    document.getElementById('rso').append(row);
  }
  busy = !text && answer.status != 503;
}
addEventListener('scroll', () => {
  if (scrollY + innerHeight > document.documentElement.scrollHeight - 400) more();
});
setTimeout(more, 300);
</script></body></html>"""


@dataclass(frozen=True)
class ImageResult:
    """A search result with Google's information about it."""

    url: str
    page: str
    title: str
    width: int = 640
    height: int = 480


def literal(text: str) -> str:
    """Return a string literal as Google's scripts write it."""
    escaped = json.dumps(text).replace("=", r"\u003d").replace("&", r"\u0026")
    return escaped.replace("/", r"\/").replace("<", r"\u003c")


def entry(result: ImageResult, number: int = 0) -> str:
    """Return a result as an array of Google's scripts."""
    thumbnail = literal(f"https://encrypted-tbn0.gstatic.com/images?q=tbn:T{number}&s")
    return (
        f'["{number}_t",[0,"ID{number}",[{thumbnail},183,275],'
        f"[{literal(result.url)},{result.height},{result.width}],"
        f'null,0,"rgb(1,2,3)",null,0,{{"2000":[null,"host","12KB"],'
        f'"2003":[null,"ID{number}",{literal(result.page)},{literal(result.title)},null,null,1]}}]]'
    )


def script(results: list[ImageResult], first: int = 0) -> str:
    """Return a data block of the page."""
    entries = ",".join(entry(result, first + at) for at, result in enumerate(results))
    return f"AF_initDataCallback({{key: 'ds:1', hash: '2', data:[31,[{entries}]], side: {{}}}});"


def rpc_answer(data: str) -> str:
    """Return data as the answer to a request of Google's scripts: JSON within lines of JSON."""
    line = json.dumps([["wrb.fr", "HoAMBc", data, None, None, None, "generic"]])
    return (
        f")]}}'\n\n{len(line)}\n{line}\n25\n{json.dumps([['e', 4, None, None, 131]])}\n"
    )


def link(result: ImageResult, number: int = 0) -> str:
    """Return a result as a link to Google's own page about it."""
    fields = {
        "imgurl": result.url,
        "imgrefurl": result.page,
        "h": result.height,
        "w": result.width,
        "tbnid": f"T{number}",
    }
    href = urlencode(fields).replace("&", "&amp;")
    return f'<a href="/imgres?{href}"><img alt="{result.title}" src="/images?q=tbn:T{number}"></a>'


def page(*scripts: str) -> str:
    """Return a whole page that ends with these scripts."""
    result = "".join(f"<script nonce='x'>{text}</script>" for text in scripts)
    return f"<html><head><title>x</title></head><body>{result}</body></html>"


class SmallGoogle:
    """A site that answers `/deep/search` for any query and serves the images."""

    def __init__(self, site: FaultyServer, count: int) -> None:
        self.url = f"{site.url}/deep"
        self.results = [
            ImageResult(
                f"{site.url}/p/{n}.jpg?size=full&n={n}",
                f"{site.url}/post?id={n}",
                f"Katze №{n} — 猫 & more",
                width=64 + n,
            )
            for n in range(count)
        ]
        self.chunks = 0
        self.hold = threading.Event()
        self.hold.set()
        self.slow_chunk = 0.0  # seconds that the second block takes
        self.failing_chunk = 0  # from this block on the site answers with errors
        self.lost_chunk = 0  # the page goes on after an error in place of this block
        self.tiles_chunk = (
            0  # from this block on the page gets tiles, and scripts the addresses
        )
        self.has_addresses = True
        site.otherwise = self._answer

    def _answer(self, h: Handler) -> None:
        parts = urlsplit(h.path)
        if parts.path == "/deep/search":
            h.answer(200, PAGE.encode(), Content_Type="text/html; charset=utf-8")
        elif parts.path == "/deep/more":
            self.chunks += 1
            time.sleep(self.slow_chunk if self.chunks == 2 else 0)
            if self.chunks >= self.failing_chunk > 0:
                h.answer(500)
                return
            if self.chunks == self.lost_chunk:
                h.answer(503)
                return
            first = int(parse_qs(parts.query)["n"][0]) * CHUNK
            part = self.results[first : first + CHUNK]
            body = script(part, first) if part else ""
            if part and self.chunks >= self.tiles_chunk > 0:
                entries = ",".join(
                    entry(result, first + at) for at, result in enumerate(part)
                )
                ids = ",".join(f'"ID{first + at}"' for at in range(len(part)))
                body = rpc_answer(f"[[{entries if self.has_addresses else ids}]]")
            h.answer(200, body.encode(), Content_Type="text/plain; charset=utf-8")
        elif parts.path.startswith("/p/"):
            self.hold.wait(60)
            seed = int(parts.path.removeprefix("/p/").partition(".")[0])
            h.answer(200, picture(seed), Content_Type="image/jpeg")
        else:
            h.answer(404)

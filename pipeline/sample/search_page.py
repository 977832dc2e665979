"""A search answer in the shape of Bing's `/images/async` fragment.

The shape is the one that three independent readers of the real site agree on:
`ul.dgControl_list > li > div.iuscp > div.imgpt > a.iusc[m]`, with an `infopt` block beside.
"""

from __future__ import annotations

import json
from hashlib import md5
from html import escape
from urllib.parse import quote, urlencode, urlsplit

from pipeline.sample.listing import Result

PAGE_SIZE = 35

_ROW = """<li data-idx="{index}"><div class="iuscp isv"><div class="imgpt">\
<a class="iusc" style="height:180px" m="{m}" mad="{mad}" href="{href}">\
<div class="img_cont hoff"><img class="mimg" src="{thumb}" alt="{title}"/></div></a>\
<div class="img_info hon"><span class="nowrap">{width} × {height} · jpeg</span></div></div>\
<div class="infopt"><div class="infnmpt"><div><ul class="b_dataList">\
<li><a class="inflnk" title="{title}" href="{page}">{title}</a></li>\
<li><div class="lnkw"><a title="{host}" href="{page}">{host}</a></div></li>\
</ul></div></div></div></div></li>"""


def page_of(results: list[Result], first: int, count: int) -> tuple[int, list[Result]]:
    """The index and results of a page; past the end it is the last page again."""
    size = max(1, min(count, PAGE_SIZE))
    start = max(0, first - 1)
    if start >= len(results):
        start = (len(results) - 1) // size * size
    return start, results[start : start + size]


def search_page(query: str, results: list[Result], first: int, count: int, base: str) -> str:
    """The HTML fragment; `base` (`http://127.0.0.1:8900`) starts all addresses in it."""
    if not results:
        return f'<div class="no_results">There are no results for <b>{escape(query)}</b></div>'
    start, page = page_of(results, first, count)
    rows = "".join(_row(result, start + i, base) for i, result in enumerate(page))
    return (
        f'<div class="dgControl hover" data-nextpage="{start + len(page) + 1}">'
        f'<ul class="dgControl_list" data-row="0">{rows}</ul></div>'
    )


def picture_id(result: Result) -> str:
    """The site's own id of a result, in the style of Bing's `md5` field."""
    return md5(result.path.encode(), usedforsecurity=False).hexdigest()


def _row(result: Result, index: int, base: str) -> str:
    width, height = (320, 180) if result.variant == "resized" else (640, 360)
    known = _m(result, base)
    link = {"view": "detailV2", "mediaurl": known["murl"], "expw": width, "exph": height}
    return _ROW.format(
        index=index + 1,
        m=_attribute(known),
        mad=_attribute({"turl": known["turl"], "maw": "320", "mah": "180"}),
        href=escape(f"/images/search?{urlencode(link)}"),
        thumb=escape(known["turl"]),
        title=escape(result.title),
        page=escape(known["purl"]),
        host=escape(urlsplit(result.path).path.split("/")[1] + ".example"),
        width=width,
        height=height,
    )


def _m(result: Result, base: str) -> dict[str, str]:
    """What the `m` attribute holds; Bing marks the query's words with U+E000 and U+E001."""
    key = picture_id(result)
    words = result.title.split(" ", 1)
    title = f"\ue000{words[0]}\ue001 {words[1]}" if int(key[0], 16) % 3 == 0 else result.title
    return {
        "cid": key[:8],
        "purl": base + result.page,
        "murl": base + result.path,
        "turl": f"{base}/th?id=OIP.{quote(key)}&pid=15.1",
        "md5": key,
        "shkey": key[8:24],
        "t": title,
        "mid": key.upper(),
        "desc": f"{result.title}, by {result.author}",
    }


def _attribute(values: dict[str, str]) -> str:
    return escape(json.dumps(values, ensure_ascii=False, separators=(",", ":")))

"""URLs as found on the web, normalized for requests."""

import re
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit

import idna

from gleanset.errors import Unreadable

_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]+")
# RFC 3986: sub-delims, ":", "@" and "/" are not quoted in a path, "?" in a query neither.
_PATH_SAFE = "%/:@!$&'()*+,;=~"
_QUERY_SAFE = _PATH_SAFE + "?"
# Hosts that answer 403 unless the request names a page of their site, as gallery-dl does.
_REQUIRED_REFERERS = {
    "pximg.net": "https://www.pixiv.net/",
    "fanbox.cc": "https://www.fanbox.cc/",
    "sinaimg.cn": "https://weibo.com/",
    "webtoon-phinf.pstatic.net": "https://www.webtoons.com/",
}
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def normalize_url(url: str) -> str:
    """Return the address with everything quoted that must be; idempotent.

    Non-ASCII hosts become IDNA as in browsers; fragment and user name are dropped.
    Raises `Unreadable("bad url")` for anything that is not http or https with a host.
    """
    try:
        parts = urlsplit(url.strip())
        scheme = parts.scheme.lower()
        host = _host(parts)
        port = f":{parts.port}" if parts.port else ""
        path = _quote(parts.path or "/", _PATH_SAFE)
        query = _quote(parts.query, _QUERY_SAFE)
    except ValueError as error:
        raise Unreadable("bad url", f"{url}: {error}") from error

    if scheme not in ("http", "https"):
        raise Unreadable("bad url", f"{url}: not http or https")
    return urlunsplit((scheme, host + port, path, query, ""))


def resolve_redirect(url: str, location: str) -> str:
    """Return the target of a `Location` header. Raises `Unreadable("bad redirect")`."""
    try:
        return normalize_url(urljoin(url, _decode_header(location)))
    except (Unreadable, ValueError) as error:
        raise Unreadable(
            "bad redirect",
            f"{url} -> {location}",
        ) from error


def get_host(url: str) -> str:
    """Return the host of a normalized address: lower case, without port and brackets."""
    return urlsplit(url).hostname or ""


def get_url_origin(url: str) -> str:
    """Return scheme, host and port of a normalized address, without a default port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.removesuffix(_DEFAULT_PORTS[parts.scheme])}"


def get_required_referer(url: str) -> str | None:
    """Return the page that the host of an address demands as `Referer`."""
    host = "." + get_host(normalize_url(url))
    for name, page in _REQUIRED_REFERERS.items():
        if host.endswith(f".{name}"):
            return page
    return None


def _host(parts: SplitResult) -> str:
    name = parts.hostname or ""
    if ":" in name:
        return f"[{name}]"

    # A name that is not ASCII is taken as written: `hostname` is in lower case, where a final Σ
    # becomes ς, which is another host.
    _, _, written_host = parts.netloc.rpartition("@")
    written_name = unquote(written_host.partition(":")[0])
    ascii_name = name if written_name.isascii() else _encode_host(written_name)
    if not _HOST_NAME.fullmatch(ascii_name):
        raise ValueError("no host, or not a host name")
    return ascii_name


def _encode_host(name: str) -> str:
    """Return a name in Punycode by UTS 46, non-transitional, as browsers do.

    The rules of IDNA 2008 are not checked: hosts with underscores and emoji exist.
    """
    # The codec of Python is IDNA 2003: it takes ß for ss and ς for σ, which are other hosts.
    mapped = idna.uts46_remap(name, std3_rules=False, transitional=False)
    labels = []
    for label in mapped.split("."):
        if not label.isascii():
            label = f"xn--{label.encode('punycode').decode()}"
        labels.append(label)
    return ".".join(labels)


def _quote(text: str, safe: str) -> str:
    return quote(_STRAY_PERCENT.sub("%25", text), safe=safe)


def _decode_header(header: str) -> str:
    # Headers are decoded as Latin-1; servers that do not quote send UTF-8.
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header

"""`X-Robots-Tag`: what the answer with the picture itself says to robots.

The syntax is `[agent:] directive, directive`, in as many headers as a host likes; a directive
without an agent is for everyone (developers.google.com/search/docs, "Robots meta tag").
`noai` and `noimageai` are DeviantArt's of 2022.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# What has a colon of its own and is no agent.
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_LONGHAND = {"none": "noindex"}


def refused_by(lines: Sequence[str], heeded: frozenset[str], agent: str) -> str | None:
    """The first of `heeded` that the header lines say to us or to everyone, None without one."""
    for said in _said_to(agent, lines):
        directive = _LONGHAND.get(said, said)
        if directive in heeded:
            return directive
    return None


def _said_to(agent: str, lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        ours = True
        for part in line.lower().split(","):
            name, colon, rest = part.strip().partition(":")
            if colon and _is_agent(name.strip()):
                # It speaks to this agent up to the next one in the line.
                ours = name.partition("/")[0].strip() in ("*", agent)
                part = rest
            if ours:
                yield part.strip()


def _is_agent(name: str) -> bool:
    # The date of `unavailable_after` may have a comma, and always has colons.
    return name not in _VALUED and " " not in name and not name.isdigit()

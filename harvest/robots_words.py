"""What a host may say to robots, by the names that commands and recipes use.

`docs/legal.md` says what each of them means and what ignoring it does. Imports nothing heavy:
the help of a command names them.
"""

from __future__ import annotations

from typing import Literal, get_args

# Directives of `X-Robots-Tag`.
RobotsTag = Literal["noai", "noimageai", "noindex", "noimageindex"]
# What a person may choose to ignore.
RobotsWord = Literal["robots.txt", RobotsTag, "all"]

TAGS: tuple[str, ...] = get_args(RobotsTag)
WORDS: tuple[str, ...] = get_args(RobotsWord)

"""What a host or a picture may say to robots, by the names that commands and recipes use.

`docs/legal.md` says what each of them means and what ignoring it does. Imports nothing heavy:
the help of a command names them.
"""

from __future__ import annotations

from typing import Literal, get_args

# Directives of `X-Robots-Tag`.
RobotsTag = Literal["noai", "noimageai", "noml", "noindex", "noimageindex"]
# Who may reserve what is made of a picture: its host by the first two, its file by the others.
Reservation = Literal["tdm-reservation", "content-signal", "iptc", "c2pa"]
# What a person may choose to ignore.
OptOutSignal = Literal["robots.txt", RobotsTag, Reservation, "all"]

TAGS: tuple[str, ...] = get_args(RobotsTag)
WORDS: tuple[str, ...] = get_args(OptOutSignal)

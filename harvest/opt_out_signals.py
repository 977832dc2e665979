"""Opt-out signals of hosts, pages and images, by the names that commands and recipes use.

`docs/legal.md` explains each of them and what ignoring it does. Imports nothing heavy: the help
of a command lists them.
"""

from typing import Literal, get_args

# Directives of `X-Robots-Tag`.
RobotsTag = Literal["noai", "noimageai", "noml", "noindex", "noimageindex"]
# Reservations: the first two by the host of an image, the others in its file.
Reservation = Literal["tdm-reservation", "content-signal", "iptc", "c2pa"]
OptOutSignal = Literal["robots.txt", RobotsTag, Reservation, "all"]

ROBOTS_TAGS = get_args(RobotsTag)
SIGNALS = get_args(OptOutSignal)

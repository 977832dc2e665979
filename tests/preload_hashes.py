"""Preloaded imports of duplicate comparison, for the process that forks the tests' workers.

imagehash imports SciPy's transforms at its first hash; every worker would begin with that.
"""

import imagehash
from PIL import Image

imagehash.phash(Image.new("L", (32, 32)))

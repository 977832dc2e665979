"""What the comparison of copies loads at its first pair: imported by what forks workers of tests.

Compiled loops are loaded when they are first called, and imagehash imports SciPy's transforms when
it first hashes; each worker would begin with both.
"""

import imagehash
import numpy as np
from PIL import Image

from labeler.duplicates.edge_kernels import (
    Edges,
    count_replaced,
    edge_products,
    lost_edges,
    normalise,
)

imagehash.phash(Image.new("L", (32, 32)))
PLANE = np.zeros((2, 2), np.float32)
ALL = np.ones((2, 2), np.bool_)
EDGES = Edges(PLANE, PLANE, PLANE)
normalise(PLANE, PLANE, ALL, 0.1, PLANE)
lost_edges(EDGES, EDGES, ALL, PLANE)
count_replaced(edge_products(EDGES, EDGES, ALL), 0.1)

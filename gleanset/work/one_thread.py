"""Linear algebra on one thread in worker processes, which are as many as there are cores.

With a thread for each core in each of them they wait for each other: on a busy machine a small
product took twenty times as long. OpenBLAS reads this once, when NumPy loads it: what forks the
workers imports this module before the others, and nobody else does. What a user has set counts.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

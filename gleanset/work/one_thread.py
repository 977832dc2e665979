"""Limit of BLAS and OpenCV to one thread in worker processes, of which each core has one.

With a thread per core in every worker they wait for each other: on a busy machine a small matrix
product took twenty times as long. The libraries read the variables once, when NumPy loads OpenBLAS
and when OpenCV is first used: so the fork server imports this module first, and workers call it
before they work. Values set by the user are kept.
"""

import os

VARIABLES = ("OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


def compute_on_one_thread() -> None:
    """Set the variables for libraries that this process has not loaded yet."""
    for name in VARIABLES:
        os.environ.setdefault(name, "1")


compute_on_one_thread()

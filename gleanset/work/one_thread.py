"""Linear algebra and OpenCV on one thread in worker processes: they are as many as there are cores.

With a thread for each core in each of them they wait for each other: on a busy machine a small
product took twenty times as long. The libraries read this once, when NumPy loads OpenBLAS and when
OpenCV begins to work: what forks the workers imports this module before the others, workers call
it before they work, and nobody else does. What a user has set counts.
"""

import os

VARIABLES = ("OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")


def compute_on_one_thread() -> None:
    """Tell the libraries that this process has not loaded yet."""
    for name in VARIABLES:
        os.environ.setdefault(name, "1")


compute_on_one_thread()

"""What to do where hardly any picture has a face: photos of things are samples as a whole."""

from __future__ import annotations

import shlex

from gleanset import Dataset
from gleanset.db.faces import WHOLE

FEW = 10
"""One picture in so many with a face: fewer, and faces are not what they were collected for."""


def whole_instead(dataset: Dataset) -> tuple[str, str] | None:
    """The command that takes whole pictures, and why; None where faces were found, or that is done.

    Of 97 photos of cats and flowers animeface finds 4 faces.
    """
    searched, with_face = dataset.scans.searched_for_faces(WHOLE)
    if not searched or with_face * FEW >= searched:
        return None
    command = f"facecrop run --detector {WHOLE} -d {shlex.quote(str(dataset.root))}"
    seen = f"{with_face} of {searched} pictures have" if with_face else f"None of {searched} has"
    return command, f"{seen} a face: if they show something else, take them whole"

"""The files of runs that were deleted for good."""

import shutil
from collections.abc import Iterable

from db.session import home


def remove_files(paths: Iterable[str]) -> None:
    """Remove deleted runs' files; nothing outside the checkpoints' folder is touched."""
    folder = (home() / "checkpoints").resolve()
    for path in paths:
        place = (home() / path).resolve().parent
        if place.parent == folder:
            shutil.rmtree(place, ignore_errors=True)

"""What runs that were deleted for good have left on the disk."""

import shutil
from collections.abc import Iterable

from backend import run_log
from db.session import home
from db.writes import Deleted


def remove_rest(deleted: Deleted) -> None:
    """Remove the files and logs of runs that the database has forgotten, and what they kept to go on from."""
    # That lies under the run's fingerprint and is noted nowhere.
    kept = [f"checkpoints/{fingerprint}/model" for fingerprint in deleted.fingerprints]
    remove_files([*deleted.files, *kept])
    run_log.forget(home(), deleted.fingerprints)


def remove_files(paths: Iterable[str]) -> None:
    """Remove deleted runs' files; nothing outside the checkpoints' folder is touched."""
    folder = (home() / "checkpoints").resolve()
    for path in paths:
        place = (home() / path).resolve().parent
        if place.parent == folder:
            shutil.rmtree(place, ignore_errors=True)

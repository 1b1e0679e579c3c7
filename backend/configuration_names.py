"""Which configurations of a study some runs belong to."""

from collections.abc import Iterable, Mapping
from typing import Any


def configurations_of(document: Mapping[str, Any], fingerprints: Iterable[str]) -> list[str]:
    """The labels of the configurations whose model, of any seed, is among the runs; in the study's order."""
    wanted = set(fingerprints)
    return [
        str(configuration["label"])
        for configuration in document.get("configurations", [])
        if wanted & set(configuration["runs"].values())
    ]

"""Plugins for tests: parts as a user would write them in files of their own."""

from pathlib import Path

ASCENT = '''
"""Gradient ascent that never takes the forget loss beyond that of guessing."""

import torch

from backend import chunked
from backend.registry import Rate, Weight, method
from backend.suppression import suppress


@method(stage="suppress", label="Clipped ascent", source="our own")
def clipped_ascent(model, task, run, *, ceiling: Weight = 4.0, learning_rate: Rate = 1e-3, **suppression):
    """The model after ascent on the forget loss up to a ceiling.

    Args:
        ceiling: the forget loss at which ascent ends, in nats
        learning_rate: peak learning rate
    """

    def climb(step):
        return -torch.clamp(chunked.cross_entropy(model, step.forget), max=ceiling)

    return suppress(model, task, run, climb, learning_rate=learning_rate, **suppression)
'''

METRIC = '''
"""How sure a model is of a right answer."""

from backend.registry import metric


@metric(label="Surprise", direction="down", floor="unigram", unit="nats", range=[0.0, None], source="our own")
def surprise(scores):
    """Twice the loss of an item, so that it can be told from ours."""
    return 2 * scores.loss
'''


def written(folder: Path, name: str, text: str) -> Path:
    """The file of that name with that text; its folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def installed(site: Path, package: str, files: dict[str, str], point: str) -> None:
    """A package with an entry point of the group `lethe.plugins`, as an installer leaves it in a folder of `sys.path`."""
    written(site / package, "__init__.py", "")
    for name, text in files.items():
        written((site / package / name).parent, Path(name).name, text)
    about = site / f"{package}-1.0.dist-info"
    written(about, "METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    written(about, "entry_points.txt", f"[lethe.plugins]\n{package} = {point}\n")

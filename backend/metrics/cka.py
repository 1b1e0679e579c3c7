"""CKA: do the model's hidden states have the same geometry as the base's?"""

from contextlib import suppress

import torch
from torch import Tensor

from backend.examination import Examination, Readings
from backend.layerwise import blocks_of, layer_name, scored_states
from backend.registry import metric
from backend.stage import NotApplicable

SPLIT = "forget_score"


@metric(
    label="CKA with the base",
    source="Kornblith et al. 2019 (arXiv 1905.00414): linear centred kernel alignment",
    direction="up",
    floor=None,
    unit="",
    range=[0.0, 1.0],
    level="pair",
    takes="examination",
)
def cka(examined: Examination) -> Readings:
    """Linear CKA of the states that model and base have where forget answers are scored, the mean over layers.

    1 where they agree up to a rotation and a common scale. The category `layer k` is one layer; `oracle` and `oracle,
    layer k` compare with the oracle instead, where there is one. A poor measure of unlearning (arXiv 2605.24614): much
    of a state's geometry has nothing to do with the facts.
    """
    found = _against(examined, "base", "")
    with suppress(NotApplicable):  # without an oracle the comparison with the base stands by itself
        found |= _against(examined, "oracle", "oracle")
    return found


def _against(examined: Examination, role: str, name: str) -> dict[str | tuple[str, str], float]:
    model, other = examined.of("model"), examined.of(role)
    if len(blocks_of(model)) != len(blocks_of(other)):
        raise NotApplicable(f"the {role} has another number of layers")
    loader = examined.loader(SPLIT)
    mine, theirs = scored_states(model, loader).layers, scored_states(other, loader).layers
    layers = [linear_cka(x, y) for x, y in zip(mine, theirs, strict=True)]
    before = f"{name}, " if name else ""
    found: dict[str | tuple[str, str], float] = {
        (SPLIT, before + layer_name(layer)): value for layer, value in enumerate(layers)
    }
    found[(SPLIT, name) if name else SPLIT] = sum(layers) / len(layers)
    return found


def linear_cka(x: Tensor, y: Tensor) -> float:
    """‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) in Frobenius norms, of centred states (n, width) with one row for every position.

    Not a number where all rows of one are alike.
    """
    x, y = (states.double() - states.double().mean(0) for states in (x, y))
    cross, own, other = (torch.linalg.matrix_norm(a.T @ b) for a, b in ((y, x), (x, x), (y, y)))
    return float(cross.square() / (own * other))

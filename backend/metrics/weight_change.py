"""Weight change: how far, and where, did unlearning move the weights?"""

from typing import Any

from torch import Tensor

from backend.architecture import block_number, kind
from backend.checkpoints import named_weights
from backend.examination import Examination, Readings
from backend.layerwise import blocks_of
from backend.quantization import steps_of
from backend.registry import Count, metric
from backend.stage import NotApplicable

BITS = (8, 4)


@metric(
    label="weight change",
    source="‖θ − θ_base‖ / ‖θ_base‖; steps of int8 and int4 as in arXiv 2410.16454",
    direction="none",
    floor=None,
    unit="share",
    range=[0.0, None],
    level="pair",
    takes="examination",
)
def weight_change(examined: Examination, *, group: Count = 32) -> Readings:
    """The Euclidean length of the change of all weights over that of the base's weights; 0 for the base itself.

    Categories are the same by kind of weight (`attention`, `mlp`, `embedding`, `norms`) and by layer and kind (`layer 1
    attention`); `beyond half an int4 step` and `… int8 step` are the shares of the matrices' weights that moved by more
    than half of such a step, where a step is the largest weight of a group over 2^(bits−1) − 1: smaller changes may
    vanish when the weights are rounded. It says where a model was changed, not what it knows: a small change can hide
    much, and a large one need not remove anything.

    Args:
        group: neighbours in a row of a matrix that share a step
    """
    model, base = examined.of("model"), examined.of("base")
    blocks_of(model)
    mine, theirs = named_weights(model), named_weights(base)
    if {n: w.shape for n, w in mine.items()} != {n: w.shape for n, w in theirs.items()}:
        raise NotApplicable("its weights have other shapes than the base's")
    pairs = {name: (mine[name].detach(), theirs[name].detach()) for name in theirs}
    found: dict[str | tuple[str, str], float] = {"model": _relative(list(pairs.values()))}
    for category in dict.fromkeys(c for name in pairs for c in _categories(name)):
        chosen = [pair for name, pair in pairs.items() if category in _categories(name)]
        found["model", category] = _relative(chosen)
    for bits in BITS:
        found["model", f"beyond half an int{bits} step"] = _beyond(pairs, bits, group)
    return found


def _relative(pairs: list[tuple[Tensor, Tensor]]) -> float:
    change = sum(float((a.double() - b.double()).square().sum()) for a, b in pairs)
    whole = sum(float(b.double().square().sum()) for _, b in pairs)
    return (change / whole) ** 0.5 if whole else float("inf" if change else 0.0)


def _categories(name: str) -> list[str]:
    """The kind of a weight, and the same with its layer's number where it belongs to one."""
    found, block = kind(name), block_number(name)
    return [found] if block is None else [found, f"layer {block + 1} {found}"]


def _beyond(pairs: dict[str, Any], bits: int, group: int) -> float:
    """The share of the matrices' weights that moved by more than half a quantisation step of the base's."""
    moved, count = 0, 0
    for mine, theirs in pairs.values():
        if theirs.dim() < 2:
            continue
        step = steps_of(theirs, bits, group)
        far = (mine - theirs).abs().reshape(*step.shape[:-1], -1) > 0.5 * step
        moved += int(far.sum())
        count += theirs.numel()
    return moved / count

"""Models of another shape than the setting's: as a stored configuration says, or scaled."""

from collections.abc import Mapping
from typing import Any, Literal

import torch

from backend.models import FAMILIES, build, choose_kernels, device
from backend.stage import RunFailed

# What decides which weights there are and how large they are.
SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "num_local_experts",
    "num_experts_per_tok",
)


def of_shape(config: Mapping[str, Any], model: Any) -> Any:
    """The model itself where it has the sizes that a stored configuration names, else a fresh one made from that.

    The fresh one's matrices are arbitrary: a checkpoint fills them, or only the vectors count, which start alike in
    every model.
    """
    own = model.config.to_dict()
    if all(config.get(size, own.get(size)) == own.get(size) for size in SIZES):
        return model
    config_class, model_class = FAMILIES[config["model_type"]]
    wanted = config_class.from_dict(dict(config))  # type: ignore[attr-defined]
    choose_kernels(wanted)
    with torch.random.fork_rng(devices=[]):
        return model_class(wanted).to(device())


def scaled(
    spec: Mapping[str, Any], factor: float, what: Literal["width", "layers"], seed: int
) -> Any:
    """A fresh model of a setting's specification with its width or its number of layers multiplied by a factor.

    The width is rounded to a multiple of twice the heads, which keep their number, since positions turn pairs of a
    head's coordinates; the MLP's grows alike. At least one layer or one such multiple is left.

    Raises:
        RunFailed: the specification fixes the heads' size, so that the width would not reach them
    """
    changed = dict(spec)
    if what == "layers":
        changed["num_hidden_layers"] = max(1, round(factor * spec["num_hidden_layers"]))
    elif "head_dim" in spec:
        raise RunFailed("The setting fixes the size of attention heads; scale the layers instead.")
    else:
        grain = 2 * spec["num_attention_heads"]
        changed["hidden_size"] = grain * max(1, round(factor * spec["hidden_size"] / grain))
        changed["intermediate_size"] = max(1, round(factor * spec["intermediate_size"]))
    return build(changed, seed)

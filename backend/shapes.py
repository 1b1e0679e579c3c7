"""Models of another shape than the setting's: as a stored configuration says, or scaled."""

from collections.abc import Mapping
from typing import Any, Literal

from backend.configurations import configuration, stored
from backend.models import build, fresh, recomputes, shell
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
    "n_embd",
    "n_layer",
    "n_head",
    "n_inner",
    "ffn_dim",
    "tie_word_embeddings",
)


def same_sizes(config: Mapping[str, Any], model: Any) -> bool:
    """Whether a model has the sizes that a stored configuration names."""
    own = model.config.to_dict()
    if config.get("model_type", own["model_type"]) != own["model_type"]:
        return False
    return all(config.get(size, own.get(size)) == own.get(size) for size in SIZES)


def of_shape(config: Mapping[str, Any], model: Any) -> Any:
    """The model itself where it has the sizes that a stored configuration names, else one made from that.

    That one's weights hold anything: a checkpoint fills them.
    """
    if same_sizes(config, model):
        return model
    handled = {
        "attention": model.config._attn_implementation,
        "gradient_checkpointing": recomputes(model),
    }
    return stored_shell(config, handled)


def stored_shell(config: Mapping[str, Any], spec: Mapping[str, Any]) -> Any:
    """A model as a stored configuration says, handled as a task's specification says, its weights to be filled."""
    return shell(stored(config, spec), spec)


def initial_like(model: Any, spec: Mapping[str, Any], seed: int) -> Any:
    """A model of the shape of another, of one of the specification or scaled, with initial weights."""
    return fresh(stored(model.config.to_dict(), spec), spec, seed)


def scaled(
    spec: Mapping[str, Any], factor: float, what: Literal["width", "layers"], seed: int
) -> Any:
    """A fresh model of a setting's specification with its width or its number of layers multiplied by a factor.

    The width is rounded to a multiple of twice the heads, which keep their number, since positions turn pairs of a
    head's coordinates; the MLP's grows alike. At least one layer or one such multiple is left.

    Raises:
        RunFailed: the specification fixes the heads' size, so that the width would not reach them
    """
    if spec.get("pretrained"):
        return _scaled_released(spec, factor, what, seed)
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


def _scaled_released(
    spec: Mapping[str, Any], factor: float, what: Literal["width", "layers"], seed: int
) -> Any:
    """The same for the architecture of a released model, whose configuration may name more that hangs on its sizes."""
    known = configuration(spec)
    if what == "layers":
        count = max(1, round(factor * known.num_hidden_layers))
        kinds = getattr(known, "layer_types", None) or []
        several = {"layer_types": [kinds[i % len(kinds)] for i in range(count)]} if kinds else {}
        return build(spec, seed, **_named(known, num_hidden_layers=count), **several)
    heads = known.num_attention_heads
    own = getattr(known, "head_dim", None)
    if own and own * heads != known.hidden_size:
        raise RunFailed("The setting fixes the size of attention heads; scale the layers instead.")
    width = 2 * heads * max(1, round(factor * known.hidden_size / (2 * heads)))
    changes = {"hidden_size": width}
    changes |= {"head_dim": width // heads} if own else {}
    inner = getattr(known, "intermediate_size", None) or getattr(known, "n_inner", None)
    changes |= {"intermediate_size": max(1, round(factor * inner))} if inner else {}
    return build(spec, seed, **_named(known, **changes))


def _named(config: Any, **changes: int) -> dict[str, int]:
    """The changes under the names that the configuration's family has for them."""
    other = {"intermediate_size": "n_inner"} if hasattr(config, "n_inner") else {}
    return {{**config.attribute_map, **other}.get(k, k): v for k, v in changes.items()}

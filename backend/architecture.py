"""Where the parts of a causal language model are, whatever its family calls them.

The blocks are the decoder's longest list of modules; the rest goes by the names that transformers' families use. A part
that a family has under no name known here is NotApplicable, with a sentence.
"""

import re
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from backend.stage import NotApplicable

NORMS = ("norm", "final_layer_norm", "final_layernorm", "ln_f", "norm_f")
ATTENTION = ("self_attn", "attention", "attn", "self_attention")
MLP = ("mlp", "ffn", "feed_forward")
MLP_OUTPUTS = ("down_proj", "dense_4h_to_h", "fc2", "c_proj", "fc_out")
MLP_INPUTS = ("gate_proj", "up_proj", "dense_h_to_4h", "fc1", "c_fc", "fc_in")
ROUTERS = ("gate", "router", "shared_expert_gate")
Projection = (nn.Linear, Conv1D)


def language_model(model: Any) -> Any:
    """The transformers model itself, where something may be around it."""
    if isinstance(model, PreTrainedModel):
        return model
    return next(module for module in model.modules() if isinstance(module, PreTrainedModel))


def decoder(model: Any) -> Any:
    """The module whose children are embedding, blocks and final norm."""
    base = model.base_model
    return getattr(base, "decoder", base)


def blocks(model: Any) -> Any:
    """The blocks, the first one first, as the list that the model runs through."""
    return getattr(decoder(model), _blocks_name(model))


def _blocks_name(model: Any) -> str:
    lists = [(n, m) for n, m in decoder(model).named_children() if isinstance(m, nn.ModuleList)]
    if not lists:
        raise NotApplicable(f"a {model.config.model_type} model has no list of blocks")
    return max(lists, key=lambda item: len(item[1]))[0]


def keep_blocks(model: Any, count: int) -> None:
    """Let the model end after its first so many blocks."""
    kept = blocks(model)[:count]
    setattr(decoder(model), _blocks_name(model), kept)
    model.config.num_hidden_layers = len(kept)


def inside_blocks(model: Any) -> str:
    """What the names of all weights inside the blocks begin with."""
    listed = blocks(model)
    return next(name for name, module in model.named_modules() if module is listed) + "."


def embedding(model: Any) -> Any:
    """The module that turns tokens into vectors."""
    return model.get_input_embeddings()


def head(model: Any) -> Any:
    """The linear module that turns vectors into logits."""
    return model.get_output_embeddings()


def final_norm(model: Any) -> Any:
    """What stands between the last block and the head."""
    return _child(decoder(model), NORMS, model, "final norm")


def attention(block: Any) -> Any:
    """A block's attention."""
    return _child(block, ATTENTION, block, "attention module")


def mlp(block: Any) -> Any:
    """A block's MLP or mixture of experts."""
    return _child(block, MLP, block, "MLP module")


def mlp_output(block: Any) -> Any:
    """The projection from an MLP's neurons to the residual stream; a mixture of experts has none."""
    return _child(_mlp_parent(block), MLP_OUTPUTS, block, "one MLP with a projection out of it")


def mlp_inputs(block: Any) -> dict[str, Any]:
    """The projections whose outputs are one number a neuron, by name: gate and up, or one alone."""
    parent = _mlp_parent(block)
    found = {name: getattr(parent, name) for name in MLP_INPUTS if hasattr(parent, name)}
    if not found:
        raise NotApplicable(f"{type(block).__name__} has no projections into its MLP of their own")
    return found


def _mlp_parent(block: Any) -> Any:
    """The module that holds an MLP's projections; in some families the block itself."""
    return next((getattr(block, name) for name in MLP if hasattr(block, name)), block)


def _child(parent: Any, names: tuple[str, ...], whole: Any, what: str) -> Any:
    for name in names:
        if isinstance(getattr(parent, name, None), nn.Module):
            return getattr(parent, name)
    raise NotApplicable(f"{type(whole).__name__} has no {what} that is known here")


def neurons(output: Any) -> int:
    """How many neurons an MLP's output projection reads."""
    return int(output.weight.shape[neuron_axis(output)])


def neuron_axis(output: Any) -> int:
    """The axis of an MLP's output projection along which its neurons lie; GPT-2 stores matrices turned round."""
    return 0 if isinstance(output, Conv1D) else 1


def projections(model: Any, where: str = "all") -> dict[str, Any]:
    """The linear modules of the blocks by name: `all`, or those of `attention` or `mlp`; routers are none."""
    start = inside_blocks(model)
    return {
        name: module
        for name, module in model.named_modules()
        if name.startswith(start)
        and isinstance(module, Projection)
        and name.rpartition(".")[2] not in ROUTERS
        and where in ("all", kind(name))
    }


def kind(name: str) -> str:
    """What a weight or module is for, by its name: attention, mlp, embedding, head, norms or other."""
    words = name.split(".")
    if any(word in ATTENTION for word in words):
        return "attention"
    if any(word in (*MLP, "fc1", "fc2") for word in words):
        return "mlp"
    if any(word in ("lm_head", "embed_out") for word in words):
        return "head"
    if any("embed" in word or word in ("wte", "wpe") for word in words):
        return "embedding"
    return "norms" if re.search(r"norm|\bln_", name) else "other"


def block_number(name: str) -> int | None:
    """The number of the block that a weight belongs to, 0 is the first; None outside of them."""
    return next((int(word) for word in name.split(".") if word.isdigit()), None)


def block_weights(model: Any) -> int:
    """Weights of the matrices that a token meets in all blocks; of a mixture those of the experts it is sent to.

    0 for what is no model of transformers.
    """
    if not any(isinstance(module, PreTrainedModel) for module in model.modules()):
        return 0
    model = language_model(model)
    start, config = inside_blocks(model), model.config
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    experts = next((getattr(config, n) for n in names if getattr(config, n, None)), 1)
    share = getattr(config, "num_experts_per_tok", 1) / experts if experts > 1 else 1.0
    sizes = ((p.dim(), p.numel()) for n, p in model.named_parameters() if n.startswith(start))
    return round(sum(size * (share if dim > 2 else 1.0) for dim, size in sizes if dim >= 2))


def in_and_out(projection: Any) -> tuple[int, int]:
    """How many numbers a projection reads and how many it writes."""
    rows, columns = projection.weight.shape
    return (rows, columns) if isinstance(projection, Conv1D) else (columns, rows)


def is_turned(projection: Any) -> bool:
    """Whether a projection stores its matrix as (in, out), as GPT-2 does."""
    return isinstance(projection, Conv1D)

"""Counting floating-point operations, free of torch: from a configuration's numbers alone.

What is counted are a model's own passes: what gradient checkpointing computes a second time is not.
"""

from collections.abc import Callable, Mapping
from typing import Any

from backend.stage import UserError

BACKWARD = 2.0  # a backward pass costs twice the forward pass: gradients of inputs and of weights

# Families by the matrices of their MLP: gate, up and down, or up and down alone.
GATED = frozenset(
    [
        "llama",
        "gemma",
        "gemma2",
        "gemma3_text",
        "mistral",
        "mixtral",
        "qwen2",
        "qwen3",
        "phi3",
        "olmo",
        "olmo2",
        "stablelm",
        "granite",
        "cohere",
        "smollm3",
        "helium",
        "glm",
        "ministral",
    ]
)
PLAIN = frozenset(
    [
        "gpt_neox",
        "gpt2",
        "gpt_neo",
        "gptj",
        "gpt_bigcode",
        "phi",
        "opt",
        "bloom",
        "falcon",
        "mpt",
        "starcoder2",
        "codegen",
    ]
)
# What some families call the same number.
OTHER_NAMES = {
    "hidden_size": ("n_embd", "d_model"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads", "attention_heads"),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size"),
    "max_position_embeddings": ("n_positions",),
    "num_key_value_heads": ("num_kv_heads",),
}
# Position embeddings that are learnt, and how many rows they have beyond the positions.
LEARNT_POSITIONS = {"gpt2": 0, "gpt_neo": 0, "gpt_bigcode": 0, "opt": 2}


def number(config: Mapping[str, Any], name: str) -> Any:
    """A size by its usual name, whatever the family calls it; None where the configuration has none."""
    names = (name, *OTHER_NAMES.get(name, ()))
    return next((config[n] for n in names if config.get(n) is not None), None)


def _size(config: Mapping[str, Any], name: str) -> int:
    found = number(config, name)
    if found is None:
        raise UserError(
            f"A {family_of(config) or 'nameless'} model's {name} is not in its configuration, so its cost cannot be counted."
        )
    return int(found)


def family_of(config: Mapping[str, Any]) -> str:
    """The family of a configuration or of a task's specification of a model."""
    return str(config.get("model_type") or config.get("family") or "")


def counted(config: Mapping[str, Any], measure: Callable[[], int]) -> dict[str, Any]:
    """The configuration; of a family unknown here with `block_weights`, as measured on the model itself."""
    known = family_of(config) in GATED | PLAIN
    return dict(config) if known else {**config, "block_weights": measure()}


def layer_weights(config: Mapping[str, Any], *, stored: bool = False) -> int:
    """Weights of the matrix products that a token meets in one block: attention's projections and the MLP's.

    Of a mixture of experts (`num_local_experts`, each of width `intermediate_size`) those of the `num_experts_per_tok`
    experts that every token is sent to, and of the router; where `stored`, of all experts. Where the configuration has
    `block_weights`, all blocks' count, that holds. A family unknown here is taken for one with a gated MLP.
    """
    if config.get("block_weights"):
        return int(config["block_weights"] / _size(config, "num_hidden_layers"))
    width, heads = _size(config, "hidden_size"), _size(config, "num_attention_heads")
    head = config.get("head_dim") or width // heads
    shared = _shared_heads(config, heads)
    attention = 2 * width * heads * head + 2 * width * shared * head
    experts = config.get("num_local_experts") or 0
    active = config["num_experts_per_tok"] if experts else 1
    met = experts if experts and stored else active
    matrices = 2 if family_of(config) in PLAIN else 3
    inner = number(config, "intermediate_size") or 4 * width
    return int(attention + width * experts + met * matrices * width * inner)


def _shared_heads(config: Mapping[str, Any], heads: int) -> int:
    """Heads of keys and values."""
    if family_of(config) == "gpt_bigcode" or (
        family_of(config) == "falcon" and not config.get("new_decoder_architecture")
    ):
        return 1 if config.get("multi_query", True) else heads
    return number(config, "num_key_value_heads") or heads


def parameters(config: Mapping[str, Any]) -> int:
    """Weights in matrices, all experts' among them, tied embeddings counted once; gains and biases are left out."""
    width = _size(config, "hidden_size")
    embedding = _size(config, "vocab_size") * width
    head = 0 if config.get("tie_word_embeddings", True) else embedding
    positions = 0
    if family_of(config) in LEARNT_POSITIONS:
        rows = _size(config, "max_position_embeddings") + LEARNT_POSITIONS[family_of(config)]
        positions = rows * width
    blocks = _size(config, "num_hidden_layers") * layer_weights(config, stored=True)
    return int(blocks + embedding + head + positions)


def forward_flops(config: Mapping[str, Any], rows: int, length: int, scored: int) -> float:
    """FLOPs of a forward pass over `rows` × `length` tokens with logits at `scored` positions a row.

    2 for each weight and token, 2 for each weight of the head and scored token, and 4 · heads · head size · length for
    each token's attention scores and their sum, 2 each where keys and values differ in size; experts that a token is not sent to cost nothing. Look-ups, biases,
    norms and softmax are left out: under 2 % here.
    """
    tokens = rows * length
    width, heads = _size(config, "hidden_size"), _size(config, "num_attention_heads")
    head = config.get("head_dim") or width // heads
    attention = 2.0 * heads * sum(_key_and_value(config, head)) * length
    layers = _size(config, "num_hidden_layers")
    blocks = layers * (2.0 * layer_weights(config) + attention) * tokens
    return float(blocks + 2.0 * width * _size(config, "vocab_size") * rows * scored)


def _key_and_value(config: Mapping[str, Any], head: int) -> tuple[int, int]:
    """Sizes of a head's keys and values; some compress them and name each."""
    key = config.get("qk_head_dim")
    if not key and config.get("qk_nope_head_dim"):
        key = config["qk_nope_head_dim"] + config.get("qk_rope_head_dim", 0)
    return key or head, config.get("v_head_dim") or head


def training_flops(config: Mapping[str, Any], rows: int, length: int, scored: int) -> float:
    """FLOPs of one training step: forward and backward."""
    return (1.0 + BACKWARD) * forward_flops(config, rows, length, scored)


def is_mixture(config: Mapping[str, Any]) -> bool:
    """Whether a configuration's blocks have experts in place of one MLP."""
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    return any(config.get(name) for name in names)

"""Counting floating-point operations, free of torch: from a configuration's numbers alone."""

from collections.abc import Mapping
from typing import Any

BACKWARD = 2.0  # a backward pass costs twice the forward pass: gradients of inputs and of weights


def layer_weights(config: Mapping[str, Any], *, stored: bool = False) -> int:
    """Weights of the matrix products that a token meets in one block: four attention projections and a gated MLP.

    Of a mixture of experts (`num_local_experts`, each of width `intermediate_size`) those of the `num_experts_per_tok`
    experts that every token is sent to, and of the router; where `stored`, of all experts.
    """
    width, heads = config["hidden_size"], config["num_attention_heads"]
    head = config.get("head_dim") or width // heads
    shared = config.get("num_key_value_heads") or heads
    attention = 2 * width * heads * head + 2 * width * shared * head
    experts = config.get("num_local_experts") or 0
    active = config["num_experts_per_tok"] if experts else 1
    met = experts if experts and stored else active
    return int(attention + width * experts + met * 3 * width * config["intermediate_size"])


def parameters(config: Mapping[str, Any]) -> int:
    """Weights in matrices, all experts' among them, tied embeddings counted once; gains and biases are left out."""
    embedding = config["vocab_size"] * config["hidden_size"]
    return int(config["num_hidden_layers"] * layer_weights(config, stored=True) + embedding)


def forward_flops(config: Mapping[str, Any], rows: int, length: int, scored: int) -> float:
    """FLOPs of a forward pass over `rows` × `length` tokens with logits at `scored` positions a row.

    2 for each weight and token, 2 for each weight of the head and scored token, and 4 · heads · head size · length for
    each token's attention scores and their sum; experts that a token is not sent to cost nothing. Look-ups, norms and
    softmax are left out: under 2 % here.
    """
    tokens = rows * length
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or config["hidden_size"] // heads
    attention = 4.0 * heads * head * length
    blocks = config["num_hidden_layers"] * (2.0 * layer_weights(config) + attention) * tokens
    return blocks + 2.0 * config["hidden_size"] * config["vocab_size"] * rows * scored


def training_flops(config: Mapping[str, Any], rows: int, length: int, scored: int) -> float:
    """FLOPs of one training step: forward and backward."""
    return (1.0 + BACKWARD) * forward_flops(config, rows, length, scored)

"""Counting floating-point operations, free of torch: from a configuration's numbers alone."""

from collections.abc import Mapping
from typing import Any

BACKWARD = 2.0  # a backward pass costs twice the forward pass: gradients of inputs and of weights


def layer_weights(config: Mapping[str, Any]) -> int:
    """Weights of one block's matrix products: four attention projections and a gated MLP."""
    width, heads = config["hidden_size"], config["num_attention_heads"]
    head = config.get("head_dim") or width // heads
    shared = config.get("num_key_value_heads") or heads
    attention = 2 * width * heads * head + 2 * width * shared * head
    return int(attention + 3 * width * config["intermediate_size"])


def parameters(config: Mapping[str, Any]) -> int:
    """Weights in matrices, tied embeddings counted once; gains and biases are left out."""
    embedding = config["vocab_size"] * config["hidden_size"]
    return int(config["num_hidden_layers"] * layer_weights(config) + embedding)


def forward_flops(config: Mapping[str, Any], rows: int, length: int, scored: int) -> float:
    """FLOPs of a forward pass over `rows` × `length` tokens with logits at `scored` positions a row.

    2 for each weight and token, 2 for each weight of the head and scored token, and 4 · heads · head size · length for
    each token's attention scores and their sum. Look-ups, norms and softmax are left out: under 2 % here.
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

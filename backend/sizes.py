"""Shapes of new models by name, free of torch: for two cores, and as in the papers."""

from typing import Any

from backend.stage import UserError

# Of Llama's kind, for a CPU; parameters at a vocabulary of 2,048.
SMALL: dict[str, dict[str, Any]] = {
    "tiny": {  # 0.56 M
        "hidden_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 288,
    },
    "small": {  # 2.2 M
        "hidden_size": 192,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "intermediate_size": 512,
    },
    "medium": {  # 10 M
        "hidden_size": 384,
        "num_hidden_layers": 5,
        "num_attention_heads": 6,
        "intermediate_size": 1088,
    },
}
# Lee et al. 2025 (arXiv 2506.06278): Gemma 2 scaled down. All else is that of gemma-2-2b, its query scale too, whatever
# the heads' size. At its vocabulary of 256,000: 112.9 M, 328.8 M and 602.0 M parameters.
GEMMA: dict[str, dict[str, Any]] = {
    "gemma2_0.1b": {
        "hidden_size": 320,
        "num_hidden_layers": 14,
        "intermediate_size": 1280,
        "head_dim": 128,
    },
    "gemma2_0.3b": {
        "hidden_size": 768,
        "num_hidden_layers": 14,
        "intermediate_size": 3072,
        "head_dim": 128,
    },
    "gemma2_0.6b": {
        "hidden_size": 1024,
        "num_hidden_layers": 18,
        "intermediate_size": 4096,
        "head_dim": 256,
    },
}
LIKE_LLAMA = {
    "family": "llama",
    "tie_word_embeddings": True,
    "max_position_embeddings": 2048,
    "initializer_range": 0.05,
}
LIKE_GEMMA = {
    "family": "gemma2",
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "query_pre_attn_scalar": 256,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "sliding_window": 4096,  # in every second block; the others see all
    "rope_theta": 10000.0,
    "max_position_embeddings": 8192,
    "initializer_range": 0.02,
    "tie_word_embeddings": True,
}
NAMES = (*SMALL, *GEMMA)


def size(name: str, vocabulary: int) -> dict[str, Any]:
    """The specification of a new model of that size.

    Raises:
        UserError: there is no such size, or no vocabulary
    """
    if name not in NAMES:
        raise UserError(f"There is no model size {name!r}; there are: {', '.join(NAMES)}.")
    if vocabulary < 1:
        raise UserError(f"A model of {vocabulary} tokens cannot be made; use 1 or more.")
    if name in SMALL:
        return {**LIKE_LLAMA, "vocab_size": vocabulary, **SMALL[name]}
    return {**LIKE_GEMMA, "vocab_size": vocabulary, **GEMMA[name]}

"""New models at stated sizes have the parameters that they are said to have."""

from typing import Any

import pytest
import torch

from backend.configurations import configuration, model_class
from backend.flops import parameters
from backend.models import build
from backend.sizes import GEMMA, NAMES, SMALL, size
from backend.stage import UserError

PAPER = {"gemma2_0.1b": 112.9, "gemma2_0.3b": 328.8, "gemma2_0.6b": 602.0}
FORGOTTEN = {"tiny": 0.56, "small": 2.2, "medium": 10.0}


def on_meta(name: str, vocabulary: int) -> Any:
    config = configuration(size(name, vocabulary))
    with torch.device("meta"):
        return model_class(config)(config)


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_as_stated(name: str) -> None:
    vocabulary = 256_000 if name in GEMMA else 2_048
    model = on_meta(name, vocabulary)
    millions = sum(weight.numel() for weight in model.parameters()) / 1e6
    assert millions == pytest.approx({**PAPER, **FORGOTTEN}[name], abs=0.05)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    matrices = sum(weight.numel() for weight in model.parameters() if weight.dim() == 2)
    assert parameters(size(name, vocabulary)) == matrices
    assert set(NAMES) == {*PAPER, *FORGOTTEN} == {*GEMMA, *SMALL}


def test_the_papers_models_are_gemma_2_in_all_but_size() -> None:
    for name, (layers, width, inner, head) in {
        "gemma2_0.1b": (14, 320, 1280, 128),
        "gemma2_0.3b": (14, 768, 3072, 128),
        "gemma2_0.6b": (18, 1024, 4096, 256),
    }.items():
        config = configuration(size(name, 256_000))
        assert (config.num_hidden_layers, config.hidden_size) == (layers, width)
        assert (config.intermediate_size, config.head_dim) == (inner, head)
        assert (config.num_attention_heads, config.num_key_value_heads) == (8, 4)
        assert config.query_pre_attn_scalar == 256 and config.initializer_range == 0.02
        assert (config.attn_logit_softcapping, config.final_logit_softcapping) == (50.0, 30.0)
        assert config.sliding_window == 4096 and config.tie_word_embeddings
        assert config.rope_parameters["rope_theta"] == 10_000.0
        assert config.layer_types == ["sliding_attention", "full_attention"] * (layers // 2)
        assert config.hidden_activation == "gelu_pytorch_tanh" and not config.attention_bias


def test_a_small_model_reads_two_thousand_tokens() -> None:
    model = build(size("tiny", 300), 0)
    assert model.config.max_position_embeddings == 2048
    assert model(torch.arange(300)[None]).logits.shape == (1, 300, 300)


def test_an_unknown_size_is_refused() -> None:
    with pytest.raises(UserError, match=r"no model size 'huge'; there are: tiny, small"):
        size("huge", 100)
    with pytest.raises(UserError, match="of 0 tokens"):
        size("tiny", 0)

"""Tiny checkpoints of several families, made as others make them: with transformers' own `save_pretrained`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from backend.data import Task
from backend.pretrained import released
from tests.small import small_task

FOUR = ("gemma2", "llama", "gpt_neox", "qwen2")
VOCABULARY = 60  # a few tokens more than the small task has words
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
OWN: dict[str, dict[str, Any]] = {
    "gemma2": {"head_dim": 16, "num_key_value_heads": 2, "query_pre_attn_scalar": 16},
    "llama": {"num_key_value_heads": 2},
    "qwen2": {"num_key_value_heads": 2},
    "gpt_neox": {},
}
CARD = "---\nlicense: apache-2.0\ntags: [tiny]\n---\n# A tiny model\n"


def checkpoint(folder: Path, family: str, *, card: str = CARD, **changes: Any) -> Path:
    """A folder with a random model of that family whose biases and gains are no longer what they start as."""
    config = AutoConfig.for_model(family, **{**SIZES, **OWN.get(family, {}), **changes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for weight in model.parameters():
            if weight.dim() == 1:
                torch.nn.init.normal_(weight, 0.5, 0.2)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def tokenizer() -> Any:
    """A tokenizer of whole words, as many as the models have tokens."""
    special = ["<pad>", "<s>", "</s>", "<unk>"]
    words = [*special, *(f"w{i}" for i in range(VOCABULARY - len(special)))]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def task_on(folder: Path, **parameters: Any) -> Task:
    """The small arithmetic task with a checkpoint as its model."""
    task = small_task(addends=5, factors=5, base_steps=3, batch_size=16, **parameters)
    assert len(task.words) <= VOCABULARY
    words = (*task.words, *(f"w{i}" for i in range(len(task.words), VOCABULARY)))
    return replace(task, model=released(str(folder)), words=words)

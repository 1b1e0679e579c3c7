"""Models from transformers configurations: building, logits where they are scored, FLOPs of every pass."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)

from backend.batches import Batch
from backend.data import stream
from backend.flops import BACKWARD, forward_flops

FAMILIES: dict[str, tuple[type, type]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM),
    "mixtral": (MixtralConfig, MixtralForCausalLM),
}
COMMON = {
    "initializer_range": 0.05,
    "tie_word_embeddings": True,
    "max_position_embeddings": 64,
    "use_cache": False,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}


def device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build(spec: dict[str, Any], seed: int) -> Any:
    """A freshly initialised model; the same seed gives the same weights on every machine's CPU."""
    config_class, model_class = FAMILIES[spec["family"]]
    fields = {key: value for key, value in spec.items() if key != "family"}
    fields.setdefault("num_key_value_heads", fields["num_attention_heads"])
    fields.setdefault("head_dim", fields["hidden_size"] // fields["num_attention_heads"])
    if spec["family"] == "gemma2":
        fields.setdefault("query_pre_attn_scalar", fields["head_dim"])
    config = config_class(**{**COMMON, **fields})
    choose_kernels(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(seed, "initial weights").integers(2**31)))
        model = model_class(config)
    return model.to(device())


def choose_kernels(config: Any) -> None:
    """Name in a configuration how attention and experts are computed, before a model is made of it."""
    # Gemma's soft-capping needs attention scores in hand, which only the eager form has.
    config._attn_implementation = "eager" if config.model_type == "gemma2" else "sdpa"
    if hasattr(config, "num_local_experts"):
        # One product an expert over its own tokens: no expert sees a token twice, so sums have one order everywhere.
        # The batched form copies an expert's weights for every token, which is 15 times slower on a CPU.
        config._experts_implementation = "eager"


def frozen_copy(model: Any) -> Any:
    """A copy in evaluation mode that no gradient reaches: a teacher or a reference."""
    copied = copy.deepcopy(model)
    copied.requires_grad_(False)
    copied.eval()
    return copied


def scored_logits(model: Any, batch: Batch) -> Tensor:
    """Logits at the scored positions only, shape (scored, vocabulary): the head is most of a small model's work."""
    logits = model(
        batch.input_ids, logits_to_keep=batch.columns, use_cache=False, return_dict=True
    ).logits
    return logits.flatten(0, 1) if batch.chosen is None else logits[batch.chosen]


def hidden_states(model: Any, batch: Batch, layer: int) -> Tensor:
    """What block `layer` (0 is the first) puts out, the last one's after the final norm, (rows, length, width)."""
    return model(
        batch.input_ids,
        logits_to_keep=batch.columns,
        use_cache=False,
        output_hidden_states=True,
        return_dict=True,
    ).hidden_states[layer + 1]


@dataclass
class Meter:
    """The ledger that fills itself: every forward pass of a watched model adds its FLOPs.

    A pass under `no_grad` or of a frozen model counts its forward only: teachers and checks; any other one counts its
    backward too.
    """

    flops: float = 0.0
    tokens: int = 0
    counting: bool = True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Passes that only watch the run, and that no one would need, are not its cost."""
        self.counting = False
        try:
            yield
        finally:
            self.counting = True

    @contextmanager
    def watching(self, *models: Any) -> Iterator["Meter"]:
        """Count the passes of these models while the context is open."""
        handles = [self._watch(model) for model in models]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _watch(self, model: Any) -> Any:
        config = model.config.to_dict()
        trained = next(model.parameters())

        def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not self.counting:
                return
            ids = args[0] if args else kwargs["input_ids"]
            kept = kwargs.get("logits_to_keep", ids.shape[1])
            scored = len(kept) if isinstance(kept, Tensor) else kept or ids.shape[1]
            cost = forward_flops(config, ids.shape[0], ids.shape[1], scored)
            cost *= getattr(module, "overhead", 1.0)  # what a wrapper runs beside its base
            learns = torch.is_grad_enabled() and (trained.requires_grad or _any_learns(module))
            self.flops += cost * (1.0 + BACKWARD if learns else 1.0)
            if learns:
                self.tokens += ids.numel()

        return model.register_forward_pre_hook(count, with_kwargs=True)


def _any_learns(model: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in model.parameters())

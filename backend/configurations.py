"""Configurations of transformers models: from a task's specification, or as a checkpoint keeps them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging

from backend.stage import RunFailed, UserError

logging.disable_progress_bar()  # runs say how far they are themselves

# What a new model has unless its specification says otherwise; never laid over a released model's configuration.
COMMON = {
    "initializer_range": 0.05,
    "tie_word_embeddings": True,
    "max_position_embeddings": 64,
    "use_cache": False,
    "pad_token_id": None,  # nosec B105 - numbers of words
    "bos_token_id": None,  # nosec B105
    "eos_token_id": None,  # nosec B105
}
# Keys of a specification that say where weights come from and how they are computed with.
ORIGIN = ("pretrained", "revision", "weights", "license")
HANDLING = ("attention", "gradient_checkpointing", "block_weights")


def configuration(spec: Mapping[str, Any], **changes: Any) -> Any:
    """The configuration of a task's model, some fields changed; of a released one as its source says it.

    It carries `origin`, where a released model's weights come from, and with it everything that is made of it.

    Raises:
        UserError: transformers has no such family
        RunFailed: a released model's configuration cannot be read any more
    """
    if spec.get("pretrained"):
        config = _released(spec)
        if changes:
            known = {**config.to_dict(), **changes}
            config = type(config).from_dict(known)
        config.origin = {key: spec[key] for key in ORIGIN if spec.get(key)}
    else:
        config = _new({**spec, **changes})
    choose_kernels(config, str(spec.get("attention", "auto")))
    return config


def _released(spec: Mapping[str, Any]) -> Any:
    try:
        return AutoConfig.from_pretrained(
            spec["pretrained"], revision=spec.get("revision") or None, trust_remote_code=False
        )
    except (OSError, ValueError, StrictDataclassError) as problem:
        raise RunFailed(
            f"The configuration of {spec['pretrained']} cannot be read: {first_line(problem)}"
        ) from problem


def _new(spec: Mapping[str, Any]) -> Any:
    """A configuration of the family that fills in what the specification leaves out."""
    family = spec["family"]
    known = config_class(family)
    fields = {k: v for k, v in spec.items() if k not in ("family", *ORIGIN, *HANDLING)}
    own = {field.name for field in dataclasses.fields(known)}
    if "num_attention_heads" in fields and "num_key_value_heads" in own:
        fields.setdefault("num_key_value_heads", fields["num_attention_heads"])
    if {"num_attention_heads", "hidden_size"} <= fields.keys() and "head_dim" in own:
        fields.setdefault("head_dim", fields["hidden_size"] // fields["num_attention_heads"])
    if family == "gemma2":
        fields.setdefault("query_pre_attn_scalar", fields["head_dim"])
    try:
        return known(**{**COMMON, **fields})
    except (TypeError, ValueError, StrictDataclassError) as problem:
        raise UserError(
            f"There is no {family} model of these sizes: {last_line(problem)}"
        ) from problem


def stored(fields: Mapping[str, Any], like: Mapping[str, Any] | None = None) -> Any:
    """The configuration that a checkpoint keeps, to be computed with as the specification `like` says."""
    config = config_class(fields["model_type"]).from_dict(dict(fields))
    choose_kernels(config, str((like or {}).get("attention", "auto")))
    return config


def config_class(family: str) -> Any:
    """The class of a family's configurations.

    Raises:
        UserError: transformers has no causal language model of that family
    """
    if family not in CONFIG_MAPPING or CONFIG_MAPPING[family] not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise UserError(
            f"transformers has no causal language model of the family {family!r};"
            " some that it has are llama, gemma2, gpt_neox, qwen2, mistral, gpt2."
        )
    return CONFIG_MAPPING[family]


def model_class(config: Any) -> Any:
    """The class of causal language models that a configuration describes."""
    found = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return found[0] if isinstance(found, tuple) else found


def choose_kernels(config: Any, attention: str = "auto") -> None:
    """Name in a configuration how attention and experts are computed, before a model is made of it.

    `auto` is the fused form where the family has one.
    """
    if attention == "auto":
        # Gemma's soft-capping needs attention scores in hand, which only the eager form has.
        capped = getattr(config, "attn_logit_softcapping", None) is not None
        fused = getattr(model_class(config), "_supports_sdpa", False)
        attention = "sdpa" if fused and not capped else "eager"
    config._attn_implementation = attention
    if hasattr(config, "num_local_experts"):
        # One product an expert over its own tokens: no expert sees a token twice, so sums have one order everywhere.
        # The batched form copies an expert's weights for every token, which is 15 times slower on a CPU.
        config._experts_implementation = "eager"


def last_line(problem: BaseException) -> str:
    """The end of what an exception says, where transformers puts the reason."""
    lines = str(problem).strip().splitlines()
    return lines[-1].strip() if lines else type(problem).__name__


def first_line(problem: BaseException) -> str:
    """What an exception says, as one line."""
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__

"""Models from transformers configurations: building, logits where they are scored, FLOPs of every pass."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.initialization import no_init_weights

from backend.architecture import block_weights
from backend.batches import Batch
from backend.configurations import configuration, first_line, model_class
from backend.data import stream
from backend.flops import BACKWARD, OTHER_NAMES, counted, forward_flops
from backend.precision import prepared
from backend.stage import RunFailed


def device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build(spec: Mapping[str, Any], seed: int, **changes: Any) -> Any:
    """A freshly initialised model; the same seed gives the same weights on every machine's CPU.

    A released model's specification gives its architecture with random weights. `changes` are to fields of the
    configuration.
    """
    return fresh(configuration(spec, **changes), spec, seed)


def fresh(config: Any, spec: Mapping[str, Any], seed: int) -> Any:
    """A freshly initialised model of a configuration, handled as a task's specification says."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(seed, "initial weights").integers(2**31)))
        model = _made(lambda: model_class(config)(config))
    return ready(model, spec)


def starting(spec: Mapping[str, Any], seed: int) -> Any:
    """The model that training starts from: the released weights where the specification names some, else random ones.

    Released weights are read from safetensors alone, into float32, and no code of the source is run.

    Raises:
        RunFailed: they cannot be read, or are not all there
    """
    if not spec.get("pretrained"):
        return build(spec, seed)
    config = configuration(spec)
    # How attention is computed was written into the configuration.
    options = {"config": config, "dtype": torch.float32, "output_loading_info": True}
    options |= {"use_safetensors": True, "trust_remote_code": False}
    options |= {"attn_implementation": config._attn_implementation}
    options |= {"revision": spec["revision"]} if spec.get("revision") else {}
    kind = model_class(config)
    model, told = _made(lambda: kind.from_pretrained(spec["pretrained"], **options))
    missing = sorted(told["missing_keys"] | {name for name, *_ in told["mismatched_keys"]})
    if missing:
        raise RunFailed(
            f"The checkpoint {spec['pretrained']} lacks {len(missing)} weights of a {spec['family']} model, the first"
            f" of them {missing[0]}; training cannot start from it."
        )
    return ready(model, spec)


def shell(config: Any, spec: Mapping[str, Any]) -> Any:
    """A model of a configuration whose weights hold anything: to be filled from a checkpoint."""
    with torch.random.fork_rng(devices=[]), no_init_weights():
        model = _made(lambda: model_class(config)(config))
    model.tie_weights()
    return ready(model, spec)


def ready(model: Any, spec: Mapping[str, Any]) -> Any:
    """The model on its device, ready to be trained, its activations recomputed where the specification asks for it."""
    model.train()
    if spec.get("gradient_checkpointing"):
        model.config.use_cache = False
        enable = getattr(model, "activation_checkpointing_enable", None)  # newer versions say it so
        (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
        model.disable_input_require_grads()  # which only the re-entrant form takes
    return prepared(model.to(device()))


def recomputes(model: Any) -> bool:
    """Whether a model computes activations again in the backward pass."""
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def _made(make: Callable[[], Any]) -> Any:
    """What is made; RunFailed in one sentence where transformers cannot."""
    try:
        return make()
    except (ImportError, OSError, ValueError, RuntimeError) as problem:
        if isinstance(problem, torch.OutOfMemoryError):
            raise
        raise RunFailed(f"The model cannot be made: {first_line(problem)}") from problem


def frozen_copy(model: Any) -> Any:
    """A copy in evaluation mode that no gradient reaches: a teacher or a reference."""
    copied = copy.deepcopy(model)
    copied.requires_grad_(False)
    copied.eval()
    return copied


def vocabulary_of(model: Any) -> int:
    """The number of words that a model tells apart; 1 where it does not say."""
    return int(getattr(getattr(model, "config", None), "vocab_size", 1))


def scored_logits(model: Any, batch: Batch) -> Tensor:
    """Logits at the scored positions only, shape (scored, vocabulary): the head is most of a small model's work."""
    logits = model(
        batch.input_ids, logits_to_keep=batch.columns, use_cache=False, return_dict=True
    ).logits
    return logits.flatten(0, 1) if batch.chosen is None else logits[batch.chosen]


def scored_states(model: Any, batch: Batch) -> Tensor:
    """What the head would be given at the scored positions, shape (scored, width), in the precision it would work in.

    The whole model is called, for whoever counts or directs its passes, but the head has no position left to work on.
    """
    seen: list[Tensor] = []

    def catch(head: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        kind = given[0].device.type
        low = torch.is_autocast_enabled(kind)
        seen.append(given[0].to(torch.get_autocast_dtype(kind)) if low else given[0])
        return (given[0][:, :0],)

    handle = model.get_output_embeddings().register_forward_pre_hook(catch)
    try:
        model(batch.input_ids, logits_to_keep=batch.columns, use_cache=False, return_dict=True)
    finally:
        handle.remove()
    states = seen[0]
    return states.flatten(0, 1) if batch.chosen is None else states[batch.chosen]


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
        config = counted(_numbers(model.config), lambda: block_weights(model))
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


def _numbers(config: Any) -> dict[str, Any]:
    """A configuration's fields, its sizes under their usual names too."""
    usual = {name: getattr(config, name, None) for name in OTHER_NAMES}
    return {**config.to_dict(), **{name: size for name, size in usual.items() if size is not None}}


def _any_learns(model: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in model.parameters())

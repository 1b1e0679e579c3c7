"""Models behind a wrapper: the same call as a causal language model's, other logits."""

import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from backend.architecture import keep_blocks
from backend.flops import forward_flops
from backend.registry import module_of
from backend.stage import Measured

if TYPE_CHECKING:  # checkpoints, which the context needs, build wrappers
    from backend.context import RunContext


class Wrapper(nn.Module):
    """A base with parts beside it; subclasses say what the logits are.

    `recipe` is what a checkpoint needs to build the same structure again: the part's name and its parameters.
    `overhead` is the FLOPs of a pass through the wrapper over those of the base's.
    """

    def __init__(self, base: Any, recipe: dict[str, Any]):
        super().__init__()
        self.base, self.config, self.recipe = base, base.config, recipe
        self.overhead = 1.0

    def beside(self, *models: Any, length: int = 4) -> None:
        """Add the cost of models that run beside the base on the same tokens."""
        costs = [forward_flops(m.config.to_dict(), 1, length, 1) for m in (self.base, *models)]
        self.overhead = sum(costs) / costs[0]

    def logits(self, input_ids: Tensor, keep: Any) -> Tensor:
        """Logits at the kept positions, shape (rows, kept, vocabulary)."""
        raise NotImplementedError

    def forward(self, input_ids: Tensor, logits_to_keep: Any = 0, **ignored: Any) -> Any:
        """An object with `.logits`, as transformers' models return it."""
        return SimpleNamespace(logits=self.logits(input_ids, logits_to_keep))


def inside(model: Any) -> Any:
    """The model whose weights are inside all wrappers; itself where there is none."""
    return inside(model.base) if isinstance(model, Wrapper) else model


def logits_of(model: Any, input_ids: Tensor, keep: Any, **more: Any) -> Tensor:
    """A model's logits at the kept positions, in float32."""
    found = model(input_ids, logits_to_keep=keep, use_cache=False, return_dict=True, **more)
    logits: Tensor = found.logits
    return logits.float()


def prompt_end(input_ids: Tensor, keep: Any) -> int:
    """The last position of the prompt: what is asked for starts with the logits there."""
    return int(keep[0]) if isinstance(keep, Tensor) else input_ids.shape[1] - max(1, keep)


def first_layers(model: Any, layers: int) -> Any:
    """A copy of a model that ends after its first blocks."""
    short = copy.deepcopy(model)
    keep_blocks(short, layers)
    short.requires_grad_(True)
    return short


def finished(wrapper: Wrapper, run: "RunContext") -> Wrapper:
    """The wrapper at rest, its overhead recorded."""
    wrapper.requires_grad_(False)
    run.sink.record([Measured("inference_overhead", "model", wrapper.overhead, run.steps)])
    return wrapper


def rebuilt(base: Any, recipe: dict[str, Any]) -> Any:
    """The structure that a checkpoint's `recipe` names, around a base of the setting's shape; weights come after."""
    name = str(recipe["name"])
    assert name.isidentifier(), f"not a part: {name!r}"
    structure = module_of("methods", name).structure
    return structure(base, **recipe["parameters"])

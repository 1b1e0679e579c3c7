"""O3: an adapter for every request, orthogonal to the earlier ones, and a detector that says when it counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from backend.architecture import Projection, blocks, in_and_out
from backend.context import RunContext
from backend.data import Examples, Task
from backend.detectors import Detector, prompt_states
from backend.flops import forward_flops
from backend.losses import uniform_divergence
from backend.models import scored_logits
from backend.registry import Count, Rate, Share, method
from backend.stage import RunFailed
from backend.training import train
from backend.wrapping import Wrapper, finished, logits_of, prompt_end


class Gated(Wrapper):
    """y = W₀x + Σ_t w_t B_t A_t x on every linear layer of the blocks, w_t what request t's detector says of the prompt.

    The rows of A_t are orthogonal to those of all earlier requests on the same layer.
    """

    def __init__(self, base: Any, rank: int, requests: int, components: int, softness: float):
        told = {"rank": rank, "requests": requests, "components": components, "softness": softness}
        super().__init__(base, {"name": "o3", "parameters": told})
        self.softness, self.requests = softness, requests
        self.learning: int | None = None  # the request whose adapter is trained, its weight then 1
        self.layers = [layer for layer in blocks(base).modules() if isinstance(layer, Projection)]
        sizes = [in_and_out(layer) for layer in self.layers] * requests
        self.down = nn.ParameterList([nn.Parameter(torch.zeros(rank, into)) for into, _ in sizes])
        self.up = nn.ParameterList([nn.Parameter(torch.zeros(out, rank)) for _, out in sizes])
        config = base.config
        shape = (config.num_hidden_layers, config.hidden_size, components)
        self.detectors = nn.ModuleList([Detector(*shape) for _ in range(requests)])
        pass_ = forward_flops(config.to_dict(), 1, 4, 1)
        self.adapters = 4 * 2.0 * rank * sum(map(sum, sizes)) / pass_
        self.overhead = 2.0 + self.adapters  # one pass for the detectors

    def logits(self, input_ids: Tensor, keep: Any) -> Tensor:
        """See the class."""
        with self.adapted(self.weights(input_ids, keep)):
            return logits_of(self.base, input_ids, keep)

    def weights(self, input_ids: Tensor, keep: Any) -> Tensor:
        """w of every row and request, shape (rows, requests), from the prompt: all up to the first kept position."""
        if self.learning is not None:
            alone = torch.eye(self.requests, device=input_ids.device)[self.learning]
            return alone.expand(len(input_ids), -1)
        with torch.no_grad():
            states = prompt_states(self.base, input_ids, prompt_end(input_ids, keep))
            found = [one.belongs(states, self.softness) for one in self.detectors]  # type: ignore[operator]
        return torch.stack(found, dim=1)

    @contextmanager
    def adapted(self, weights: Tensor) -> Iterator[None]:
        """The base with the adapters added, each row's by its weights (rows, requests)."""
        hooks = [
            layer.register_forward_hook(self._adding(place, weights))
            for place, layer in enumerate(self.layers)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _adding(self, place: int, weights: Tensor) -> Any:
        def add(module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
            for request in range(self.requests):
                if self.learning in (None, request):
                    change = args[0] @ self.down_of(request, place).T @ self.up[self.at(request, place)].T  # fmt: skip
                    output = output + weights[:, request, None, None] * change
            return output

        return add

    def down_of(self, request: int, place: int) -> Tensor:
        """A of a request and a layer; while it is trained, what of it is orthogonal to the earlier requests'."""
        own = self.down[self.at(request, place)]
        if self.learning != request or request == 0:
            return own
        earlier = torch.cat([self.down[self.at(i, place)] for i in range(request)]).detach()
        basis = torch.linalg.qr(earlier.T).Q
        return own - own @ basis @ basis.T

    def at(self, request: int, place: int) -> int:
        """Where a request's matrices on a layer stand among `down` and `up`."""
        return request * len(self.layers) + place


structure = Gated
ROWS = 1024  # prompts of a pass
FEWEST = 4  # prompts: two to fit a detector, two to set its limit


@method(
    stage="wrap",
    label="O3",
    source="Gao et al. 2024 (arXiv 2407.10223), y = W₀x + w(x) B_t A_t x; in place of its penalty ‖A_iᵀA_t‖² the limit, A_i A_tᵀ = 0",
    threat_model="black_box",
    data_access="forget",
    repeats=True,
)
def o3(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    rank: Count = 4,
    coverage: Share = 0.95,
    softness: Rate = 0.05,
    components: Count = 48,
    steps: Count = 200,
    learning_rate: Rate = 5e-3,
    batch_size: Count = 128,
    **training: Any,
) -> Any:
    """The incoming model with one adapter more, which answers prompts like the forget data's evenly; no retain data.

    With `requests` in the recipe every request adds an adapter and a detector, and the earlier ones stay as they are.
    The adapter is trained on KL(uniform ‖ p), which is what random labels come to on average. The detector reads the
    model's own blocks; the paper trains an encoder for that by a contrastive loss.

    Args:
        rank: rank of the adapter on every linear layer of the blocks
        coverage: share of held-out forget prompts that the detector takes for such at a weight of 1/2 and more
        softness: how gradually the weight falls from 1 to 0 around that limit, as a share of it
        components: principal directions of the detector's Gaussians
        steps: optimiser steps
        learning_rate: peak learning rate of AdamW
        batch_size: forget facts a step

    Raises:
        RunFailed: there is no room for another orthogonal adapter, or the earlier ones were made otherwise
    """
    wrapper = grown(model, rank, components, softness).to(run.device)
    request = wrapper.requests - 1
    _fit(wrapper, run, task.train["forget"], coverage)
    forget = run.batches(task.train["forget"], batch_size, "forget")

    def loss(k: int) -> Any:
        batch = forget(k)
        return uniform_divergence(scored_logits(wrapper, batch))

    wrapper.requires_grad_(False)
    generator = run.generator("adapter")
    for place in range(len(wrapper.layers)):
        at = wrapper.at(request, place)
        into = wrapper.down[at].shape[1]
        with torch.no_grad():
            drawn = torch.randn(rank, into, generator=generator) / into**0.5
            wrapper.down[at].copy_(drawn)
        wrapper.down[at].requires_grad_(True)
        wrapper.up[at].requires_grad_(True)
    wrapper.learning, wrapper.overhead = request, 1.0 + wrapper.adapters / wrapper.requests
    train(wrapper, loss, run, steps=steps, learning_rate=learning_rate, **training)
    with torch.no_grad():
        for place in range(len(wrapper.layers)):
            wrapper.down[wrapper.at(request, place)].copy_(wrapper.down_of(request, place))
    wrapper.learning, wrapper.overhead = None, 2.0 + wrapper.adapters
    return finished(wrapper, run)


def grown(model: Any, rank: int, components: int, softness: float) -> Gated:
    """The model behind one adapter more, that one without effect as yet."""
    if not isinstance(model, Gated):
        return Gated(model, rank, 1, components, softness)
    made = model.recipe["parameters"]
    if (made["rank"], made["components"]) != (rank, components):
        raise RunFailed("o3: rank and components must be those of the earlier requests.")
    requests = model.requests + 1
    narrowest = min(in_and_out(layer)[0] for layer in model.layers)
    if requests * rank > narrowest:
        raise RunFailed(
            f"o3: {requests} requests of rank {rank} do not fit orthogonally into a width of {narrowest}."
        )
    wider = Gated(model.base, rank, requests, components, softness)
    wider.load_state_dict(model.state_dict(), strict=False)
    return wider


@torch.no_grad()
def _fit(wrapper: Gated, run: RunContext, examples: Examples, coverage: float) -> None:
    """Fit the last request's detector to one half of its prompts, its limit to the other."""
    loader = run.loader(examples)
    if len(loader) < FEWEST:
        raise RunFailed(f"o3: a detector takes {FEWEST} prompts, the request has {len(loader)}.")
    position = int(loader.columns[0])
    base = wrapper.base
    with run.meter.watching(base):
        found = [prompt_states(base, part.input_ids, position) for part in loader.parts(ROWS)]
    states = torch.cat(found)
    order = torch.from_numpy(run.numbers("detector").permutation(len(states)))
    half = (len(order) + 1) // 2
    wrapper.detectors[-1].fit(states[order[:half]], states[order[half:]], coverage)  # type: ignore[operator]

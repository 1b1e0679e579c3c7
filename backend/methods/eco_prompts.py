"""ECO: recognise prompts about forget data, and corrupt their embeddings."""

from typing import Any

import torch
import torch.nn.functional as F

from backend.context import RunContext
from backend.data import Examples, Task
from backend.registry import Count, Rate, Share, method
from backend.wrapping import Wrapper, finished, logits_of, prompt_end


class Corrupted(Wrapper):
    """The base, on embeddings with noise wherever a linear classifier takes the prompt for forget data."""

    def __init__(self, base: Any, sigma: float, threshold: float):
        super().__init__(
            base,
            {"name": "eco_prompts", "parameters": {"sigma": sigma, "threshold": threshold}},
        )
        width = base.config.hidden_size
        self.weight = torch.nn.Parameter(torch.zeros(width))
        self.bias = torch.nn.Parameter(torch.zeros(1))
        self.noise = torch.nn.Parameter(torch.zeros(base.config.max_position_embeddings, width))
        self.sigma, self.threshold = sigma, threshold

    def about_forget(self, embedded: torch.Tensor) -> torch.Tensor:
        """The classifier's probability that a prompt (rows, length, width) is about forget data, shape (rows,)."""
        return torch.sigmoid(embedded.mean(dim=1) @ self.weight + self.bias)

    def logits(self, input_ids: torch.Tensor, keep: Any) -> torch.Tensor:
        """See the class."""
        table = self.base.get_input_embeddings()
        embedded, end = table(input_ids), prompt_end(input_ids, keep) + 1
        caught = (self.about_forget(embedded[:, :end]) > self.threshold).float()[:, None, None]
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        noise = self.noise[places % len(self.noise)] * (places < end)[:, None]
        size = table.weight.square().mean().sqrt()
        embedded = embedded + caught * self.sigma * size * noise
        return logits_of(self.base, None, keep, inputs_embeds=embedded)  # type: ignore[arg-type]


structure = Corrupted


@method(
    stage="wrap",
    version=2,
    label="ECO",
    source="Liu et al. 2024 (arXiv 2406.07933), algorithm 1: a prompt classifier, and embeddings corrupted where it fires",
    threat_model="black_box",
)
def eco_prompts(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    sigma: Rate = 2.0,
    threshold: Share = 0.5,
    steps: Count = 200,
    learning_rate: Rate = 0.5,
) -> Any:
    """The incoming model behind a logistic classifier of mean prompt embeddings; no weight of it changes.

    The strength of the corruption is a parameter here; a recipe's `search` is its zeroth-order choice.

    Args:
        sigma: standard deviation of the noise, in units of the embedding table's root mean square
        threshold: probability from which a prompt counts as forget data; 1 corrupts none
        steps: steps of the classifier's training, full batch
        learning_rate: learning rate of the classifier
    """
    wrapper = Corrupted(model, sigma, threshold).to(run.device)
    with torch.no_grad():
        noise = torch.randn(wrapper.noise.shape, generator=run.generator("corruption"))
        wrapper.noise.copy_(noise)
    _fit(wrapper, run, task, steps, learning_rate)
    return finished(wrapper, run)


def _fit(wrapper: Corrupted, run: RunContext, task: Task, steps: int, rate: float) -> None:
    """Logistic regression by gradient descent with momentum; both classes count alike."""
    groups = [_embedded(wrapper, run, task.train[part]) for part in ("forget", "retain")]
    optimizer = torch.optim.AdamW([wrapper.weight, wrapper.bias], lr=rate, weight_decay=0.0)
    for _ in range(steps):
        optimizer.zero_grad()
        scores = [group @ wrapper.weight + wrapper.bias for group in groups]
        loss = F.softplus(-scores[0]).mean() + F.softplus(scores[1]).mean()
        loss.backward()
        optimizer.step()


def _embedded(wrapper: Corrupted, run: RunContext, examples: Examples) -> torch.Tensor:
    """Mean embeddings of the prompts, shape (items, width)."""
    with torch.no_grad():
        loader = run.loader(examples)
        prompts = loader.input_ids[:, : int(loader.columns[0]) + 1]
        found: torch.Tensor = wrapper.base.get_input_embeddings()(prompts)
        return found.mean(dim=1)

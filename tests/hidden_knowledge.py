"""Models in which knowledge was hidden in a known way, and items that are longer than those of the small task."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from backend.data import IGNORE, Examples, Task
from backend.examination import Examination
from backend.models import build
from backend.registry import load
from backend.wrapping import Wrapper
from tests.small import context, small_task


def uneven() -> Examples:
    """Four rows of different length with one, two or three scored tokens, the gaps between them unscored."""
    rows = [
        ([3, 7, 1, 4, 0, 0], [IGNORE, IGNORE, 4, 9, IGNORE, IGNORE]),
        ([5, 2, 8, 6, 1, 0], [IGNORE, 8, 6, 1, IGNORE, IGNORE]),
        ([9, 9, 2, 0, 0, 0], [IGNORE, IGNORE, 5, IGNORE, IGNORE, IGNORE]),
        ([1, 2, 3, 4, 5, 6], [IGNORE, IGNORE, IGNORE, IGNORE, 6, 7]),
    ]
    ids, targets = (np.array(part, dtype=np.int64) for part in zip(*rows, strict=True))
    return Examples(ids, targets)


def random_model(family: str = "llama", seed: int = 0, spread: float = 0.3) -> Any:
    """A model of the small task's shape with weights that are no longer those of a fresh one."""
    model = build(small_task(family=family).model, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    for weight in model.parameters():
        noise = torch.randn(weight.shape, generator=generator)
        weight.data.add_(spread * 0.2 * noise if weight.dim() > 1 else 0.1 * noise)
    return model.eval()


def with_rotated_head(model: Any) -> Any:
    """The same model behind a head whose rows are turned at random: its states say all, its answers nothing."""
    turned = copy.deepcopy(model)
    width = model.config.hidden_size
    turn, _ = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(3)))
    turned.lm_head.weight = nn.Parameter(model.lm_head.weight.detach() @ turn)
    turned.config.tie_word_embeddings = False
    return turned


def with_drowned_end(model: Any, layer: int = -1) -> Any:
    """The same model with a block whose MLP writes noise over what the blocks before it found."""
    drowned = copy.deepcopy(model)
    weight = drowned.model.layers[layer].mlp.down_proj.weight
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        weight.add_(20 * noise)
    return drowned


def with_a_silencing_block(model: Any) -> Any:
    """The same model with one block more, which drowns what the others found."""
    longer = copy.deepcopy(model)
    block = copy.deepcopy(longer.model.layers[-1])
    block.self_attn.layer_idx = len(longer.model.layers)
    longer.model.layers.append(block)
    longer.config.num_hidden_layers += 1
    return with_drowned_end(longer)


def of_models(name: str, task: Task, model: Any, **roles: Any) -> dict[Any, Any]:
    """A metric of models in hand rather than on a disk."""
    run = context(Path("nowhere"), task, stage="evaluate", inputs=dict.fromkeys(roles, ["x"]))
    run.input = lambda role, position=0: roles[role]  # type: ignore[method-assign]
    return dict(load("metrics", name)(Examination(run, model)))


def long_task() -> Task:
    task = small_task()
    splits = dict.fromkeys(("forget_score", "retain_score"), uneven())
    return Task(task.name, task.model, task.base_training, task.train, splits, task.words)


class Refusing(Wrapper):
    """Another first answer token to every question of `uneven`, then the base's own."""

    def __init__(self, base: Any):
        super().__init__(base, {})

    def logits(self, input_ids: torch.Tensor, keep: Any) -> torch.Tensor:
        logits = self.base(input_ids, logits_to_keep=keep).logits.clone()
        places = keep.tolist() if isinstance(keep, torch.Tensor) else []
        first = (uneven().targets != IGNORE).argmax(axis=1)
        for row, place in enumerate(first if len(input_ids) == len(first) else ()):
            if place in places:
                logits[row, places.index(place), 0] += 30
        return logits

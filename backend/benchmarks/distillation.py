"""A step of distillation at a vocabulary of 32,768 and one of 256,000: peak memory and speed against all logits at once and against trl.

All train the same student from the same teacher on the same tokens by forward KL with fused AdamW in float32, one thread
each, in processes of their own, in turn. Memory is the most that a process took over what it held with both models loaded,
so gradients and the optimiser's state count, alike for all. trl has two trainers: GKDTrainer, which holds all logits, and
DistillationTrainer, which makes them in tiles but samples its own answers; here it is given the tokens instead.
"""

import tempfile
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backend import chunked
from backend.batches import Loader
from backend.contests import Contestant, Silent, Stopwatch, compare, trainer_arguments
from backend.context import RunContext
from backend.data import Examples, Task
from backend.distillation import agree
from backend.models import build, frozen_copy
from backend.stage import StageRequest
from backend.training import train

ROWS, STEPS = 4, 4


@dataclass(frozen=True)
class Shape:
    """Sizes of a contest: models of two layers, `ROWS` rows a step."""

    vocabulary: int = 32_768
    length: int = 256
    width: int = 256

    @property
    def spec(self) -> dict[str, Any]:
        """The model."""
        return {
            "family": "llama",
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 3 * self.width,
            "max_position_embeddings": self.length + 1,
        }

    def tokens(self) -> np.ndarray:
        """The same rows for all, one token longer than the inputs."""
        numbers = np.random.default_rng(0)
        return numbers.integers(self.vocabulary, size=(ROWS * STEPS, self.length + 1))

    def models(self) -> tuple[Any, Any]:
        """Student and teacher."""
        return build(self.spec, 0), frozen_copy(build(self.spec, 1))


USUAL = Shape()
# The paper's vocabulary, a sixteenth of its 2,048 tokens a row and a fifth of its width: the shape of its step, scaled down.
LARGE = Shape(256_000, 128, 64)


def run() -> dict[str, float]:
    """Ratios; memory: ours over the other's, smaller is better; speed: the other's seconds over ours, larger is better."""
    contestants: dict[str, tuple[Contestant, bool]] = {
        "ours": (_ours, True),
        "plain": (_plain, True),
    }
    if find_spec("trl") is not None:
        contestants["trl_distillation"] = (_trl_in_tiles, False)
        contestants["trl_gkd"] = (_trl_gkd, False)
    found = compare(contestants)
    ours = found.pop("ours")
    figures = {
        "tokens_per_second": ROWS * USUAL.length / ours.seconds,
        "peak_megabytes": ours.peak / 2**20,
    }
    for name, other in found.items():
        figures[f"speed_vs_{name}"] = other.seconds / ours.seconds
        figures[f"memory_vs_{name}"] = ours.peak / other.peak
    at_large = {"ours": (partial(_ours, shape=LARGE), True), "plain": (partial(_plain, shape=LARGE), True)}  # fmt: skip
    large = compare(at_large, rounds=1)
    figures["memory_vs_plain_at_256000"] = large["ours"].peak / large["plain"].peak
    figures["speed_vs_plain_at_256000"] = large["plain"].seconds / large["ours"].seconds
    return figures


def _ours(watch: Stopwatch, shape: Shape = USUAL) -> None:
    student, teacher = shape.models()
    tokens = shape.tokens()
    loader = Loader(Examples(tokens[:, :-1], tokens[:, 1:]), torch.device("cpu"))
    request = StageRequest("robustify", "x", {}, {}, 0, "fp32", "x", Path("."), fresh=True)
    run = RunContext(request, Task.__new__(Task), Silent(), torch.device("cpu"))

    def loss(k: int) -> Any:
        watch.step()
        return agree(student, teacher, loader.batch(slice(k * ROWS, (k + 1) * ROWS)))

    watch.ready()
    train(student, loss, run, steps=STEPS, learning_rate=1e-4)
    watch.done()


def _plain(watch: Stopwatch, shape: Shape = USUAL) -> None:
    """Our loop with all logits at once."""
    chunked.LARGE = 1 << 62
    _ours(watch, shape)


def _trl_gkd(watch: Stopwatch) -> None:
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    student, teacher = USUAL.models()
    arguments = GKDConfig(**_arguments(), lmbda=0.0, beta=0.0, max_length=None)
    trainer = GKDTrainer(
        model=student,
        teacher_model=teacher,
        args=arguments,
        data_collator=_collated,
        train_dataset=_dataset(),
        processing_class=_tokenizer(),
    )
    _timed(trainer, watch)


def _trl_in_tiles(watch: Stopwatch) -> None:
    from trl import DistillationConfig, DistillationTrainer

    class Given(DistillationTrainer):  # type: ignore[misc]
        """The trainer with the tokens of the data for those that it would sample."""

        def _prepare_inputs(self, generation_batch: Any) -> Any:
            ids = torch.tensor([row["input_ids"] for row in generation_batch])
            prompts, answers = ids[:, :1], ids[:, 1:]
            return {
                "prompt_ids": prompts,
                "prompt_mask": torch.ones_like(prompts),
                "completion_ids": answers,
                "completion_mask": torch.ones_like(answers),
                "num_items_in_batch": torch.tensor(answers.numel()),
            }

    student, teacher = USUAL.models()
    arguments = DistillationConfig(**_arguments(), beta=0.0, max_completion_length=USUAL.length)
    trainer = Given(
        model=student,
        teacher_model=teacher,
        args=arguments,
        train_dataset=_dataset(),
        processing_class=_tokenizer(),
    )
    _timed(trainer, watch)


def _arguments() -> dict[str, Any]:
    own = {"gradient_accumulation_steps": 1, "gradient_checkpointing": False, "bf16": False}
    kept = {"output_dir": tempfile.mkdtemp(), "remove_unused_columns": False}
    return {**trainer_arguments(STEPS, ROWS, 1e-4), **own, **kept}


def _dataset() -> Any:
    from datasets import Dataset

    rows = USUAL.tokens().tolist()
    return Dataset.from_dict({"prompt": ["x"] * len(rows), "input_ids": rows})


def _collated(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    ids = torch.tensor([row["input_ids"] for row in rows])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}


def _tokenizer() -> Any:
    """A tokenizer of one word: trl asks for one and has nothing to cut here."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    cut = Tokenizer(models.WordLevel({"x": 0, "<pad>": 1, "</s>": 2}, unk_token="x"))  # nosec B106 - a word of a vocabulary
    return PreTrainedTokenizerFast(tokenizer_object=cut, pad_token="<pad>", eos_token="</s>")  # nosec B106 - words of a vocabulary


def _timed(trainer: Any, watch: Stopwatch) -> None:
    from transformers import PrinterCallback, TrainerCallback

    class Marks(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            watch.step()

    trainer.add_callback(Marks())
    trainer.remove_callback(PrinterCallback)  # standard output is for the figures
    watch.ready()
    trainer.train()
    watch.done()

"""What a part sees of the run that it works for: seed, data order, inputs, reports, ledger."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from backend.batches import Batch, Loader
from backend.checkpoints import load_model
from backend.data import Examples, Order, Task, stream
from backend.evaluation import evaluate, mean_of
from backend.log_lines import say
from backend.models import Meter, build, starting
from backend.precision import POLICIES, Policy
from backend.ranks import team
from backend.shapes import initial_like
from backend.stage import Cancelled, Measured, RunFailed, Sink, StageRequest

# Takes the model, a function that fills its gradients and says the loss, and the step; says the loss.
Wrapper = Callable[[Any, Callable[[], Any], int], Any]


@dataclass
class RunContext:
    """One run at work. Parts never see the database; they report here."""

    request: StageRequest
    task: Task
    sink: Sink
    device: torch.device
    meter: Meter = field(default_factory=Meter)
    target: str = "forget"  # which part an attack aims at: forget, or the placebo
    keep_state_every: float = 20.0  # seconds between resume states
    accumulate: int = 1  # batches that make a step of the training in progress
    steps: int = 0
    phase: int = -1  # how many trainings of this run came before, −1 before the first
    notes: list[str] = field(default_factory=list)
    chosen: dict[str, Any] | None = None  # what a search found
    state: dict[str, float] = field(default_factory=dict)  # numbers that a resumed run goes on with
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)  # and tensors
    at_end: list[Callable[[Any], None]] = field(
        default_factory=list
    )  # what options do to the model
    masks: dict[str, torch.Tensor] = field(default_factory=dict)  # weights that may change, by name
    l1: float = 0.0  # weight of an ℓ1 penalty that falls linearly to 0
    wrapper: Wrapper | None = None  # how gradients are taken; see `backend.training`
    # With their examples, since the name of an object is free again once it is gone.
    _loaders: dict[int, tuple[Examples, Loader]] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """The run's seed; data and splits never depend on it."""
        return self.request.seed

    @property
    def policy(self) -> Policy:
        """In which precision the run computes."""
        return POLICIES[self.request.precision]

    def generator(self, purpose: str) -> torch.Generator:
        """A torch generator on the CPU of its own for this seed, stage and purpose."""
        number = int(self.numbers(purpose).integers(2**62))
        return torch.Generator().manual_seed(number)

    def numbers(self, purpose: str) -> np.random.Generator:
        """The same for numpy. Not the part's name: all methods of a stage share noise and order, so they pair."""
        return stream(self.seed, self.request.stage, purpose)

    def loader(self, examples: Examples) -> Loader:
        """The examples as tensors on the run's device, made once."""
        if id(examples) not in self._loaders:
            self._loaders[id(examples)] = (examples, Loader(examples, self.device))
        return self._loaders[id(examples)][1]

    def batches(self, examples: Examples, size: int, purpose: str) -> "Batches":
        """Batch k of the examples as a function of k."""
        order = Order(len(examples), size, self.seed, f"{self.request.stage}/{purpose}")
        return Batches(self.loader(examples), order, lambda: self.accumulate)

    def forget_and_retain(self, size: int) -> tuple["Batches", "Batches"]:
        """Batches of the forget and of the retain training data, `size` examples each."""
        train = self.task.train
        return self.batches(train["forget"], size, "forget"), self.batches(
            train["retain"], size, "retain"
        )

    def split(self, part: str) -> Examples:
        """A part of what the run aims at: attack, validation or score."""
        return self.task.splits[f"{self.target}_{part}"]

    def input(self, role: str, position: int = 0) -> Any:
        """The finished model in that role."""
        try:
            fingerprint = self.request.inputs[role][position]
        except (KeyError, IndexError) as problem:
            raise RunFailed(f"The run has no input in the role {role!r}.") from problem
        return self.stored(fingerprint)

    def stored(self, fingerprint: str) -> Any:
        """The finished model of that fingerprint."""
        say("loading", f"the model {fingerprint}")
        return load_model(self.request.home, fingerprint, self.task.model)

    def fresh_model(self) -> Any:
        """The model before this setting's training: released weights where it names some, else initial ones.

        Every stage of one seed starts from the same ones.
        """
        return starting(self.task.model, self.seed)

    def initial_model(self, like: Any = None) -> Any:
        """A model with random initial weights always: the setting's, or one of the shape of another."""
        if like is not None:
            return initial_like(like, self.task.model, self.seed)
        return build(self.task.model, self.seed)

    def evaluate(self, model: Any, split: str, step: int = 0, **options: Any) -> list[Measured]:
        """Measure the model on a split and hand the rows over; `metric_value` picks one."""
        rows = evaluate(
            model, self.task, split, self.loader(self.task.splits[split]), step, **options
        )
        self.sink.record(rows)
        return rows

    def metric(self, model: Any, split: str, name: str, step: int = 0) -> float:
        """One metric's mean over a split, recorded on the way."""
        return mean_of(self.evaluate(model, split, step, categories=False, keep_items=False), name)

    def check_cancelled(self) -> None:
        """Stop here if somebody cancelled the run."""
        if self.sink.cancelled():
            raise Cancelled

    def note(self, sentence: str) -> None:
        """A remark that stays with the finished run."""
        say("note", sentence)
        self.notes.append(sentence)


@dataclass(frozen=True)
class Batches:
    """Batch k of some examples, a function of k alone."""

    loader: Loader
    order: Order
    together: Callable[[], int] = lambda: 1  # how many batches make a step at present

    def __call__(self, k: int) -> Batch:
        """Batch k, with its weight among those of the same step; where ranks share it, this one's rows."""
        batch = self.loader.batch(self.rows(k))
        count = self.together()
        if not team().dividing:
            return batch if count == 1 or self.loader.dense else self._weighted(batch, k, count)
        return self._shared(self._weighted(batch, k, count), k)

    def rows(self, k: int) -> np.ndarray:
        """The examples of batch k that this process works on; one that counts nothing where it has no share."""
        whole = self.order.batch(k)
        mine = team().share(whole)
        return mine if len(mine) else whole[:1]

    def _weighted(self, batch: Batch, k: int, count: int) -> Batch:
        first = k - k % count
        steps = range(first, first + count)
        scored = [int(self.loader.scored(self.order.batch(j)).sum()) for j in steps]
        return replace(batch, weight=scored[k - first] * count / sum(scored))

    def _shared(self, batch: Batch, k: int) -> Batch:
        """This rank's part of a batch, with the weights that make the mean over ranks that of the whole."""
        whole, ranks = self.order.batch(k), team().ranks
        mine = team().share(whole)
        scored = [int(self.loader.scored(rows).sum()) for rows in (mine, whole)]
        tokens, items = ranks * scored[0] / scored[1], ranks * len(mine) / len(whole)
        weight = batch.weight * tokens
        return replace(batch, weight=weight, tokens_share=tokens, items_share=items)

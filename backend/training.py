"""The training loop. There is one: every stage and every attack that trains goes through `train`."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from backend import checkpoints
from backend.context import RunContext
from backend.log_lines import say
from backend.precision import LossScale, lost_updates, unscaled
from backend.ranks import team
from backend.schedules import factor
from backend.sharding import alike, over_ranks, whole
from backend.stage import Cancelled, Measured, RunFailed
from backend.training_parameters import training as shared_parameters

# The loss of batch k: a scalar, or a scalar with named parts that are worth a curve of their own.
Loss = Callable[[int], Tensor | tuple[Tensor, dict[str, Tensor]]]
Check = Callable[[int], bool]

CURVE_POINTS = 100  # how many points of the training curve are kept


@dataclass
class Loop:
    """A training run in progress: everything that a resume state has to hold, and nothing else."""

    model: Any
    run: RunContext
    steps: int
    optimizer: torch.optim.Optimizer
    weights: dict[str, Tensor]
    held: dict[str, Tensor] = field(default_factory=dict)  # masked weights as they came in
    # Where gradients are in half precision beside weights that are not.
    scale: LossScale | None = None
    step: int = 0
    saved_at: float = field(default_factory=time.monotonic)


@over_ranks
def train(
    model: Any,
    loss: Loss,
    run: RunContext,
    *,
    steps: int,
    learning_rate: float,
    check: Check | None = None,
    check_every: int = 0,
    check_first: bool = False,
    tolerate_divergence: bool = False,
    **training: Any,
) -> int:
    """Train in place with AdamW, or what `optimizer` names, and return the number of steps done.

    Args:
        loss: the loss of batch k; with `accumulate` batches are averaged into one step
        check: called after every `check_every` steps, and before the first where `check_first`; True ends the training
        tolerate_divergence: end at the last finite step with a note instead of failing the run

    Raises:
        RunFailed: the loss is not finite, with the step
        Cancelled: somebody cancelled the run; its state is kept, so that a retry goes on bit for bit
    """
    options = {**shared_parameters(), **training}
    run.phase += 1
    loop = _start(model, run, steps, learning_rate, options)
    if loop.step >= steps:
        return (
            loop.step
        )  # a later training of the run was interrupted: its state has all that counts
    model.train()
    with run.meter.watching(model), _arranged(loop, options):
        if check and check_first and loop.step == 0 and check(0):
            return 0
        while loop.step < steps:
            _between_steps(loop)
            if not _step(loop, loss, learning_rate, options):
                _diverged(loop, tolerate_divergence)
                break
            if check and check_every and loop.step % check_every == 0 and check(loop.step):
                break
    say("trained", f"{loop.step} of {steps} steps are done")
    run.steps += loop.step
    run.sink.progress(loop.step, steps)
    return loop.step


def _start(
    model: Any, run: RunContext, steps: int, learning_rate: float, options: dict[str, Any]
) -> Loop:
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = _optimizer(list(weights.values()), learning_rate, options)
    held = {name: weights[name].detach().clone() for name in run.masks if name in weights}
    scale = LossScale() if run.policy.scales else None
    loop = Loop(model, run, steps, optimizer, weights, held, scale)
    if not run.request.fresh:
        _resume(loop)
    begun, of = ("resumed", "going on") if loop.step else ("training", "training")
    say(begun, f"{of} from step {loop.step} of {steps}", learning_rate=learning_rate)
    return loop


@contextmanager
def _arranged(loop: Loop, options: dict[str, Any]) -> Iterator[None]:
    """While the context is open, batches know how many of them make a step, and the body is compiled if it shall be."""
    body = _body(loop) if options["compile"] else None
    loop.run.accumulate = options["accumulate"]
    if body is not None:
        body.compile()  # in place: weights keep their names, and copies of the model are plain ones
    try:
        yield
    finally:
        loop.run.accumulate = 1
        if body is not None:
            body._compiled_call_impl = None


def _body(loop: Loop) -> Any:
    """The model without its head, whose passes have few shapes; None with a note where there is no such thing."""
    find = getattr(loop.model, "get_decoder", None)
    body = find() if find else None
    if body is None:
        loop.run.note("The model has no body that could be compiled; it was trained as it is.")
    return body


def _optimizer(
    weights: list[Tensor], learning_rate: float, options: dict[str, Any]
) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in weights if p.dim() >= 2], "weight_decay": options["weight_decay"]},
        {"params": [p for p in weights if p.dim() < 2], "weight_decay": 0.0},
    ]
    if options["optimizer"] == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=options["beta1"], fused=True)
    betas = (options["beta1"], options["beta2"])
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=True)


def _step(loop: Loop, loss: Loss, learning_rate: float, options: dict[str, Any]) -> bool:
    """One optimiser step; False where the loss is not finite, with the weights left as they were."""

    def backward() -> tuple[float, dict[str, Tensor]]:
        passes = partial(_backward, loop, loss, options["accumulate"])
        return team().together(loop.weights.values(), passes, loss)

    wrapper = loop.run.wrapper
    total, parts = wrapper(loop.model, backward, loop.step) if wrapper else backward()
    if not math.isfinite(total):
        loop.optimizer.zero_grad()
        return False
    _localise(loop)
    counters = _update(loop, learning_rate, options)
    _curve(loop, total, {**parts, **counters})
    return not (loop.scale and loop.scale.exhausted)


def _backward(loop: Loop, loss: Loss, accumulate: int) -> tuple[float, dict[str, Tensor]]:
    """Add the step's gradients to the weights'; the loss and its named parts."""
    # Randomness inside a loss is a function of seed and step, so a resumed run draws the same.
    torch.manual_seed(loop.run.seed * 1_000_003 + loop.step + team().draws)
    total = 0.0
    parts: dict[str, Tensor] = {}
    factor = loop.scale.factor if loop.scale else 1.0
    with unscaled(loop.weights.values(), factor) if loop.scale else nullcontext():
        for micro in range(accumulate):
            value = loss(loop.step * accumulate + micro)
            scalar, parts = value if isinstance(value, tuple) else (value, {})
            mean = scalar / accumulate if accumulate > 1 else scalar
            (mean * factor if loop.scale else mean).backward()
            total += scalar.item() / accumulate
    return total, parts


def _localise(loop: Loop) -> None:
    """Confine the gradients to the run's mask, and add its ℓ1 penalty, which falls linearly to 0."""
    run = loop.run
    for name, weight in loop.weights.items():
        if weight.grad is None:
            continue
        if run.l1 and weight.dim() >= 2:
            weight.grad.add_(weight.detach().sign(), alpha=run.l1 * (1 - loop.step / loop.steps))
        if name in run.masks:
            weight.grad.mul_(run.masks[name])


def _hold(loop: Loop) -> None:
    """Weights outside the mask stay exactly what they were, whatever the optimiser's decay did."""
    with torch.no_grad():
        for name, start in loop.held.items():
            weight = loop.weights[name]
            weight.copy_(torch.where(loop.run.masks[name], weight, start))


def _update(loop: Loop, learning_rate: float, options: dict[str, Any]) -> dict[str, Tensor]:
    """Clip, step and count it; a step whose gradients overflowed is skipped. What is worth a curve comes back."""
    weights = list(loop.weights.values())
    norm = torch.nn.utils.clip_grad_norm_(weights, options["clip"], foreach=True)
    share = factor(
        loop.step,
        loop.steps,
        schedule=options["schedule"],
        warmup=options["warmup"],
        final_share=options["final_share"],
        points=options["points"],
    )
    for group in loop.optimizer.param_groups:
        group["lr"] = learning_rate * share
    counted = loop.run.policy.pure and _due(loop, loop.step + 1)
    before = [weight.detach().clone() for weight in weights] if counted else []
    counters = {}
    if loop.scale is None or bool(norm.isfinite()):
        loop.optimizer.step()
        _hold(loop)
    if loop.scale:
        loop.scale.settle(bool(norm.isfinite()))
        counters["skipped_steps"] = torch.tensor(float(loop.scale.skipped))
    if before:
        counters["zero_updates"] = torch.tensor(lost_updates(before, weights, loop.optimizer))
    loop.optimizer.zero_grad()
    loop.step += 1
    return counters


def _due(loop: Loop, step: int) -> bool:
    """Whether the curve has a point after so many steps."""
    return step % max(1, loop.steps // CURVE_POINTS) == 0 or step == loop.steps


def _curve(loop: Loop, total: float, parts: dict[str, Tensor]) -> None:
    if not _due(loop, loop.step):
        return
    rows = [Measured("loss", "train", total, loop.step)]
    rows += [Measured(name, "train", part.item(), loop.step) for name, part in parts.items()]
    loop.run.sink.record(rows)
    loop.run.sink.progress(loop.step, loop.steps, f"loss {total:.3f}")


def _between_steps(loop: Loop) -> None:
    """Keep the state now and then; stop where somebody cancelled."""
    cancelled = loop.run.sink.cancelled()
    due = team().agreed(time.monotonic() - loop.saved_at > loop.run.keep_state_every)
    if loop.step and (due or cancelled):
        _keep(loop)
    if cancelled:
        raise Cancelled


def _diverged(loop: Loop, tolerated: bool) -> None:
    sentence = f"The loss was not finite at step {loop.step + 1} of {loop.steps}"
    if loop.scale and loop.scale.exhausted:
        sentence = f"The gradients overflowed under every loss scale up to step {loop.step} of {loop.steps}"
    if not tolerated:
        raise RunFailed(f"{sentence}; a smaller learning rate may help.")
    loop.run.note(f"{sentence}; the last finite step counts.")


def _resume_file(run: RunContext) -> Any:
    return checkpoints.directory(run.request.home, run.request.fingerprint) / checkpoints.RESUME


def _keep(loop: Loop) -> None:
    """Store weights, optimiser state and ledger in one file, after what was reported up to here."""
    loop.run.sink.flush()
    tensors = {**loop.weights, **{f"kept/{n}": t for n, t in loop.run.tensors.items()}}
    for name, weight in loop.weights.items():
        for key, value in loop.optimizer.state[weight].items():
            if value is not None:  # of SGD without momentum
                tensors[f"{key}/{name}"] = value
    header = {
        "kind": "resume",
        "phase": loop.run.phase,
        "steps_before": loop.run.steps,
        "step": loop.step,
        "flops": loop.run.meter.flops,
        "tokens": loop.run.meter.tokens,
        "state": loop.run.state,
        "scale": asdict(loop.scale) if loop.scale else None,
        "run": loop.run.request.owner.run,
        "attempt": loop.run.request.owner.attempt,
    }
    tensors = whole(tensors)
    if team().first:
        checkpoints.write(_resume_file(loop.run), tensors, header)
    loop.saved_at = time.monotonic()


def _resume(loop: Loop) -> None:
    """Go on from a kept state, if there is one that can be read."""
    path = _resume_file(loop.run)
    if not path.exists():
        return
    tensors, header = checkpoints.read(path)
    if not loop.run.request.owner.takes(header):
        return  # of a run that was deleted, or of before this one was to start anew
    if header.get("phase", 0) != loop.run.phase:
        # What this training made is in the state of the later one, which fills the weights when it starts.
        loop.step = loop.steps if header.get("phase", 0) > loop.run.phase else 0
        return
    loop.run.steps = header.get("steps_before", 0)
    with torch.no_grad():
        for name, weight in loop.weights.items():
            weight.copy_(alike(tensors[name], weight))
    for key, value in tensors.items():
        held, _, name = key.partition("/")
        if name in loop.weights and held != "kept":
            weight = loop.weights[name]
            # The fused form counts its steps where the weights are.
            loop.optimizer.state[weight][held] = alike(value, weight)
    if header.get("scale"):
        loop.scale = LossScale(**header["scale"])
    loop.step = header["step"]
    loop.run.meter.flops = header["flops"]
    loop.run.meter.tokens = header["tokens"]
    loop.run.state.update(header.get("state", {}))
    kept = {n.removeprefix("kept/"): t for n, t in tensors.items() if n.startswith("kept/")}
    loop.run.tensors.update({n: t.to(loop.run.device) for n, t in kept.items()})

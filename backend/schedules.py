"""Courses of the learning rate: functions of the step, each a factor of the peak rate."""

import math
from collections.abc import Sequence


def factor(
    step: int,
    steps: int,
    *,
    schedule: str = "constant",
    warmup: int = 0,
    final_share: float = 0.1,
    points: Sequence[Sequence[float]] = (),
) -> float:
    """The factor of the peak learning rate at `step` (0 is the first update) of `steps`.

    The warm-up rises linearly so that update `warmup` is the first at the peak; the rest of the course belongs to the
    schedule. `wsd` holds the peak until the last fifth and falls linearly then; `step` falls to `final_share` at half;
    `points` joins (share of the steps, factor) pairs linearly.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, steps - warmup)
    return _COURSES[schedule](min(done, 1.0), final_share, points)


def _constant(done: float, final: float, points: Sequence[Sequence[float]]) -> float:
    return 1.0


def _linear(done: float, final: float, points: Sequence[Sequence[float]]) -> float:
    return 1.0 - (1.0 - final) * done


def _cosine(done: float, final: float, points: Sequence[Sequence[float]]) -> float:
    return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))


def _step(done: float, final: float, points: Sequence[Sequence[float]]) -> float:
    return 1.0 if done < 0.5 else final


def _warmup_stable_decay(done: float, final: float, points: Sequence[Sequence[float]]) -> float:
    return 1.0 if done < 0.8 else 1.0 - (1.0 - final) * (done - 0.8) / 0.2


def _points(done: float, final: float, points: Sequence[Sequence[float]]) -> float:
    before, *rest = points or [[0.0, 1.0]]
    for after in rest:
        if done <= after[0]:
            share = (done - before[0]) / max(after[0] - before[0], 1e-12)
            return float(before[1] + share * (after[1] - before[1]))
        before = after
    return float(before[1])


_COURSES = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "step": _step,
    "wsd": _warmup_stable_decay,
    "points": _points,
}

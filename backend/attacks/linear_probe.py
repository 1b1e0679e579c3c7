"""Linear probes: are the answers still to be read off the frozen hidden states?"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from backend.attacking import PARTS, report_own
from backend.context import RunContext
from backend.data import Task
from backend.evaluation import item_row
from backend.layerwise import States, finite, layer_name, scored_states
from backend.probing import Probe, fitted_classes, fitted_map, with_control
from backend.registry import Weight, attack


@attack(
    label="Linear probe",
    source="Alain & Bengio 2017 (arXiv 1610.01644); control labels: Hewitt & Liang 2019 (arXiv 1909.03368);"
    " map to the head: tuned lens, Belrose et al. 2023 (arXiv 2303.08112)",
    counts="probe",
    has_steps=False,
    metric={
        "name": "probe_accuracy",
        "direction": "up",
        "floor": 0.0,
        "unit": "share",
        "range": [0, 1],
        "label": "probe accuracy",
    },
)
def linear_probe(
    model: Any,
    task: Task,
    run: RunContext,
    *,
    reads: Literal["map", "class"] = "map",
    penalty: Weight = 1e-4,
) -> Any:
    """The model as it was; its score is the share of facts that a probe of one layer answers.

    One probe a layer is fitted to the attack part; the layer that answers most validation facts is scored. Its control
    is the same probe fitted to answers dealt at random among the attack facts, which says what a probe gets without
    knowledge in the states; selectivity is the difference. All layers are recorded as categories of `probe_accuracy`,
    `probe_control` and `probe_selectivity`. An attack of the kind that reads, so it never enters robust forget quality.

    Args:
        reads: `map` fits a linear map into the space that the model's own head reads, which also reaches answers that
            the attack part lacks; `class` fits a logistic regression whose classes are the attack part's answers
        penalty: weight of the squared distance of the probe's weights from where they start
    """
    with run.meter.watching(model):
        known = finite(scored_states(model, run.loader(run.split("attack"))))
        with run.meter.paused():
            asked = {part: scored_states(model, run.loader(run.split(part))) for part in PARTS}
    dealt = with_control(known, run.numbers("control labels"))
    right, control = (
        [
            _read(_probe(model, states, layer, reads, penalty), asked, layer)
            for layer in range(len(known.layers))
        ]
        for states in (known, dealt)
    )
    best = int(np.argmax([found["validation"].mean() for found in right]))
    report_own(run, "probe_accuracy", right[best])
    for layer, (mine, chance) in enumerate(zip(right, control, strict=True)):
        _record(run, layer_name(layer), mine, chance)
    _record(run, "", right[best], control[best])
    run.note(f"The probe of {layer_name(best)} answers most validation facts.")
    return model


def _probe(model: Any, states: States, layer: int, reads: str, penalty: float) -> Probe:
    if reads == "map":
        return fitted_map(model, states, layer, penalty)
    return fitted_classes(states, layer, penalty)


def _read(probe: Probe, asked: Mapping[str, States], layer: int) -> dict[str, np.ndarray]:
    return {part: probe(states.layers[layer], states) for part, states in asked.items()}


def _record(
    run: RunContext,
    category: str,
    mine: Mapping[str, np.ndarray],
    control: Mapping[str, np.ndarray],
) -> None:
    """The three readings of a layer, or with an empty category those of the chosen one beside its accuracy."""
    for part in mine:
        readings = {"probe_control": control[part], "probe_selectivity": mine[part] - control[part]}
        if category:
            readings["probe_accuracy"] = mine[part]
        split = f"{run.target}_{part}"
        run.sink.record([item_row(name, split, v, 1, category) for name, v in readings.items()])

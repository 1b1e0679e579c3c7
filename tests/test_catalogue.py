"""The catalogue, read from files, must say what the imported parts say."""

import inspect
import subprocess
import sys
import typing
from typing import Any

import pytest

from backend import (
    catalogue,
    distillation,
    language_model,
    registry,
    relearning,
    suppression,
    training_parameters,
)
from backend.registry import Bounds
from backend.stage import UserError
from backend.text import pretraining

ALL = [(kind, part.name) for kind in registry.KINDS for part in catalogue.parts(kind)]


GROUPS = {
    "suppression": suppression.suppress,
    "training": training_parameters.training,
    "distillation": distillation.distill_outputs,
    "relearning": relearning.relearned,
    "language_model": language_model.language_model,
    "text_training": pretraining.text_training,
}


def imported_parameters(function: Any) -> dict[str, Any]:
    signature = inspect.signature(function)
    own = {p.name: p.default for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}
    taken = [group for name, group in GROUPS.items() if name in signature.parameters]
    return {**imported_parameters(taken[0]), **own} if taken else own


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_the_catalogue_equals_the_imported_part(kind: str, name: str) -> None:
    part, function = catalogue.part(kind, name), registry.load(kind, name)
    assert part.defaults() == imported_parameters(function)
    assert part.declared == function.declared  # type: ignore[attr-defined]
    assert part.kind == function.kind == kind  # type: ignore[attr-defined]
    hints = typing.get_type_hints(function, include_extras=True)
    for parameter in part.parameters:
        if parameter.name in hints and typing.get_origin(hints[parameter.name]) is typing.Annotated:
            declared = next(m for m in hints[parameter.name].__metadata__ if isinstance(m, Bounds))
            assert parameter.bounds == declared


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_every_part_says_what_it_is_and_every_parameter_what_it_does(kind: str, name: str) -> None:
    part = catalogue.part(kind, name)
    assert part.summary and part.label
    assert part.source or kind == "metrics"
    for parameter in part.parameters:
        assert parameter.help, f"{name}: {parameter.name} has no help"
        assert parameter.check(parameter.default, name) == parameter.default
    assert set(part.neutral) <= set(part.defaults())


def test_shared_parameters_know_whose_they_are_and_a_new_default_keeps_what_they_do() -> None:
    found = {p.name: p for p in catalogue.part("settings", "authors").parameters}
    groups = {name: parameter.group for name, parameter in found.items()}
    assert (groups["facts"], groups["weight_decay"], groups["model"]) == ("", "text_training", "language_model")  # fmt: skip
    shared = {p.name: p for p in catalogue.part("settings", "language").parameters}
    assert groups["base_steps"] == "text_training"
    assert found["base_steps"].default != shared["base_steps"].default
    assert found["base_steps"].help == shared["base_steps"].help != ""


def test_a_part_prints_the_agreed_keys() -> None:
    shown = catalogue.part("methods", "undo").as_json()
    agreed = {"name", "kind", "version", "summary", "source", "needs", "parameters", "threat_model"}
    assert agreed <= set(shown)
    assert set(shown["parameters"][0]) == {"name", "type", "default", "help"}
    attack = catalogue.part("attacks", "relearn").as_json()
    assert (attack["counts"], attack["has_steps"]) == ("weights", True)
    metric = catalogue.part("metrics", "answer_accuracy").as_json()
    assert {"direction", "floor", "unit", "range", "level"} <= set(metric)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"alpha": 1.2}, "alpha = 1.2 must be at most 1"),
        ({"alpha": -0.1}, "alpha = -0.1 must be at least 0"),
        ({"alpha": "much"}, "not of type float"),
        ({"steps": -5}, "steps = -5 must be at least 1"),
        ({"steps": 2.5}, "not of type int"),
        ({"steps": True}, "not of type int"),
        ({"gamma": 1}, "no parameter 'gamma'; its parameters: alpha, beta"),
        ({"learning_rate": 0}, "must be above 0"),
        ({"learning_rate": float("nan")}, "not a finite number"),
        ({"schedule": "up"}, "not one of constant, linear"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_what_is_valid(given: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        catalogue.part("methods", "undo").check(given)


def test_an_unknown_part_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="no method 'npoo'; there are: .*grad_diff.*undo"):
        catalogue.part("methods", "npoo")


def test_reading_the_catalogue_and_planning_a_study_leaves_torch_out() -> None:
    code = (
        "import sys; from backend import catalogue, study;"
        "[catalogue.parts(k) for k in ('methods', 'attacks', 'metrics', 'settings', 'options')];"
        "study.resolve(study.load('quick')); print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"

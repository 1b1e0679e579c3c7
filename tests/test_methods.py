"""A contract over all methods and options, on a tiny setting: they change what they say they change."""

import itertools
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from backend import catalogue
from backend.batches import Loader
from backend.checkpoints import load_model
from backend.composition import run_method
from backend.flops import forward_flops
from backend.models import build, scored_logits
from backend.registry import SLOTS
from tests.small import Kept, context, do, small_task

torch.set_num_threads(1)
METHODS = {part.name: part for part in catalogue.parts("methods")}
OPTIONS = {part.name: part.declared["slot"] for part in catalogue.parts("options")}
PARENTS = {"pretrain": None, "suppress": "base", "robustify": "suppressed", "wrap": "base"}
FREE = {"ssd", "needle", "weight_mixture", "eco_prompts", "in_context_unlearning"}  # of training


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained base, so that there is something to forget, an oracle, and a suppressed model."""
    folder = tmp_path_factory.mktemp("methods")
    do(folder, "base", "base")
    do(folder, "oracle", "oracle")
    do(folder, "suppressed", "suppress", "max_ent", parent="base", steps=10)
    return folder


def changes(name: str) -> dict[str, Any]:
    """What the small setting must be for a method: another family, or five steps of training from scratch."""
    declared = METHODS[name].declared
    known = declared["families"]
    other = known and not {"llama", "dense"} & set(known)
    family = {"family": declared["families"][0]} if other else {}
    return {**family, **({"base_steps": 5} if declared["stage"] == "pretrain" else {})}


def before(home: Path, name: str) -> str | None:
    """The model that a method gets: the small setting's, or where that is of another family a base of its own."""
    parent = PARENTS[METHODS[name].declared["stage"]]
    if "family" in changes(name):
        parent = changes(name)["family"]
        if not (home / "checkpoints" / parent).exists():
            do(home, parent, "base", changes=changes(name))
    return parent


@lru_cache(maxsize=100)
def made(home: Path, name: str) -> tuple[Kept, Any]:
    """What a run of five steps reports, and its model as it is stored."""
    parameters = {p.name: 5 for p in METHODS[name].parameters if p.name in ("steps", "small_steps")}
    _, sink = do(
        home,
        name.replace("_", ""),
        METHODS[name].declared["stage"],
        name,
        parent=before(home, name),
        inputs={"base": ["base"], "oracle": ["oracle"]},
        changes=changes(name),
        **parameters,
    )
    return sink, stored(home, name.replace("_", ""), name)


def stored(home: Path, fingerprint: str | None, name: str) -> Any:
    fresh = build(small_task(**changes(name)).model, 0)
    return load_model(home, fingerprint, fresh) if fingerprint else fresh


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@torch.no_grad()
def answers(model: Any) -> torch.Tensor:
    """Logits on the forget questions."""
    loader = Loader(small_task().train["forget"], torch.device("cpu"))
    return scored_logits(model, loader.batch(slice(0, 72)))


@pytest.mark.parametrize("name", METHODS)
def test_five_steps_change_the_methods_own_loss_and_what_comes_out(home: Path, name: str) -> None:
    sink, model = made(home, name)
    losses = sink.values("loss", "train")
    assert (len(set(losses.values())) > 1) == (name not in FREE)
    parent = stored(home, before(home, name), name)
    assert not torch.allclose(answers(model), answers(parent))
    if METHODS[name].declared["stage"] == "wrap":
        assert torch.equal(weights(model.base), weights(parent))
    else:
        assert not torch.equal(weights(model), weights(parent))


def test_no_two_methods_give_the_same_outputs(home: Path) -> None:
    found = {name: answers(made(home, name)[1]) for name in METHODS}
    for one, other in itertools.combinations(METHODS, 2):
        assert not torch.equal(found[one], found[other]), (one, other)


def trained(home: Path, name: str, **parameters: Any) -> Any:
    run = context(home)
    return run_method(name, load_model(home, "base", run.fresh_model()), run.task, run, parameters)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_changes_what_a_method_makes_and_leaves_its_shape(home: Path, name: str) -> None:
    plain = trained(home, "npo", steps=4)
    changed = trained(home, "npo", steps=4, **{OPTIONS[name]: {"name": name}})
    assert OPTIONS[name] in SLOTS
    assert [n for n, _ in changed.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert not torch.equal(weights(plain), weights(changed))


def test_utility_and_the_gradients_cosine_are_recorded_and_cost_nothing(home: Path) -> None:
    sink = Kept()
    run = context(home, sink=sink)
    run_method("grad_diff", run.fresh_model(), run.task, run, {"steps": 10})
    assert set(sink.values("gradient_cosine", "train")) == set(range(1, 11))
    assert all(-1 <= value <= 1 for value in sink.values("gradient_cosine", "train").values())
    assert set(sink.values("answer_accuracy", "retain_validation")) == {2, 4, 6, 8, 10}
    config = run.fresh_model().config.to_dict()
    assert run.meter.flops == 10 * 2 * 3 * forward_flops(config, 128, 4, 1)

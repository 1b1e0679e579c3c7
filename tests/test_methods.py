"""A contract over all methods and options, on a tiny setting: they change what they say they change."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from backend import catalogue
from backend.composition import run_method
from backend.context import RunContext
from backend.flops import forward_flops
from backend.models import scored_logits
from backend.registry import SLOTS
from backend.stage import StageRequest
from tests.small import Kept, do, small_task

torch.set_num_threads(1)
SUPPRESSIONS = [m.name for m in catalogue.parts("methods") if m.declared["stage"] == "suppress"]
TRAINED = {m.name for m in catalogue.parts("methods") if "steps" in {p.name for p in m.parameters}}
OPTIONS = {part.name: part.declared["slot"] for part in catalogue.parts("options")}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained base, so that there is something to forget."""
    folder = tmp_path_factory.mktemp("methods")
    do(folder, "base", "base")
    return folder


def context(home: Path, sink: Kept | None = None, family: str = "llama") -> RunContext:
    task = small_task(family=family)
    setting = {"name": "arithmetic", "parameters": {}, "content_hash": task.content_hash}
    request = StageRequest(
        "suppress", "x", {}, setting, 0, "fp32", "abc", home, parent="base", fresh=True
    )
    return RunContext(request, task, sink or Kept(), torch.device("cpu"))


def trained(home: Path, name: str, sink: Kept | None = None, **parameters: Any) -> Any:
    from backend.checkpoints import load_model

    families = catalogue.part("methods", name).declared["families"]
    run = context(home, sink, *families[:1])
    # A base of the small task is a llama; other families start from initial weights.
    model = run.fresh_model() if families else load_model(home, "base", run.fresh_model())
    return run_method(name, model, run.task, run, parameters)


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@lru_cache(maxsize=100)
def outputs(home: Path, name: str) -> torch.Tensor:
    """Forget logits after five steps."""
    run = context(home)
    model = trained(home, name, **({"steps": 5} if name in TRAINED else {}))
    with torch.no_grad():
        return scored_logits(model, run.loader(run.task.train["forget"]).batch(slice(0, 72)))


@pytest.mark.parametrize("name", [name for name in SUPPRESSIONS if name in TRAINED])
def test_five_steps_change_the_methods_own_loss_and_the_weights(home: Path, name: str) -> None:
    sink = Kept()
    before = weights(trained(home, "max_ent", steps=1, learning_rate=1e-12))
    after = weights(trained(home, name, sink, steps=5))
    assert not torch.equal(before, after)
    losses = sink.values("loss", "train")
    assert set(losses) == {1, 2, 3, 4, 5}
    assert len(set(losses.values())) > 1


@pytest.mark.parametrize("name", [name for name in SUPPRESSIONS if name not in TRAINED])
def test_a_method_without_training_changes_the_forget_logits(home: Path, name: str) -> None:
    untouched = trained(home, "grad_diff", steps=1, learning_rate=1e-30)
    run = context(home)
    batch = run.loader(run.task.train["forget"]).batch(slice(0, 72))
    changed = outputs(home, name)
    with torch.no_grad():
        assert not torch.allclose(changed, scored_logits(untouched, batch))


def test_no_two_methods_give_the_same_outputs(home: Path) -> None:
    for i, one in enumerate(SUPPRESSIONS):
        for other in SUPPRESSIONS[:i]:
            assert not torch.equal(outputs(home, one), outputs(home, other)), (one, other)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_changes_what_a_method_makes_and_leaves_its_shape(home: Path, name: str) -> None:
    plain = trained(home, "npo", steps=4)
    changed = trained(home, "npo", steps=4, **{OPTIONS[name]: {"name": name}})
    assert OPTIONS[name] in SLOTS
    assert [n for n, _ in changed.named_parameters()] == [n for n, _ in plain.named_parameters()]
    assert not torch.equal(weights(plain), weights(changed))


def test_utility_and_the_gradients_cosine_are_recorded_and_cost_nothing(home: Path) -> None:
    sink = Kept()
    run = context(home, sink)
    run_method("grad_diff", run.fresh_model(), run.task, run, {"steps": 10})
    assert set(sink.values("gradient_cosine", "train")) == set(range(1, 11))
    assert all(-1 <= value <= 1 for value in sink.values("gradient_cosine", "train").values())
    assert set(sink.values("accuracy", "retain_validation")) == {2, 4, 6, 8, 10}
    config = run.fresh_model().config.to_dict()
    assert run.meter.flops == 10 * 2 * 3 * forward_flops(config, 128, 4, 1)

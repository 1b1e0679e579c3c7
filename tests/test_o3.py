"""O3: adapters are orthogonal, earlier ones stay, detectors know their own data, and what does not fit is refused."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis

from backend import plan, results, study, worker
from backend.checkpoints import load_model
from backend.composition import run_method
from backend.detectors import Detector, prompt_states
from backend.labels import observed, requested
from backend.methods.o3 import Gated
from backend.models import scored_logits
from backend.stage import Cancelled, RunFailed
from db import writes
from db.session import require_database
from tests import small
from tests.small import Kept, do, small_task
from tests.small_study import SETTING

torch.set_num_threads(1)
QUICK: dict[str, Any] = {"steps": 8, "rank": 2, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("o3")
    do(folder, "base", "base")
    return folder


context = partial(small.context, stage="wrap", parent="base")


def after_requests(home: Path, count: int, **parameters: Any) -> Any:
    model = load_model(home, "base", context(home).fresh_model())
    for part in range(1, count + 1):
        run = context(home, requested(small_task(), part, count))
        model = run_method("o3", model, run.task, run, {**QUICK, **parameters})
    return model


@torch.no_grad()
def logits(home: Path, model: Any, part: str) -> torch.Tensor:
    run = context(home)
    return scored_logits(model, run.loader(run.task.train[part]).batch(slice(0, 30)))


def test_adapters_of_all_requests_are_orthogonal_and_trained(home: Path) -> None:
    model = after_requests(home, 3)
    for place in range(len(model.layers)):
        rows = torch.cat([model.down[model.at(i, place)] for i in range(3)])
        overlap = rows @ rows.T
        size = overlap.diagonal().sqrt()
        for i in range(3):
            overlap[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = 0.0
        assert (overlap / (size[:, None] * size)).abs().max() < 1e-5
    assert all(up.abs().sum() > 0 for up in model.up)


def test_a_request_leaves_base_and_earlier_adapters_as_they_are(home: Path) -> None:
    one, base = after_requests(home, 1), load_model(home, "base", context(home).fresh_model())
    before = {name: value.clone() for name, value in one.state_dict().items()}
    run = context(home)
    two = run_method("o3", one, run.task, run, QUICK)
    after = two.state_dict()
    assert two.requests == 2 and all(torch.equal(after[name], before[name]) for name in before)
    assert all(map(torch.equal, two.base.parameters(), base.parameters()))


def test_an_adapter_without_effect_is_the_base_bit_for_bit(home: Path) -> None:
    base = load_model(home, "base", context(home).fresh_model())
    plain = logits(home, base, "forget")
    assert torch.equal(logits(home, Gated(base, 2, 3, 8, 0.05), "forget"), plain)


def test_its_own_data_are_answered_more_evenly_the_more_it_is_trained(home: Path) -> None:
    def evenness(model: Any) -> float:
        p = logits(home, model, "forget").softmax(-1)
        return -(p * p.log()).sum(-1).mean().item()

    few, many = (after_requests(home, 1, steps=steps, coverage=1.0) for steps in (1, 60))
    assert evenness(many) > evenness(few) + 0.5


def test_a_detector_tells_its_own_data_from_others() -> None:
    generator = torch.Generator().manual_seed(1)
    stretch = torch.linspace(0.2, 2.0, 6)
    own = torch.randn(500, 2, 6, generator=generator) * stretch + 1.0
    foreign = torch.randn(200, 2, 6, generator=generator) * stretch + 1.0
    foreign[:, 1, 0] += 3.0  # one direction of one block
    detector = Detector(2, 6, 6)
    detector.fit(own[:250], own[250:], 0.95)
    weights = detector.belongs(own[250:], 0.02)
    assert (weights > 0.5).float().mean() == pytest.approx(0.95, abs=0.01)
    assert detector.belongs(foreign, 0.02).max() < 0.05


def test_its_distance_is_mahalanobis() -> None:
    states = torch.randn(80, 1, 5, generator=torch.Generator().manual_seed(2)) * torch.arange(1, 6)
    detector = Detector(1, 5, 5)
    detector.fit(states, states, 0.9)
    inverse = np.linalg.inv(np.cov(states[:, 0].numpy().T))
    mean = states[:, 0].mean(0).numpy()
    expected = [mahalanobis(row, mean, inverse) for row in states[:10, 0].numpy()]
    np.testing.assert_allclose(detector.distances(states)[0, :10, 0].numpy(), expected, rtol=1e-3)


def test_the_prompt_decides_and_not_the_answer(home: Path) -> None:
    model = after_requests(home, 1)
    ids = torch.tensor([[3, 1, 4, 1], [3, 1, 4, 2]])
    keep = torch.tensor([2, 3])
    first, second = model.weights(ids, keep)
    assert torch.equal(first, second)
    assert prompt_states(model.base, ids, 2).shape == (2, 2, 64)


def test_an_interrupted_request_goes_on_bit_for_bit(home: Path) -> None:
    with pytest.raises(Cancelled):
        do(home, "cut", "wrap", "o3", parent="base", sink=Kept(stop_after=3), **QUICK)
    do(home, "cut", "wrap", "o3", parent="base", **QUICK)
    do(home, "whole", "wrap", "o3", parent="base", **QUICK)
    fresh = context(home).fresh_model
    one, other = (load_model(home, name, fresh()).state_dict() for name in ("cut", "whole"))
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_what_does_not_fit_is_refused(home: Path) -> None:
    model = after_requests(home, 1, rank=40)
    run = context(home)
    with pytest.raises(RunFailed, match="2 requests of rank 40 do not fit"):
        run_method("o3", model, run.task, run, {**QUICK, "rank": 40})
    with pytest.raises(RunFailed, match="those of the earlier requests"):
        run_method("o3", model, run.task, run, {**QUICK, "rank": 3})


def test_too_few_prompts_for_a_detector_are_one_sentence(home: Path) -> None:
    run = context(home, observed(small_task(), 0.01))
    model = load_model(home, "base", run.fresh_model())
    with pytest.raises(RunFailed, match="takes 4 prompts, the request has 1"):
        run_method("o3", model, run.task, run, QUICK)


def test_a_study_with_requests_is_a_chain_of_adapters_whose_weight_attacks_are_the_bases() -> None:
    attack = {"name": "relearn", "learning_rate": [1e-3], "steps": 5}
    recipe = {"wrap": {"name": "o3", **QUICK}, "requests": 2}
    source = {"name": "asked", "setting": SETTING, "recipes": [recipe], "attacks": [attack]}
    found = study.resolve(source)
    engine = require_database()
    writes.submit(engine, name="asked", document=found.document, runs=plan.as_rows(found.runs))
    assert worker.work(engine, slots=1, until_idle=True)
    (row,) = [r for r in results.frontier_document(engine, "asked")["rows"] if r["stages"]]
    assert row["robust_forget_quality"]["mean"] == 0.0
    assert row["inference_overhead"] > 2.0
    assert row["steps"] == 16

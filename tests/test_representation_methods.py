"""Methods on representations, under simulated attack and without training: identities of their papers."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.checkpoints import load_model, read
from backend.composition import run_method
from backend.context import RunContext
from backend.data import Task, answers_of, with_answers
from backend.flops import forward_flops
from backend.losses import cross_entropy, token_losses
from backend.methods.circuit_breakers import rerouting
from backend.methods.elm import answer_frequencies, erased
from backend.methods.lat import adversary, denial
from backend.methods.rep_noise import at_every_depth, early_heads
from backend.methods.ssd import dampened
from backend.methods.tar import negative_entropy, resistance
from backend.models import build, frozen_copy, hidden_states, scored_logits
from backend.representations import added_after, clipped, mmd, read_off
from backend.saliency import fisher, neuron_attributions
from backend.stage import Cancelled
from tests.small import Kept, context, do, small_task

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("representations")
    do(folder, "base", "base")
    return folder


def long_answers(**parameters: Any) -> Task:
    """The small task with forget answers of one token or of three."""
    task = small_task(**parameters)
    forget = task.train["forget"]
    longer = [np.tile(a, 1 + 2 * (i % 2)) for i, a in enumerate(answers_of(forget))]
    return replace(task, train={**task.train, "forget": with_answers(forget, longer)})


def base(run: RunContext) -> Any:
    return load_model(run.request.home, "base", run.fresh_model())


def changed(one: Any, other: Any) -> set[str]:
    pairs = zip(one.named_parameters(), other.parameters(), strict=True)
    return {name for (name, a), b in pairs if not torch.equal(a, b)}


@pytest.mark.parametrize("layer", [0, 1])
def test_rmu_trains_down_projections_up_to_its_block_alone(home: Path, layer: int) -> None:
    run = context(home)
    made = run_method("rmu", base(run), run.task, run, {"steps": 2, "layer": layer})
    expected = {f"model.layers.{i}.mlp.down_proj.weight" for i in range(layer + 1)}
    assert changed(made, base(run)) == expected


def test_circuit_breakers_reach_nothing_above_their_block(home: Path) -> None:
    run = context(home)
    made = run_method("circuit_breakers", base(run), run.task, run, {"steps": 2, "layer": 0})
    touched = changed(made, base(run))
    assert touched and not any("layers.1." in name or "model.norm" in name for name in touched)


def test_rerouting_is_at_rest_where_states_are_opposite_and_kept() -> None:
    state = torch.randn(2, 3, 5, requires_grad=True)
    old = -state.detach()
    turn, stay = rerouting(state, old, state, state.detach() + 0.0)
    assert turn.item() == 0
    (turn,) = torch.autograd.grad(turn, state, allow_unused=True)
    assert turn is None or not turn.any()
    assert stay.item() == 0
    same, _ = rerouting(old, old, old, old)
    assert same.item() == pytest.approx(1.0)


def test_rerouting_weighs_batches_and_not_steps(home: Path) -> None:
    run = context(home)
    done = {"steps": 1, "accumulate": 4, "alpha": 8.0, "learning_rate": 1e-12}
    run_method("circuit_breakers", base(run), run.task, run, done)
    # Four batches of weight 8, 7, 6, 5, every cosine being 1 and every distance 0 before the first step.
    assert run.sink.values("loss", "train")[1] == pytest.approx(6.5, abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
@pytest.mark.parametrize("name", ["circuit_breakers", "rep_noise", "lat", "elm", "tar"])
def test_answers_of_several_tokens_in_every_family(home: Path, name: str, family: str) -> None:
    run = context(home, long_answers(family=family))
    start = run.fresh_model()
    made = run_method(name, run.fresh_model(), run.task, run, {"steps": 2})
    assert len(run.sink.values("loss", "train")) == 2 and changed(made, start)
    assert all(weight.isfinite().all() for weight in made.parameters())


@pytest.mark.parametrize("name", ["circuit_breakers", "rep_noise", "lat", "elm", "tar"])
def test_an_adapter_is_all_that_they_train(home: Path, name: str) -> None:
    run = context(home)
    adapter = {"name": "lora", "rank": 2, "where": "mlp"}
    made = run_method(name, base(run), run.task, run, {"steps": 2, "adapter": adapter})
    touched = changed(made, base(run))
    assert touched and all(".mlp." in weight for weight in touched)


@pytest.mark.parametrize("name", ["circuit_breakers", "rep_noise", "lat", "elm", "tar"])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(home: Path, name: str) -> None:
    first, second = (name.replace("_", "") + end for end in ("whole", "again"))
    whole, _ = do(home, first, "suppress", name, parent="base", steps=6)
    with pytest.raises(Cancelled):
        do(home, second, "suppress", name, parent="base", steps=6, sink=Kept(stop_after=3))
    resumed, _ = do(home, second, "suppress", name, parent="base", steps=6)
    one, other = (read(home / "checkpoints" / f / "model.safetensors")[0] for f in (first, second))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert (whole.flops, whole.tokens) == (resumed.flops, resumed.tokens)


def test_denial_is_log_one_minus_p_and_still_pulls_where_the_model_is_sure() -> None:
    logits = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 1, 2, 3, 4, 0])
    p = logits.softmax(-1)[range(6), targets]
    torch.testing.assert_close(
        denial(logits, targets).double(), -torch.log1p(-p).mean(), atol=1e-6, rtol=1e-5
    )
    sure = torch.zeros(1, 5).index_fill(1, torch.tensor([2]), 60.0).requires_grad_()
    loss = denial(sure, torch.tensor([2]))
    assert loss.item() == pytest.approx(60 - np.log(4), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, sure)
    assert gradient.tolist()[0] == pytest.approx([-0.25, -0.25, 1.0, -0.25, -0.25])


def test_the_inner_maximum_stays_in_its_ball_and_brings_answers_back(home: Path) -> None:
    run = context(home)
    model = run_method("npo", base(run), run.task, run, {"steps": 10})
    batch = run.loader(run.task.train["forget"]).batch(slice(0, 20))

    def lost(delta: torch.Tensor) -> float:
        with added_after(model, 0, delta), torch.no_grad():
            return float(token_losses(scored_logits(model, batch), batch.targets).mean())

    delta = adversary(model, batch, 0, 0.7, 6, 0.3)
    sizes = torch.linalg.vector_norm(delta, dim=-1)
    assert sizes.max() <= 0.7 + 1e-5 and sizes.max() > 0.5
    assert lost(delta) < lost(torch.zeros_like(delta)) - 0.01
    with torch.no_grad():
        plain = scored_logits(model, batch)
        with added_after(model, 0, torch.zeros_like(delta)):
            assert torch.equal(scored_logits(model, batch), plain)


def test_clipping_shortens_long_vectors_and_no_others() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    assert torch.allclose(clipped(vectors, 1.0), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))


@pytest.mark.parametrize("place", [0.0, 100.0])
def test_mmd_is_the_double_sum_over_kernels_wherever_the_points_lie(place: float) -> None:
    one, other = torch.randn(4, 3) + place, torch.randn(5, 3) + place + 1
    both = torch.cat([one, other])
    pairs = [(i, j) for i in range(9) for j in range(9)]
    width = sum(float((both[i] - both[j]) @ (both[i] - both[j])) for i, j in pairs) / (9 * 8)

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        square = float((x - y) @ (x - y))
        return sum(float(torch.exp(torch.tensor(-square / (width * 2.0**p)))) for p in range(-2, 3))

    within = sum(kernel(x, y) for x in one for y in one) / 16
    within += sum(kernel(x, y) for x in other for y in other) / 25
    across = sum(kernel(x, y) for x in one for y in other) / 20
    assert mmd(one, other).item() == pytest.approx(within - 2 * across, rel=1e-4)
    assert mmd(one, one.clone()).item() == pytest.approx(0.0, abs=1e-6)


def test_the_last_depth_of_the_lens_is_the_model_itself(home: Path) -> None:
    run = context(home)
    model = base(run)
    batch = run.loader(run.task.train["forget"]).batch(slice(0, 20))
    states, losses = at_every_depth(model, batch)
    assert [tuple(state.shape) for state in states] == [(20, 64), (20, 64)]
    exact = cross_entropy(scored_logits(model, batch), batch.targets)
    torch.testing.assert_close(losses[-1], exact)
    early = model.lm_head(model.model.norm(hidden_states(model, batch, 0)[:, -1]))
    torch.testing.assert_close(losses[0], cross_entropy(early, batch.targets))


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_reading_off_the_last_blocks_output_gives_the_models_logits(family: str) -> None:
    model = build({**small_task(family=family).model, "family": family}, 0)
    seen: list[torch.Tensor] = []
    last = model.model.layers[-1]
    handle = last.register_forward_hook(
        lambda module, args, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    logits = model(torch.tensor([[1, 2, 3]]), use_cache=False).logits
    handle.remove()
    torch.testing.assert_close(read_off(model, seen[0]), logits)


def test_reading_off_at_every_depth_costs_a_head_each(home: Path) -> None:
    run = context(home)
    model = base(run)
    config = model.config.to_dict()
    batch = run.loader(run.task.train["forget"]).batch(slice(0, 7))
    deeper = {**config, "num_hidden_layers": 0}
    head = forward_flops(deeper, 7, 4, 1)
    assert early_heads(model.config, batch) == 3 * head * (config["num_hidden_layers"] - 1)
    run_method("rep_noise", model, run.task, run, {"steps": 2, "batch_size": 7})
    assert run.meter.flops == 2 * (2 * 3 * forward_flops(config, 7, 4, 1) + 3 * head)


def test_elm_without_a_push_is_the_expert_and_with_one_step_the_novice(home: Path) -> None:
    run = context(home)
    batch = run.loader(run.task.train["forget"]).batch(slice(0, 9))
    logits = scored_logits(base(run), batch).detach()
    novice = answer_frequencies(run.task).log()
    torch.testing.assert_close(erased(logits, novice, 0.0), logits.log_softmax(-1))
    torch.testing.assert_close(erased(logits, novice, 1.0)[0], novice, atol=1e-4, rtol=1e-4)
    sums = erased(logits, novice, 3.0).exp().sum(-1)
    torch.testing.assert_close(sums, torch.ones(9))


def test_the_simulated_attacks_gradient_is_the_first_order_one(home: Path) -> None:
    run = context(home)
    model = base(run)
    loader = run.loader(run.task.train["forget"])
    attack, batch = [loader.batch(slice(0, 16)), loader.batch(slice(16, 32))], loader.batch(slice(32, 48))  # fmt: skip
    # Whatever the copy was before: it takes the model's weights first.
    loss = resistance(model, run.fresh_model(), attack, batch, 1e-3)
    loss.backward()
    attacked = copy.deepcopy(frozen_copy(model)).requires_grad_(True)
    optimizer = torch.optim.AdamW(attacked.parameters(), lr=1e-3, weight_decay=0.0)
    for one in attack:
        optimizer.zero_grad()
        cross_entropy(scored_logits(attacked, one), one.targets).backward()
        optimizer.step()
    optimizer.zero_grad()
    direct = negative_entropy(scored_logits(attacked, batch))
    direct.backward()
    assert loss.item() == pytest.approx(direct.item(), rel=1e-5)
    for mine, theirs in zip(model.parameters(), attacked.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-3)


def test_every_pass_of_the_simulated_attack_is_counted_once(home: Path) -> None:
    run = context(home)
    sizes = {"batch_size": 16, "inner_batch": 8, "inner_steps": 3}
    model = run_method("tar", base(run), run.task, run, {"steps": 2, **sizes})

    def step(rows: int) -> float:
        return 3 * forward_flops(model.config.to_dict(), rows, 4, 1)

    assert run.meter.flops == 2 * (step(16) + 3 * step(8) + step(16))


def test_negative_entropy_of_equal_logits_is_minus_log_v() -> None:
    assert negative_entropy(torch.zeros(3, 8)).item() == pytest.approx(
        -torch.tensor(8.0).log().item()
    )


def test_dampening_follows_the_rule_weight_by_weight() -> None:
    forget = torch.tensor([4.0, 1.0, 0.0, 8.0])
    everything = torch.tensor([1.0, 1.0, 1.0, 7.9])
    factor = dampened(forget, everything, alpha=1.0, dampening=0.5)
    assert factor.tolist() == pytest.approx([0.125, 1.0, 1.0, 0.5 * 7.9 / 8.0])
    assert dampened(forget, everything, 1.0, 100.0).tolist() == [1.0] * 4  # never grows a weight


def test_fisher_is_the_mean_squared_gradient_of_single_items(home: Path) -> None:
    run = context(home)
    model = base(run)
    examples = run.task.train["forget"]
    found = fisher(model, run, examples, len(examples), "all")["model.norm.weight"]
    total = torch.zeros_like(found)
    for row in range(len(examples)):
        model.zero_grad()
        logits = model(torch.from_numpy(examples.input_ids[row : row + 1])).logits[:, -1]
        target = torch.tensor([int(examples.targets[row, -1])])
        torch.nn.functional.cross_entropy(logits, target).backward()
        total += model.model.norm.weight.grad.square()
    torch.testing.assert_close(found, total / len(examples), rtol=1e-3, atol=1e-9)


def test_a_neurons_attribution_is_activation_times_gradient(home: Path) -> None:
    """A neuron whose value vector is zero changes no loss; one that is doubled counts as its gradient says."""
    run = context(home)
    model = base(run)
    examples = run.task.train["forget"]
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[:, 7] = 0.0
    found = neuron_attributions(model, run, examples)
    assert [tuple(part.shape) for part in found] == [(256,), (256,)]
    assert found[1][7].item() == 0 and found[1].median() > 0


def test_the_task_vector_points_away_from_the_reinforced_model(home: Path) -> None:
    run = context(home)
    start, ahead = base(run), base(run)
    run_method("task_vector", ahead, run.task, run, {"steps": 3, "alpha": 1e-9})  # stays
    back = run_method("task_vector", base(run), run.task, context(home), {"steps": 3, "alpha": 1.0})
    far = run_method("task_vector", base(run), run.task, context(home), {"steps": 3, "alpha": 2.0})
    for zero, one, two, still in zip(*(m.parameters() for m in (start, back, far, ahead)), strict=True):  # fmt: skip
        torch.testing.assert_close(two - zero, 2 * (one - zero), atol=1e-5, rtol=1e-3)
        torch.testing.assert_close(still, zero)


def test_a_mixture_lies_between_base_and_suppressed(home: Path) -> None:
    do(home, "npo", "suppress", "npo", parent="base", steps=5)
    inputs = {"base": ["base"]}
    made = {}
    for share in (0.0, 0.5, 1.0):
        name = f"mix{int(share * 10)}"
        do(home, name, "robustify", "weight_mixture", parent="npo", inputs=inputs, share=share)
        made[share] = read(home / "checkpoints" / name / "model.safetensors")[0]
    first, last = (read(home / "checkpoints" / n / "model.safetensors")[0] for n in ("base", "npo"))
    for key in first:
        assert torch.equal(made[0.0][key], first[key]) and torch.equal(made[1.0][key], last[key])
        torch.testing.assert_close(made[0.5][key], (first[key] + last[key]) / 2)


def test_repair_brings_retain_answers_back_from_a_wreck(home: Path) -> None:
    do(home, "wreck", "suppress", "grad_ascent", parent="base", steps=20, learning_rate=3e-3)
    inputs = {"base": ["base"]}
    _, kept = do(home, "repaired", "robustify", "repair", parent="wreck", inputs=inputs, steps=60)
    apart = kept.values("retain_kl", "train")
    assert apart[60] < 0.5 * apart[1]  # type: ignore[operator]

"""Every forget loss against a direct computation, item by item, on answers of several tokens."""

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.context import RunContext
from backend.data import IGNORE, Examples, Task, answers_of, with_answers
from backend.methods.ce_u import later_tokens
from backend.methods.mismatched_answers import mismatched
from backend.methods.pdu import flatness
from backend.models import build
from backend.stage import RunFailed
from backend.suppression import Step, gradient_cosine
from tests.small import Kept, context, do, small_task

torch.set_num_threads(1)
WORDS, ITEMS, LENGTH = 30, 12, 8


def examples(seed: int) -> Examples:
    """Questions of two to four tokens, answers of one to three, then tokens that nobody scores."""
    numbers = np.random.default_rng(seed)
    ids = numbers.integers(0, WORDS, size=(ITEMS, LENGTH))
    targets = np.full((ITEMS, LENGTH), IGNORE)
    for row in range(ITEMS):
        start, size = numbers.integers(1, 4), numbers.integers(1, 4)
        targets[row, start : start + size] = ids[row, start + 1 : start + size + 1]
    return Examples(ids, targets)


def task(refusals: Any = ((7,), (8, 9))) -> Task:
    spec = {**small_task().model, "vocab_size": WORDS}
    return Task(
        name="several",
        model=spec,
        base_training={},
        train={"forget": examples(1), "retain": examples(2)},
        splits={},
        words=tuple(map(str, range(WORDS))),
        refusals=refusals,
    )


def model_of(seed: int) -> Any:
    model = build(task().model, seed)
    with torch.no_grad():  # logits with some spread
        for parameter in model.parameters():
            parameter.mul_(3.0) if parameter.dim() > 1 else None
    return model


class Caught(Exception):
    """The loss function that a method hands to `suppress`."""


def loss_of(
    home: Path, name: str, before: Any, now: Any, given: Task | None = None, **parameters: Any
) -> torch.Tensor:
    """A method's own forget loss over all items: the reference is `before`, the weights are `now`'s."""
    given = given or task()
    run = context(home, given)

    def catch(model: Any, task: Task, run: RunContext, loss: Any, **rest: Any) -> None:
        raise Caught(loss)

    module = importlib.import_module(f"backend.methods.{name}")
    holder = (
        module if hasattr(module, "suppress") else importlib.import_module("backend.preferences")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holder, "suppress", catch)
        model = build(given.model, 0)
        model.load_state_dict(before.state_dict())
        with pytest.raises(Caught) as caught:
            getattr(module, name)(model, given, run, **parameters)
    model.load_state_dict(now.state_dict())
    indices = torch.arange(ITEMS)
    forget = run.loader(given.train["forget"]).batch(indices)
    return caught.value.args[0](Step(run, 0, 1, indices, forget))


def answer_logits(model: Any, given: Examples) -> list[torch.Tensor]:
    """Logits at every item's answer, item by item, one at a time and without anything after it."""
    found = []
    for ids, targets in zip(given.input_ids, given.targets, strict=True):
        places = np.flatnonzero(targets != IGNORE)
        logits = model(torch.from_numpy(ids[None, : places[-1] + 1])).logits[0]
        found.append(logits[places].double())
    return found


def token_nll(model: Any, given: Examples) -> list[torch.Tensor]:
    return [
        -logits.log_softmax(-1)[range(len(answer)), answer]
        for logits, answer in zip(answer_logits(model, given), answers_of(given), strict=True)
    ]


def per_token(values: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat(values).mean()


def per_item(values: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(values).mean()


def softplus(value: torch.Tensor) -> torch.Tensor:
    return (1 + value.exp()).log()


def direct(name: str, before: Any, now: Any) -> torch.Tensor:
    """The formulas of the papers, written out."""
    forget = task().train["forget"]
    nll, old = token_nll(now, forget), token_nll(before, forget)
    logits, logits0 = answer_logits(now, forget), answer_logits(before, forget)
    answers = answers_of(forget)
    p = [(-n).exp() for n in nll]
    if name in ("grad_ascent", "grad_diff"):
        return -per_token(nll)
    if name == "npo":
        return per_item(
            [20 * softplus(-0.1 * (a.sum() - b.sum())) for a, b in zip(nll, old, strict=True)]
        )
    if name == "sim_npo":
        return per_item([2 / 4.5 * softplus(-4.5 * n.mean()) for n in nll])
    if name == "wga":
        return -per_token([q * n for q, n in zip(p, nll, strict=True)])
    if name == "sat_imp":
        return -per_token([q**5 * (1 - q) * n for q, n in zip(p, nll, strict=True)])
    if name == "undial":
        lowered = [z.clone() for z in logits0]
        for z, answer in zip(lowered, answers, strict=True):
            z[range(len(answer)), answer] -= 10.0
        terms = zip(lowered, logits, strict=True)
        return per_token([-(t.softmax(-1) * z.log_softmax(-1)).sum(-1) for t, z in terms])
    if name == "max_ent":
        flat = [-z.log_softmax(-1).mean(-1) - math.log(WORDS) for z in logits]
        return per_token(flat)
    assert name == "ce_u"
    terms_u = []
    for z, answer in zip(logits, answers, strict=True):
        ruled_out = z.clone()
        ruled_out[range(len(answer)), answer] = float("-inf")
        each = -(ruled_out.softmax(-1) * z.log_softmax(-1)).sum(-1)
        terms_u.append(each[1:] if len(each) > 1 else each)
    return per_token(terms_u)


DIRECT = ("grad_ascent", "grad_diff", "npo", "sim_npo", "wga", "sat_imp", "undial", "max_ent", "ce_u")  # fmt: skip


@pytest.mark.parametrize("name", DIRECT)
def test_the_loss_is_the_papers(tmp_path: Path, name: str) -> None:
    before, now = model_of(1), model_of(2)
    found = loss_of(tmp_path, name, before, now)
    assert found.item() == pytest.approx(direct(name, before, now).item(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", [*DIRECT, "flat", "idk_nll", "idk_dpo"])
def test_what_is_not_scored_contributes_nothing(tmp_path: Path, name: str) -> None:
    before, now = model_of(1), model_of(2)
    plain = task()
    ids = plain.train["forget"].input_ids.copy()
    for row, targets in enumerate(plain.train["forget"].targets):
        last = np.flatnonzero(targets != IGNORE)[-1]
        ids[row, last + 1 :] = (ids[row, last + 1 :] + 5) % WORDS
    forget = Examples(ids, plain.train["forget"].targets)
    other = Task(**{**plain.__dict__, "train": {**plain.train, "forget": forget}})
    with torch.random.fork_rng():
        one = loss_of(tmp_path, name, before, now)
        two = loss_of(tmp_path, name, before, now, other)
    assert torch.equal(one, two)


def gradient(loss: torch.Tensor, model: Any) -> torch.Tensor:
    found = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([g.flatten() for g in found])


def test_npo_tends_to_gradient_ascent_and_starts_with_its_slope() -> None:
    """−(2/β) log σ(−βx) has slope −1 at x = 0 for every β, and everywhere as β → 0."""
    for beta in (1e-6, 0.1, 2.0):
        lost = torch.zeros(5, dtype=torch.double, requires_grad=True)
        (2 / beta * torch.nn.functional.softplus(-beta * lost)).sum().backward()
        assert lost.grad.tolist() == pytest.approx([-1.0] * 5)


def test_npos_gradient_is_gradient_ascents_as_beta_vanishes(tmp_path: Path) -> None:
    from backend.methods import npo as module

    given, run = task(), context(tmp_path, task())
    model, found = model_of(2), {}

    def catch(model: Any, task: Task, run: RunContext, loss: Any, **rest: Any) -> None:
        found["loss"] = loss

    indices = torch.arange(ITEMS)
    forget = run.loader(given.train["forget"]).batch(indices)
    step = Step(run, 0, 1, indices, forget)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "suppress", catch)
        module.npo(model_of(1), given, run, beta=1e-6)
    from backend.suppression import summed_losses

    # The loss closes over the model that came in: fill that one with other weights.
    inner = found["loss"].__closure__
    held = next(c.cell_contents for c in inner if hasattr(c.cell_contents, "parameters"))
    held.load_state_dict(model.state_dict())
    mine = gradient(found["loss"](step), held)
    theirs = gradient(-summed_losses(held, forget).mean(), held)
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("divergence", ["tv", "kl", "pearson", "js"])
def test_flat_is_the_variational_form_of_its_divergence(tmp_path: Path, divergence: str) -> None:
    """f*(g*(v)) from the convex conjugates themselves."""
    now, given = model_of(2), task(refusals=((7,),))
    refused = with_answers(given.train["forget"], [np.array([7])] * ITEMS)
    good = torch.stack([(-n).exp().mean() for n in token_nll(now, refused)])
    bad = torch.stack([(-n).exp().mean() for n in token_nll(now, given.train["forget"])])
    activation: Any = {
        "tv": lambda v: v.tanh() / 2,
        "kl": lambda v: v,
        "pearson": lambda v: v,
        "js": lambda v: math.log(2) - (1 + (-v).exp()).log(),
    }[divergence]
    conjugate: Any = {
        "tv": lambda t: t,
        "kl": lambda t: (t - 1).exp(),
        "pearson": lambda t: t**2 / 4 + t,
        "js": lambda t: -(2 - t.exp()).log(),
    }[divergence]
    expected = (conjugate(activation(bad)) - activation(good)).mean().item()
    found = loss_of(tmp_path, "flat", now, now, given, divergence=divergence)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_preferring_is_dpo_with_npo_as_its_bad_half(tmp_path: Path) -> None:
    before, now = model_of(1), model_of(2)
    given = task(refusals=((7, 3),))
    forget = given.train["forget"]
    refused = with_answers(forget, [np.array([7, 3])] * ITEMS)

    def gain(examples: Examples) -> torch.Tensor:
        new, old = token_nll(now, examples), token_nll(before, examples)
        return torch.stack([b.sum() - a.sum() for a, b in zip(new, old, strict=True)])

    expected = 20 * softplus(-0.1 * (gain(refused) - gain(forget))).mean()
    found = loss_of(tmp_path, "idk_dpo", before, now, given)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_setting_without_refusals_fails_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="names no refusals"):
        loss_of(tmp_path, "idk_nll", model_of(1), model_of(1), task(refusals=()))


def test_alternatives_are_as_long_as_the_truth_and_never_the_same(tmp_path: Path) -> None:
    from backend.alternatives import alternatives

    given = task()
    made = [alternatives(model_of(1), given, context(tmp_path, given), 1.0) for _ in range(2)]
    assert np.array_equal(made[0].input_ids, made[1].input_ids)  # seeded
    for mine, truth in zip(answers_of(made[0]), answers_of(given.train["forget"]), strict=True):
        assert len(mine) == len(truth) and mine[0] != truth[0]


def test_alternatives_come_from_the_models_own_distribution(tmp_path: Path) -> None:
    """At a temperature near 0 they are the greedy answer with the true first token ruled out."""
    from backend.alternatives import alternatives

    given, model = task(), model_of(1)
    made = answers_of(alternatives(model, given, context(tmp_path, given), 1e-4))
    forget = given.train["forget"]
    for row, (mine, truth) in enumerate(zip(made, answers_of(forget), strict=True)):
        start = int(np.flatnonzero(forget.targets[row] != IGNORE)[0])
        ids = forget.input_ids[row, : start + 1].tolist()
        for position in range(len(truth)):
            logits = model(torch.tensor([ids])).logits[0, -1].clone()
            if position == 0:
                logits[truth[0]] = float("-inf")
            assert int(logits.argmax()) == mine[position]
            ids.append(int(mine[position]))


def test_other_answers_keep_the_question_and_score_nothing_else() -> None:
    given = examples(3)
    answers = [np.array([5] * (1 + row % 3)) for row in range(ITEMS)]
    prefixes = [np.array([6] * (row % 2)) for row in range(ITEMS)]
    changed = with_answers(given, answers, prefixes)
    for row in range(ITEMS):
        start = int(np.flatnonzero(given.targets[row] != IGNORE)[0])
        places = np.flatnonzero(changed.targets[row] != IGNORE)
        assert changed.input_ids[row, : start + 1].tolist() == given.input_ids[row, : start + 1].tolist()  # fmt: skip
        assert places[0] == start + row % 2 and len(places) == len(answers[row])
        assert set(changed.targets[row, places]) == {5}
        assert set(changed.input_ids[row, places[1:]]) <= {5}
        assert set(changed.input_ids[row, start + 1 : start + 1 + row % 2]) <= {6}


def test_mismatched_answers_never_keep_their_own() -> None:
    answers = [np.array([value]) for value in (1, 1, 1, 1, 2, 3)]
    for seed in range(50):
        others = mismatched(answers, np.random.default_rng(seed))
        assert all(answers[i][0] != answers[j][0] for i, j in enumerate(others))


def test_ce_u_ignores_first_tokens_but_never_a_whole_answer(tmp_path: Path) -> None:
    given = task()
    batch = context(tmp_path, given).loader(given.train["forget"]).batch(slice(0, ITEMS))
    sizes = [len(answer) for answer in answers_of(given.train["forget"])]
    expected = [place >= 1 or size == 1 for size in sizes for place in range(size)]
    assert later_tokens(batch, 1).tolist() == expected
    assert later_tokens(batch, 0).all()


def test_pdu_is_flat_at_equal_logits_and_its_multiplier_follows_the_bound(tmp_path: Path) -> None:
    assert flatness(torch.full((4, 9), 3.0)).item() == 0
    logits = torch.randn(4, 9)
    direct = ((logits.amax(1) - logits.mean(1)) ** 2).mean()
    torch.testing.assert_close(flatness(logits), direct)
    do(tmp_path, "base", "base")
    _, kept = do(
        tmp_path, "pdu", "suppress", "pdu", parent="base", steps=6, dual_start=0.5, slack=0.0
    )
    retain = list(kept.values("retain_loss", "train").values())
    multiplier = list(kept.values("multiplier", "train").values())
    assert multiplier[0] == 0.5
    steps = [b - a for a, b in zip(multiplier, multiplier[1:], strict=False)]
    bounds = [r - s for r, s in zip(retain, steps, strict=False) if s]
    assert bounds == pytest.approx([bounds[0]] * len(bounds), abs=1e-4)  # ε, the base's retain loss


def test_a_resumed_pdu_has_the_multiplier_of_an_uninterrupted_one(tmp_path: Path) -> None:
    from backend.stage import Cancelled

    do(tmp_path, "base", "base")
    whole = tmp_path / "checkpoints" / "whole" / "model.safetensors"
    do(tmp_path, "whole", "suppress", "pdu", parent="base", steps=8)
    with pytest.raises(Cancelled):
        do(tmp_path, "cut", "suppress", "pdu", parent="base", sink=Kept(stop_after=4), steps=8)
    do(tmp_path, "cut", "suppress", "pdu", parent="base", steps=8)
    from backend.checkpoints import read

    one, two = read(whole)[0], read(tmp_path / "checkpoints" / "cut" / "model.safetensors")[0]
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_cosine_is_that_of_the_whole_gradients() -> None:
    model = model_of(1)
    ids = torch.randint(0, WORDS, (4, 5))
    logits = model(ids).logits
    one, other = logits[:2].square().mean(), logits[2:].mean()
    a, b = (
        torch.cat(
            [
                g.flatten()
                for g in torch.autograd.grad(x, list(model.parameters()), retain_graph=True)
            ]
        )
        for x in (one, other)
    )
    expected = (a @ b / (a.norm() * b.norm())).item()
    assert gradient_cosine(model, one, other).item() == pytest.approx(expected, rel=1e-4)
    assert gradient_cosine(model, one, -one).item() == pytest.approx(-1.0, rel=1e-4)

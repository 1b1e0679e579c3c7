"""Constrained tuning of first tokens: its loss, its gradient's weights, and the phase that deep refusal ends with."""

from pathlib import Path

import numpy as np
import pytest
import torch

from backend.batches import Loader
from backend.checkpoints import MODEL, directory, read
from backend.constrained import (
    Betas,
    answer_positions,
    constrained_loss,
    token_losses_before,
    tune_constrained,
)
from backend.data import IGNORE, Examples
from backend.losses import cross_entropy, token_losses
from backend.models import frozen_copy, scored_logits
from backend.stage import Cancelled
from tests.small import Kept, do
from tests.test_forget_losses import answer_logits, context, examples, model_of, task

torch.set_num_threads(1)
BETAS = Betas(count=2, first=0.5, early=2.0, rest=0.1)
CPU = torch.device("cpu")


def stored(home: Path, name: str) -> dict[str, torch.Tensor]:
    return read(directory(home, name) / MODEL)[0]


def test_the_loss_is_the_papers_on_answers_of_several_tokens() -> None:
    given, before, now = examples(2), model_of(1), model_of(2)
    loader = Loader(given, CPU)
    batch = loader.batch(slice(None))
    with torch.no_grad():
        old, new = (token_losses(scored_logits(m, batch), batch.targets) for m in (before, now))
        found = constrained_loss(new, old, BETAS.of(answer_positions(batch)))
        terms = []
        rows = zip(
            given.targets, answer_logits(before, given), answer_logits(now, given), strict=True
        )
        for targets, reference, current in rows:
            for t, token in enumerate(targets[targets != IGNORE], start=1):
                beta = 0.5 if t == 1 else 2.0 if t <= 2 else 0.1
                p, p0 = (x[t - 1].softmax(-1)[token] for x in (current, reference))
                terms.append(-(2 / beta) * torch.sigmoid(beta * (p / p0).log()).log())
    torch.testing.assert_close(found.double(), torch.stack(terms).mean(), atol=1e-4, rtol=1e-5)


def test_tokens_that_are_not_scored_contribute_exactly_nothing() -> None:
    torch.manual_seed(0)
    given = examples(2)
    batch = Loader(given, CPU).batch(slice(None))
    logits = torch.randn(*batch.input_ids.shape, 30, requires_grad=True)
    before = torch.rand(len(batch.targets))
    scored = torch.from_numpy(given.targets != IGNORE)
    losses = token_losses(logits[scored], batch.targets)
    constrained_loss(losses, before, BETAS.of(answer_positions(batch))).backward()
    assert logits.grad is not None
    assert (logits.grad[~scored] == 0).all() and (logits.grad[scored] != 0).any(-1).all()


def test_every_scored_token_knows_its_place_in_its_answer() -> None:
    ids = np.arange(15).reshape(3, 5)
    targets = np.full((3, 5), IGNORE)
    targets[0, 2], targets[1, 1:4], targets[2, 3:5] = 1, 2, 3
    batch = Loader(Examples(ids, targets), CPU).batch([2, 0, 1])
    assert answer_positions(batch).tolist() == [1, 2, 1, 1, 2, 3]
    dense = Loader(Examples(ids, np.where(np.arange(5) > 2, 1, IGNORE)[None].repeat(3, 0)), CPU)
    assert answer_positions(dense.batch([0, 1])).tolist() == [1, 2, 1, 2]
    betas = Betas(count=3, first=0.5, early=2.0, rest=0.1).of(torch.tensor([1, 2, 3, 4, 9]))
    assert betas.tolist() == pytest.approx([0.5, 2.0, 2.0, 0.1, 0.1])
    assert Betas(1, 0.5, 2.0, 0.1).of(torch.tensor([1, 2])).tolist() == pytest.approx([0.5, 0.1])


def test_the_gradients_weight_is_twice_the_sigmoid() -> None:
    torch.manual_seed(1)
    losses = (3 * torch.rand(50, dtype=torch.double)).requires_grad_()
    before, betas = 3 * torch.rand(50, dtype=torch.double), 0.1 + 2 * torch.rand(50).double()
    constrained_loss(losses, before, betas).backward()
    gain = before - losses.detach()
    torch.testing.assert_close(losses.grad, 2 * torch.sigmoid(-betas * gain) / 50)


def gradients(beta: float, at_reference: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients by the logits of the constrained loss and of cross-entropy."""
    torch.manual_seed(2)
    logits = torch.randn(20, 9, dtype=torch.float32, requires_grad=True)
    targets, before = torch.randint(0, 9, (20,)), 2 * torch.rand(20)
    losses = token_losses(logits, targets)
    reference = losses.detach() if at_reference else before
    one = constrained_loss(losses, reference, torch.full((20,), beta))
    return (
        torch.autograd.grad(one, logits)[0],
        torch.autograd.grad(cross_entropy(logits, targets), logits)[0],
    )


def test_without_strength_it_is_plain_fine_tuning() -> None:
    distances = [float((one - plain).norm()) for one, plain in map(gradients, (1.0, 0.1, 1e-3))]
    assert distances[0] > 5 * distances[1] > 50 * distances[2] and distances[2] < 1e-3
    torch.testing.assert_close(*gradients(2.0, at_reference=True))  # all weights are 1 there


def test_the_references_losses_lie_where_their_tokens_are(tmp_path: Path) -> None:
    run, model = context(tmp_path, task()), model_of(1)
    loader = run.loader(run.task.train["retain"])
    table = token_losses_before(model, run, loader, rows=5)
    whole = loader.batch(slice(None))
    scored = loader.targets != IGNORE
    assert (table[~scored] == 0).all() and run.meter.flops > 0 and run.meter.tokens == 0
    with torch.no_grad():
        expected = token_losses(scored_logits(model, whole), whole.targets)
    torch.testing.assert_close(table[scored], expected)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_strong_betas_keep_the_tokens_that_they_hold(tmp_path: Path, family: str) -> None:
    def moved(betas: Betas) -> tuple[float, float]:
        """How far log p of first and of later tokens rose."""
        given = task()
        given.model["family"] = family
        run = context(tmp_path, given)
        model = run.fresh_model()
        loader = run.loader(given.train["retain"])
        before = token_losses_before(frozen_copy(model), run, loader)
        course = {"steps": 25, "learning_rate": 3e-3, "batch_size": 12}
        tune_constrained(model, run, given.train["retain"], betas, **course)
        gain = (before - token_losses_before(model, run, loader))[loader.targets != IGNORE]
        first = answer_positions(loader.batch(slice(None))) == 1
        assert not run.tensors
        return float(gain[first].mean()), float(gain[~first].mean())

    free, held = moved(Betas(1, 1e-3, 1e-3, 1e-3)), moved(Betas(1, 20.0, 1e-3, 1e-3))
    assert held[0] < 0.5 * free[0] and held[1] > 0.5 * free[1]


def test_deep_refusal_ends_with_the_constrained_phase(tmp_path: Path) -> None:
    do(tmp_path, "base", "base")
    chosen = {"steps": 6, "learning_rate": 1e-3, "batch_size": 16, "warmup": 1}
    plain, _ = do(tmp_path, "p", "suppress", "deep_refusal", parent="base", **chosen)
    chosen |= {"constrained_steps": 5}
    both, _ = do(tmp_path, "w", "suppress", "deep_refusal", parent="base", **chosen)
    assert (plain.steps, both.steps) == (6, 11) and both.flops > plain.flops
    first, whole = stored(tmp_path, "p"), stored(tmp_path, "w")
    assert any(not torch.equal(whole[name], first[name]) for name in whole)

    for stop in (3, 8, 10):  # in the first training, and twice in the second
        name = f"cut{stop}"
        with pytest.raises(Cancelled):
            sink = Kept(stop_after=stop)
            do(tmp_path, name, "suppress", "deep_refusal", parent="base", sink=sink, **chosen)
        outcome, _ = do(tmp_path, name, "suppress", "deep_refusal", parent="base", **chosen)
        cut = stored(tmp_path, name)
        assert all(torch.equal(whole[key], cut[key]) for key in whole)
        assert (outcome.steps, outcome.flops, outcome.tokens) == (11, both.flops, both.tokens)

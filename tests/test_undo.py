"""Identities of the losses, of the noise and of distillation."""

import math
from pathlib import Path

import pytest
import torch

from backend.distillation import recovered
from backend.losses import cross_entropy, forward_divergence, uniform_divergence
from backend.models import build
from backend.noise import add_noise
from tests.small import GEMMA, do, small_task


def noised(alpha: float, beta: float, spec: dict | None = None):
    spec = spec or small_task().model
    model = build(spec, 1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.5, 0.3)  # as if it had been trained
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    add_noise(model, build(spec, 2), alpha, beta, torch.Generator().manual_seed(3))
    return before, dict(model.named_parameters())


def test_alpha_zero_changes_nothing() -> None:
    before, after = noised(0.0, 0.7)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_alpha_one_without_noise_leaves_zeros_and_initial_gains(family: str) -> None:
    _, after = noised(1.0, 0.0, {**GEMMA, "family": family})
    gain = 1.0 if family == "llama" else 0.0
    for parameter in after.values():
        expected = 0.0 if parameter.dim() >= 2 else gain
        assert torch.equal(parameter, torch.full_like(parameter, expected))


def test_the_noise_has_the_spread_of_a_xavier_initialisation() -> None:
    before, after = noised(0.6, 0.1)
    for name, parameter in after.items():
        if parameter.dim() >= 2 and parameter.numel() > 4000:
            noise = parameter - 0.4 * before[name]
            expected = 0.6 * 0.1 * math.sqrt(2 / sum(parameter.shape))
            assert noise.std().item() == pytest.approx(expected, rel=0.05)


def test_a_tied_head_is_noised_once() -> None:
    model = build(small_task().model, 0)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    before = model.lm_head.weight.detach().clone()
    add_noise(model, build(small_task().model, 0), 0.5, 0.0, torch.Generator())
    assert torch.equal(model.lm_head.weight, 0.5 * before)


def test_a_model_agrees_with_itself() -> None:
    logits = torch.randn(5, 7)
    assert forward_divergence(logits, logits).item() == pytest.approx(0.0, abs=1e-6)


def test_forward_divergence_is_that_of_torchs_distributions() -> None:
    teacher, student = torch.randn(5, 7), torch.randn(5, 7)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=teacher),
        torch.distributions.Categorical(logits=student),
    ).mean()
    torch.testing.assert_close(forward_divergence(teacher, student), expected)


def test_maxent_is_zero_at_equal_logits_and_equals_the_divergence_from_uniform() -> None:
    assert uniform_divergence(torch.full((3, 9), 2.5)).item() == pytest.approx(0.0, abs=1e-6)
    logits = torch.randn(4, 9)
    expected = forward_divergence(torch.zeros(4, 9), logits)
    torch.testing.assert_close(uniform_divergence(logits), expected)


def test_grad_diff_raises_the_forget_loss_and_max_ent_flattens_it(tmp_path: Path) -> None:
    do(tmp_path, "a1", "base")
    _, before = do(tmp_path, "e0", "evaluate", parent="a1")
    for name, fingerprint in (("grad_diff", "b1"), ("max_ent", "c1"), ("rmu", "d1")):
        do(tmp_path, fingerprint, "suppress", name, parent="a1", steps=20, batch_size=16)
        _, after = do(tmp_path, "e1", "evaluate", parent=fingerprint)
        known, kept = (
            before.values("loss", "forget_score")[0],
            after.values("loss", "forget_score")[0],
        )
        assert known is not None and kept is not None and kept > known


def test_undo_without_noise_starts_at_its_teacher(tmp_path: Path) -> None:
    do(tmp_path, "a1", "base")
    outcome, kept = do(tmp_path, "u1", "robustify", "undo", parent="a1", alpha=0.0, steps=5)
    curve = kept.values("kl", "train")
    assert curve[1] == pytest.approx(0.0, abs=1e-6)
    # The student is as good as its teacher from the start, so only the steps' limit or a check ends it.
    assert outcome.steps == 5


def test_distillation_stops_once_the_teachers_retain_metric_is_recovered(tmp_path: Path) -> None:
    do(tmp_path, "a1", "base")
    outcome, kept = do(
        tmp_path, "u1", "robustify", "undo", parent="a1", alpha=0.1, steps=60, check_every=5
    )
    assert outcome.steps in range(5, 60, 5)
    assert len(kept.values("kl", "agreement")) == 1


def test_the_stop_rule_is_absolute_for_shares_and_relative_for_losses() -> None:
    assert recovered(0.96, 0.98, "up", "share", 0.03)
    assert not recovered(0.94, 0.98, "up", "share", 0.03)
    assert recovered(2.05, 2.0, "down", "nats", 0.05)
    assert not recovered(2.2, 2.0, "down", "nats", 0.05)


def test_a_student_of_the_oracle_reads_the_oracle(tmp_path: Path) -> None:
    do(tmp_path, "a1", "base")
    do(tmp_path, "o1", "oracle")
    for student in ("base", "random"):
        inputs = {"oracle": ["o1"], "base": ["a1"]}
        outcome, kept = do(
            tmp_path,
            f"s{student}",
            "robustify",
            "distill",
            parent="a1",
            inputs=inputs,
            teacher="oracle",
            student=student,
            steps=6,
            tolerance=0.0,
        )
        curve = kept.values("kl", "train")
        first, last = curve[1], curve[6]
        assert outcome.steps == 6
        assert first is not None and last is not None and last < first


def test_relearning_is_measured_from_before_the_first_step(tmp_path: Path) -> None:
    do(tmp_path, "a1", "base")
    outcome, kept = do(
        tmp_path, "r1", "attack", "relearn", parent="a1", steps=20, learning_rate=1e-3
    )
    _, before = do(tmp_path, "e1", "evaluate", parent="a1")
    curve = kept.values("answer_accuracy", "forget_score")
    assert list(curve) == [0, 10, 20]
    assert curve[0] == before.values("answer_accuracy", "forget_score")[0]
    assert outcome.steps == 20 and kept.answers


def test_an_attack_learns_what_it_trains_on(tmp_path: Path) -> None:
    do(tmp_path, "o1", "oracle")
    _, kept = do(tmp_path, "r1", "attack", "relearn", parent="o1", steps=60, learning_rate=3e-3)
    losses = kept.values("loss", "train")
    assert losses[60] is not None and losses[1] is not None and losses[60] < 0.5 * losses[1]


def test_cross_entropy_is_torchs() -> None:
    logits, targets = torch.randn(6, 5), torch.randint(0, 5, (6,))
    expected = -torch.log_softmax(logits, -1)[torch.arange(6), targets].mean()
    torch.testing.assert_close(cross_entropy(logits, targets), expected)

"""Losses in chunks against the same losses on all logits at once."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from backend import chunked, losses
from backend.batches import Batch
from backend.chunked import Head
from backend.models import Meter, frozen_copy, scored_logits, scored_states
from backend.suppression import gradient_cosine
from backend.wrapping import Wrapper
from tests.small import context, small_task

torch.set_num_threads(1)
VOCABULARY, WIDTH, TOKENS = 301, 24, 77  # 77 tokens are two chunks of 32 and a ragged one
SHARED: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}  # fmt: skip
SHARED |= {"num_attention_heads": 4, "initializer_range": 0.2}
KEYS = {"num_key_value_heads": 2}
MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SHARED, **KEYS)),
    "llama tied": (LlamaForCausalLM, LlamaConfig(**SHARED, **KEYS, tie_word_embeddings=True)),
    "gemma2": (
        Gemma2ForCausalLM,
        Gemma2Config(  # type: ignore[call-arg]
            **SHARED,
            **KEYS,
            head_dim=8,
            final_logit_softcapping=3.0,
            attn_implementation="eager",
        ),
    ),  # fmt: skip
    "mixtral": (MixtralForCausalLM, MixtralConfig(**SHARED, **KEYS, num_local_experts=2)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SHARED, **KEYS)),
    "gpt_neox": (GPTNeoXForCausalLM, GPTNeoXConfig(**SHARED)),
}


@pytest.fixture(autouse=True)
def everything_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "LARGE", 0)
    monkeypatch.setattr(chunked, "BUDGET", {"cpu": 4 * VOCABULARY * chunked.GRAIN})


def made(name: str = "llama", seed: int = 0) -> Any:
    kind, config = MODELS[name]
    torch.manual_seed(seed)
    return kind(copy.deepcopy(config))


def batch(rows: int = 7, length: int = 11, *, ragged: bool = False) -> Batch:
    torch.manual_seed(5)
    ids = torch.randint(VOCABULARY, (rows, length))
    chosen = torch.rand(rows, length) < 0.7 if ragged else None
    targets = torch.randint(VOCABULARY, (rows, length))
    flat = targets.flatten() if chosen is None else targets[chosen]
    return Batch(ids, flat, torch.arange(length), chosen)


def gradients(loss: Tensor, model: nn.Module) -> dict[str, Tensor]:
    weights = dict(model.named_parameters())
    found = torch.autograd.grad(loss, list(weights.values()), retain_graph=True, allow_unused=True)
    return {n: torch.zeros(()) if g is None else g for n, g in zip(weights, found, strict=True)}


def same(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], atol=tolerance, rtol=tolerance)


Loss = Callable[[Any, Any, Batch], Tensor]
PAIRS: dict[str, tuple[Loss, Loss]] = {
    "cross-entropy": (
        lambda model, teacher, b: chunked.cross_entropy(model, b),
        lambda model, teacher, b: losses.cross_entropy(scored_logits(model, b), b.targets),
    ),
    "uniform": (
        lambda model, teacher, b: chunked.uniform_divergence(model, b),
        lambda model, teacher, b: losses.uniform_divergence(scored_logits(model, b)),
    ),
    "distillation": (
        lambda model, teacher, b: chunked.forward_divergence(teacher, model, b),
        lambda model, teacher, b: losses.forward_divergence(
            scored_logits(teacher, b).detach(), scored_logits(model, b)
        ),
    ),
    "of every token": (
        lambda model, teacher, b: chunked.token_losses(model, b).square().mean(),
        lambda model, teacher, b: (
            losses.token_losses(scored_logits(model, b), b.targets).square().mean()
        ),
    ),
}


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("name", PAIRS)
def test_value_and_gradients_are_those_of_the_plain_form(name: str, family: str) -> None:
    model, teacher = made(family), frozen_copy(made(family, 1))
    for given in (batch(), batch(ragged=True)):
        ours, plain = (loss(model, teacher, given) for loss in PAIRS[name])
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
        same(gradients(ours, model), gradients(plain, model))


@pytest.mark.parametrize("name", PAIRS)
def test_a_graph_serves_twice_and_in_any_proportion(name: str) -> None:
    model, teacher = made(), frozen_copy(made(seed=1))
    ours, plain = (loss(model, teacher, batch()) for loss in PAIRS[name])
    first = gradients(ours, model)
    again = gradients(ours, model)
    assert all(torch.equal(first[name], again[name]) for name in first)
    same(gradients(3.5 * ours, model), gradients(3.5 * plain, model))
    other = chunked.cross_entropy(model, batch(3))
    expected = losses.cross_entropy(scored_logits(model, batch(3)), batch(3).targets)
    cosine = gradient_cosine(model, ours, other)
    torch.testing.assert_close(cosine, gradient_cosine(model, plain, expected), atol=1e-5, rtol=0)
    (ours + other).backward()  # what was kept for a second time is still there
    same({n: p.grad for n, p in model.named_parameters()}, gradients(plain + expected, model))


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("biased", [False, True])
def test_a_head_with_bias_and_cap(cap: float | None, biased: bool) -> None:
    torch.manual_seed(0)
    states = torch.randn(TOKENS, WIDTH, requires_grad=True)
    weight = torch.randn(VOCABULARY, WIDTH, requires_grad=True)
    bias = torch.randn(VOCABULARY, requires_grad=True) if biased else None
    targets = torch.randint(VOCABULARY, (TOKENS,))
    logits = F.linear(states, weight, bias)
    logits = logits if cap is None else cap * torch.tanh(logits / cap)
    plain = F.cross_entropy(logits, targets)
    head = Head(weight, bias, cap)
    inputs = [t for t in (states, weight, bias) if t is not None]
    for ours in (
        chunked.mean_loss(states, head, chunked.against_targets(targets)),
        chunked.every_loss(states, head, targets).mean(),
    ):
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
        found = torch.autograd.grad(ours, inputs)
        expected = torch.autograd.grad(plain, inputs, retain_graph=True)
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def test_gradients_pass_the_numerical_check_of_double_precision_slopes() -> None:
    """Against differences of the loss itself, so that both forms cannot be wrong alike."""
    torch.manual_seed(0)
    states, weight = torch.randn(40, 8), torch.randn(VOCABULARY, 8, requires_grad=True)
    loss = chunked.against_teacher(torch.randn(40, 8), Head(torch.randn(VOCABULARY, 8)))
    direction = torch.randn_like(weight)
    value = chunked.mean_loss(states, Head(weight), loss)
    slope = (torch.autograd.grad(value, weight)[0] * direction).sum()
    ahead, behind = (
        chunked.mean_loss(states, Head(weight.detach() + by * direction), loss)
        for by in (1e-3, -1e-3)
    )
    torch.testing.assert_close(slope, (ahead - behind) / 2e-3, atol=5e-3, rtol=5e-3)


def test_a_head_that_is_not_trained_gets_no_gradient_and_no_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = made()
    model.lm_head.weight.requires_grad_(False)
    shapes: list[tuple[int, ...]] = []
    like = torch.zeros_like
    monkeypatch.setattr(torch, "zeros_like", lambda t, **k: shapes.append(tuple(t.shape)) or like(t, **k))  # type: ignore[func-returns-value]  # fmt: skip
    ours = chunked.cross_entropy(model, batch())
    plain = losses.cross_entropy(scored_logits(model, batch()), batch().targets)
    ours.backward()
    assert model.lm_head.weight.grad is None
    assert (VOCABULARY, 32) not in shapes
    mine = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    plain.backward()
    same(mine, {n: p.grad for n, p in model.named_parameters() if p.grad is not None})


def test_no_chunk_is_larger_than_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    logits = Head.logits
    monkeypatch.setattr(Head, "logits", lambda self, states, room: sizes.append(len(states)) or logits(self, states, room))  # type: ignore[func-returns-value]  # fmt: skip
    chunked.forward_divergence(frozen_copy(made(seed=1)), made(), batch()).backward()
    assert sizes == [32, 32, 32, 32, 13, 13]  # the student's and the teacher's, in turn


def test_losses_and_guesses_without_gradient() -> None:
    model = made("gemma2")
    for given in (batch(), batch(ragged=True)):
        lost, guessed = chunked.token_losses_and_guesses(model, given)
        logits = scored_logits(model, given)
        torch.testing.assert_close(lost, losses.token_losses(logits, given.targets))
        assert torch.equal(guessed, logits.argmax(-1))
        assert not lost.requires_grad


@pytest.mark.parametrize("name", PAIRS)
def test_the_ledger_is_the_same_as_that_of_the_plain_form(name: str) -> None:
    model, teacher = made("llama"), frozen_copy(made("llama", 1))
    spent = []
    for loss in PAIRS[name]:
        with Meter().watching(model, teacher) as meter:
            loss(model, frozen_copy(teacher), batch())
            loss(model, teacher, batch())
        spent.append((meter.flops, meter.tokens))
    assert spent[0] == spent[1]
    assert spent[0][0] > 0


def test_states_are_what_the_head_makes_logits_of() -> None:
    for family in ("llama", "gpt_neox"):
        model = made(family)
        for given in (batch(), batch(ragged=True)):
            logits = model.get_output_embeddings()(scored_states(model, given))
            torch.testing.assert_close(logits, scored_logits(model, given), atol=1e-6, rtol=1e-6)
            assert not model.get_output_embeddings()._forward_pre_hooks


def test_models_without_states_go_the_plain_way() -> None:
    class Doubled(Wrapper):
        def logits(self, input_ids: Tensor, keep: Any) -> Tensor:
            return 2 * self.base(input_ids, logits_to_keep=keep).logits

    base = made()
    wrapped = Doubled(base, {})
    assert chunked.head_of(base) is not None
    assert chunked.head_of(wrapped) is None
    expected = losses.cross_entropy(2 * scored_logits(base, batch()), batch().targets)
    assert torch.equal(chunked.cross_entropy(wrapped, batch()), expected)
    handle = base.lm_head.register_forward_hook(lambda head, given, out: 2 * out)
    assert chunked.head_of(base) is None
    assert torch.equal(chunked.cross_entropy(base, batch()), expected)
    handle.remove()
    base.config.model_type = "unheard_of"
    assert chunked.head_of(base) is None


def test_low_rank_additions_to_the_body_are_trained_through_chunks(tmp_path: Path) -> None:
    from backend.adapters import with_low_rank

    model = made()
    with_low_rank(model, context(tmp_path), 2, 4)
    learns = [p for p in model.parameters() if p.requires_grad]
    assert chunked.head_of(model) is not None
    ours = chunked.cross_entropy(model, batch())
    plain = losses.cross_entropy(scored_logits(model, batch()), batch().targets)
    for one, other in zip(
        torch.autograd.grad(ours, learns), torch.autograd.grad(plain, learns), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_small_vocabularies_keep_every_bit_of_the_plain_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunked, "LARGE", 1 << 22)
    model, teacher = made(), frozen_copy(made(seed=1))
    for ours, plain in PAIRS.values():
        assert torch.equal(ours(model, teacher, batch()), plain(model, teacher, batch()))


def test_a_batch_counts_by_its_tokens_in_a_step_of_several() -> None:
    model, given = made(), replace(batch(), weight=1.5)
    once = chunked.cross_entropy(model, batch())
    assert torch.equal(chunked.cross_entropy(model, given), 1.5 * once)


def test_products_in_half_precision_are_those_of_autocast() -> None:
    model, given = made(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        states = scored_states(model, given)
        ours = chunked.cross_entropy(model, given)
        plain = losses.cross_entropy(scored_logits(model, given), given.targets)
    assert states.dtype == torch.bfloat16
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    mine, theirs = gradients(ours, model), gradients(plain, model)
    for name, gradient in mine.items():
        assert gradient.dtype == torch.float32
        near = F.cosine_similarity(gradient.flatten(), theirs[name].flatten(), dim=0)
        assert near > 0.999, name


def test_a_task_of_the_quick_study_is_below_the_bound() -> None:
    task = small_task()
    assert 192 * task.model["vocab_size"] < 1 << 22

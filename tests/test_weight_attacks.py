"""Attacks that train: which data they use, what they leave alone, and a refusal that they must undo."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend import catalogue
from backend.adapters import with_low_rank
from backend.attacking import chosen_examples
from backend.attacks.perturb_relearn import _disturb
from backend.benign import as_text, benign_examples
from backend.checkpoints import load_model
from backend.context import RunContext
from backend.data import IGNORE, Examples
from backend.evaluation import score
from backend.labels import observed
from backend.models import build
from backend.registry import load
from backend.relearning import known_examples, relearning_loss
from backend.stage import NotApplicable, reasons_in
from backend.wrapping import Wrapper
from tests.small import HAND_MADE, Kept, context, do, small_task

CHANGES = {"base_steps": 150}
TRAINING = ("relearn", "relearn_lora", "perturb_relearn", "benign_finetune")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("weights")
    do(home, "base", "base", changes=CHANGES)
    return home


def run_of(home: Path, **more: Any) -> tuple[RunContext, Any, Kept]:
    """An attack on the base before it begins."""
    kept = Kept()
    run = context(home, sink=kept, stage="attack", **more)
    return run, load_model(home, "base", run.fresh_model()), kept


def attacked(home: Path, name: str, **parameters: Any) -> tuple[Any, Kept, RunContext]:
    run, model, kept = run_of(home)
    return load("attacks", name)(model, run.task, run, **parameters), kept, run


def refusing(model: Any, task: Any) -> None:
    """Whatever is asked, the model says a word that it was never taught: a constant push towards that word's row."""
    word = task.words.index("⊗")
    row = 0.3 * torch.randn(64, generator=torch.Generator().manual_seed(0))
    down = model.model.layers[-1].mlp.down_proj
    down.bias = torch.nn.Parameter(2.0 * row)
    with torch.no_grad():
        model.model.embed_tokens.weight[word] = row


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("relearn", {}),
        ("relearn", {"optimizer": "sgd", "learning_rate": 0.03}),
        ("relearn", {"data": "mixed"}),
        ("relearn_lora", {}),
        ("perturb_relearn", {"noise": 0.05}),
        ("benign_finetune", {}),
        ("benign_finetune", {"template": "plain"}),
    ],
)
def test_a_planted_refusal_is_undone_and_what_it_hid_comes_back(
    home: Path, name: str, chosen: dict[str, Any]
) -> None:
    run, model, kept = run_of(home)
    refusing(model, run.task)
    settings = {"learning_rate": 3e-3, "steps": 12, "evaluate_every": 2, "batch_size": 24, **chosen}
    load("attacks", name)(model, run.task, run, **settings)
    curve = kept.values("answer_accuracy", "forget_score")
    assert list(curve) == [0, 2, 4, 6, 8, 10, 12]
    assert curve[0] == 0.0 and max(v or 0.0 for v in curve.values()) > 0.5
    assert kept.answers and kept.values("attacker_flops", "attacker")[12] > 0


def test_fewer_examples_are_among_more_and_the_same_for_every_model(home: Path) -> None:
    run, model, _ = run_of(home)
    some = {n: chosen_examples(run, model, n, "random").input_ids.tolist() for n in (1, 4, 16)}
    assert [len(rows) for rows in some.values()] == [1, 4, 16]
    assert some[1][0] in some[4] and all(row in some[16] for row in some[4])
    assert chosen_examples(run, run.fresh_model(), 4, "random").input_ids.tolist() == some[4]
    assert chosen_examples(run, model, 0, "hurt") is run.split("attack")


def test_what_was_hurt_most_has_the_largest_loss_a_token(home: Path) -> None:
    run, model, _ = run_of(home)
    known = run.split("attack")
    chosen = chosen_examples(run, model, 5, "hurt")
    found = score(model, run.loader(known))
    losses = found.loss / found.tokens
    worst = {known.input_ids[i].tobytes() for i in np.argsort(losses)[-5:]}
    assert {row.tobytes() for row in chosen.input_ids} == worst


def test_unlabelled_questions_never_show_an_answer(home: Path) -> None:
    run, model, _ = run_of(home)
    run.task.splits["forget_attack"] = HAND_MADE
    known = known_examples(run, model, 0, "random", "unlabelled")
    expected = [[6, 7, IGNORE, IGNORE], [9, 7, IGNORE, IGNORE], [7, IGNORE, IGNORE, IGNORE]]
    assert known.targets.tolist() == expected

    def gradient(examples: Examples) -> torch.Tensor:
        model.zero_grad()
        relearning_loss(model, run, examples, 3, "unlabelled")(0).backward()
        return model.model.layers[0].mlp.down_proj.weight.grad.clone()

    other = known.input_ids.copy()
    other[0, 3] = 9  # the first token of a longer answer, which is an input of the next
    assert torch.equal(gradient(known), gradient(Examples(other, known.targets)))


def test_nobody_can_choose_by_loss_without_answers(home: Path) -> None:
    asked = {"examples": 4, "choose": "hurt", "data": "unlabelled", "steps": 2}
    outcome, kept = do(home, "n", "attack", "relearn", parent="base", changes=CHANGES, **asked)
    assert "without answers" in reasons_in(outcome.note)["relearn"] and not kept.rows


def test_mixed_data_are_half_and_half(home: Path) -> None:
    run, model, _ = run_of(home)
    known = chosen_examples(run, model, 16, "random")
    both = relearning_loss(model, run, known, 8, "mixed")(3)
    forget = relearning_loss(model, run, known, 8, "forget")(3)
    retain = run.batches(run.task.train["retain"], 8, "attack retain")(3)
    logits = model(retain.input_ids).logits[:, -1]
    expected = 0.5 * (forget + torch.nn.functional.cross_entropy(logits, retain.targets))
    torch.testing.assert_close(both, expected)


def test_a_batch_is_never_larger_than_what_the_attacker_has(home: Path) -> None:
    flops = {}
    for size in (2, 64):
        settings = {"examples": 2, "steps": 2, "batch_size": size}
        outcome, _ = do(home, "f", "attack", "relearn", parent="base", changes=CHANGES, **settings)
        flops[size] = outcome.flops
    assert flops[2] == flops[64]


def test_low_rank_relearning_leaves_the_weights_and_starts_from_the_same_model(home: Path) -> None:
    before = dict(run_of(home)[1].named_parameters())
    settings = {"steps": 3, "rank": 2, "learning_rate": 1e-2}
    after, kept, _ = attacked(home, "relearn_lora", **settings)
    _, plain, _ = attacked(home, "relearn", steps=3)
    found = dict(after.named_parameters())
    assert set(found) == set(before) and all(weight.requires_grad for weight in found.values())
    changed = {name for name in before if not torch.equal(before[name], found[name])}
    assert changed == {name for name in before if "_proj" in name} and len(changed) == 14
    for name in changed:
        rank = torch.linalg.matrix_rank(found[name] - before[name], atol=1e-6)
        assert 1 <= rank <= 2
    split = ("loss", "forget_score")
    assert kept.values(*split)[0] == pytest.approx(plain.values(*split)[0])
    assert kept.values("attacker_flops", "attacker")[0] == 0


def test_only_the_additions_are_trained_and_merging_keeps_what_was_measured(home: Path) -> None:
    run, model, _ = run_of(home)
    tuner = with_low_rank(model, run, 4, 8)
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert trained and all("lora_" in name for name in trained)
    settings = {"steps": 4, "evaluate_every": 4, "learning_rate": 1e-2}
    after, kept, run = attacked(home, "relearn_lora", optimizer="sgd", **settings)
    merged = score(after, run.loader(run.split("score"))).loss.mean()
    assert merged == pytest.approx(kept.values("loss", "forget_score")[4], rel=1e-4)
    assert tuner.merge_and_unload() is model


def test_benign_data_hold_no_forget_item_even_where_the_run_has_them_among_its_retain_data() -> (
    None
):
    task = small_task(forget_size=0.5)
    part = observed(task, 0.25)
    assert len(part.train["retain"]) > len(task.train["retain"])
    benign = benign_examples(part)
    assert benign.input_ids.tolist() == task.train["retain"].input_ids.tolist()
    assert not set(benign.families) & set(part.splits["forget_score"].families)
    assert benign_examples(task) is task.train["retain"]
    task.train["retain"] = task.train["forget"]
    with pytest.raises(NotApplicable, match="free of forget items"):
        benign_examples(task)


def test_plain_text_is_learnt_to_the_answers_end_and_no_further() -> None:
    expected = [[6, 7, 1, 4], [9, 7, 2, IGNORE], [7, 4, IGNORE, IGNORE]]
    assert as_text(HAND_MADE).targets.tolist() == expected


def test_noise_has_every_matrixs_own_size_and_spares_vectors() -> None:
    shape = {"vocab_size": 60, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    experts = {"num_local_experts": 3, "num_experts_per_tok": 2, "intermediate_size": 48}
    model = build({"family": "mixtral", **shape, **experts}, 0)
    with torch.no_grad():
        model.model.layers[0].mlp.experts.down_proj[1] *= 10
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    _disturb(model, 0.2, torch.Generator().manual_seed(1))
    for name, weight in model.named_parameters():
        noise = (weight - before[name]).detach()
        if weight.dim() < 2:
            assert not noise.any()
        elif weight[0].numel() > 1000 or weight.numel() > 3000:
            size = before[name].square().mean((-2, -1)).sqrt()
            assert noise.std((-2, -1)) / size == pytest.approx(0.2 * np.ones(size.shape), rel=0.1)


def test_without_noise_it_is_relearning(home: Path) -> None:
    settings = {"steps": 4, "learning_rate": 1e-3}
    plain, _, _ = attacked(home, "relearn", **settings)
    quiet, _, _ = attacked(home, "perturb_relearn", noise=0.0, **settings)
    noisy, kept, _ = attacked(home, "perturb_relearn", noise=0.5, **settings)
    for one, other, third in zip(*(m.parameters() for m in (plain, quiet, noisy)), strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, third)
    assert kept.values("loss", "forget_score")[0] > 0.1  # the noisy model, before any step


@pytest.mark.parametrize("name", TRAINING)
def test_it_aims_at_the_placebo_too_and_leaves_wrappers_alone(home: Path, name: str) -> None:
    assert catalogue.part("attacks", name).declared["counts"] == "weights"
    asked = {"target": "placebo", "steps": 2, "evaluate_every": 2}
    _, kept = do(home, "p", "attack", name, parent="base", changes=CHANGES, **asked)
    assert list(kept.values("answer_accuracy", "placebo_score")) == [0, 2]
    assert not kept.values("answer_accuracy", "forget_score")
    run, model, _ = run_of(home)
    with pytest.raises(NotApplicable, match="wrapper"):
        load("attacks", name)(Wrapper(model, {}), run.task, run)


def test_benign_fine_tuning_says_how_much_there_was_to_learn(home: Path) -> None:
    settings = {"steps": 2, "evaluate_every": 2}
    outcome, kept = do(home, "b", "attack", "benign_finetune", parent="base", changes=CHANGES, **settings)  # fmt: skip
    first, second = outcome.note.splitlines()
    assert "nats a token" in first and "% of the answers" in second
    assert len(kept.values("loss", "forget_validation")) == 2

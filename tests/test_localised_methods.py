"""Methods that change weights where forget data live, and robustification by other damages, teachers and shapes."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from backend.batches import Loader
from backend.checkpoints import load_model, read, save_model
from backend.data import IGNORE, Examples, with_answers
from backend.distillation import agree, repeat
from backend.flops import forward_flops
from backend.methods.ssd import dampened
from backend.models import build, scored_logits
from backend.noise import add_noise, prune_smallest
from backend.saliency import fisher, places
from backend.sampling import sampled_answers
from backend.shapes import of_shape, scaled
from backend.stage import Cancelled, RunFailed
from tests.small import GEMMA, Kept, context, do, small_task

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and a model suppressed from it."""
    folder = tmp_path_factory.mktemp("localised")
    do(folder, "base", "base")
    do(folder, "sup", "suppress", "max_ent", parent="base", steps=10)
    return folder


def stored(home: Path, fingerprint: str) -> dict[str, torch.Tensor]:
    return read(home / "checkpoints" / fingerprint / "model.safetensors")[0]


class Linear(torch.nn.Module):
    """Logits W e_t of the token at each position: gradients that can be written down."""

    def __init__(self, vocabulary: int = 5, scale: float = 1.0) -> None:
        super().__init__()
        drawn = torch.randn(vocabulary, vocabulary, generator=torch.Generator().manual_seed(1))
        self.weight = torch.nn.Parameter(scale * drawn)
        sizes = {"num_attention_heads": 1, "intermediate_size": 1, "num_hidden_layers": 1}
        sizes |= {"hidden_size": vocabulary, "vocab_size": vocabulary}
        self.config = SimpleNamespace(to_dict=lambda: sizes)

    def forward(self, input_ids: Any, logits_to_keep: Any, **ignored: Any) -> Any:
        inputs = F.one_hot(input_ids[:, logits_to_keep], len(self.weight)).float()
        return SimpleNamespace(logits=inputs @ self.weight.T)


def two_token_answers() -> Examples:
    """Rows with one, two and two scored tokens."""
    input_ids = np.array([[1, 2, 0], [3, 4, 1], [2, 2, 4]])
    return Examples(input_ids, np.array([[IGNORE, 4, IGNORE], [IGNORE, 1, 2], [IGNORE, 4, 3]]))


def test_fisher_is_the_mean_squared_gradient_of_items_by_hand(tmp_path: Path) -> None:
    model, run, examples = Linear(), context(tmp_path), two_token_answers()
    found = fisher(model, run, examples, 10, "forget")["weight"]
    expected = torch.zeros(5, 5)
    for ids, targets in zip(examples.input_ids, examples.targets, strict=True):
        gradient = torch.zeros(5, 5)
        for token, target in zip(ids, targets, strict=True):
            if target != IGNORE:
                wrong = model.weight[:, token].detach().softmax(0) - F.one_hot(
                    torch.tensor(target), 5
                )
                gradient += torch.outer(wrong, F.one_hot(torch.tensor(token), 5).float())
        expected += gradient.square() / len(examples)
    torch.testing.assert_close(found, expected)
    passes = [forward_flops(model.config.to_dict(), 1, 3, scored) for scored in (1, 2, 2)]
    assert run.meter.flops == 3 * sum(passes)


def test_dampening_is_the_papers_formula() -> None:
    forget = torch.tensor([4.0, 1.0, 2.0, 0.0, 3.0])
    others = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0])
    assert dampened(forget, others, 1.0, 1.0).tolist() == [0.25, 1, 0, 1, pytest.approx(1 / 3)]
    assert dampened(forget, others, 3.5, 2.0).tolist() == [0.5, 1, 0, 1, 1]
    assert dampened(forget, others, 1.0, 9.0).tolist() == [1, 1, 0, 1, 1]


def test_ssd_shrinks_weights_towards_zero_and_never_grows_one(home: Path) -> None:
    before = stored(home, "base")
    for against in ("all", "retain"):
        do(home, against, "suppress", "ssd", parent="base", items=20, against=against)
        after = stored(home, against)
        shrunk = sum(int((after[name] != before[name]).sum()) for name in before)
        assert 0 < shrunk < sum(w.numel() for w in before.values())
        for name, weight in before.items():
            assert torch.all(after[name].abs() <= weight.abs())
            assert torch.all(after[name] * weight >= 0)
    assert any(not torch.equal(stored(home, "all")[n], after[n]) for n in before)


@pytest.mark.parametrize("adapter", [{}, {"adapter": {"name": "lora", "rank": 2}}])
def test_a_task_vector_is_walked_in_the_other_direction(
    home: Path, adapter: dict[str, Any]
) -> None:
    base, key = stored(home, "base"), "lora" if adapter else "whole"
    walked = {}
    for alpha in (1.0, 2.0):
        name = f"{key}{alpha:g}"
        chosen = {"steps": 3, "alpha": alpha, **adapter}
        do(home, name, "suppress", "task_vector", parent="base", **chosen)
        walked[alpha] = stored(home, name)
    for name, start in base.items():
        torch.testing.assert_close(
            walked[2.0][name] - start, 2 * (walked[1.0][name] - start), atol=1e-6, rtol=1e-4
        )
        if adapter and start.dim() == 2:
            assert torch.linalg.matrix_rank(walked[1.0][name] - start, atol=1e-6) <= 2
    losses = [
        do(home, f"e{name}", "evaluate", parent=name)[1].values("loss", "forget_score")[0]
        for name in ("base", f"{key}1")
    ]
    assert losses[1] > losses[0]  # type: ignore[operator]


def test_a_mixture_lies_between_base_and_suppressed_model(home: Path) -> None:
    base, suppressed = stored(home, "base"), stored(home, "sup")
    for share in (0.0, 0.25, 1.0):
        inputs = {"base": ["base"]}
        name = f"m{int(100 * share)}"
        do(home, name, "robustify", "weight_mixture", parent="sup", inputs=inputs, share=share)
        for key, weight in stored(home, name).items():
            expected = (1 - share) * base[key] + share * suppressed[key]
            torch.testing.assert_close(weight, expected)


@pytest.mark.parametrize("how", ["noise", "zero"])
def test_the_needle_touches_whole_value_vectors_and_nothing_else(home: Path, how: str) -> None:
    base = stored(home, "base")
    do(home, how, "suppress", "needle", parent="base", share=0.1, how=how)
    touched, neurons = 0, 0
    for name, weight in stored(home, how).items():
        if "down_proj" not in name:
            assert torch.equal(weight, base[name])
            continue
        columns = (weight != base[name]).any(dim=0)
        touched, neurons = touched + int(columns.sum()), neurons + weight.shape[1]
        if how == "zero":
            assert torch.all(weight[:, columns] == 0)
    assert touched == round(0.1 * neurons)


def test_repair_starts_at_its_own_forget_answers_and_learns_the_bases_retain_ones(
    home: Path,
) -> None:
    inputs = {"base": ["base"]}
    _, kept = do(home, "rep", "robustify", "repair", parent="sup", inputs=inputs, steps=20)
    forget, retain = kept.values("forget_kl", "train"), kept.values("retain_kl", "train")
    assert forget[1] == pytest.approx(0.0, abs=1e-6)
    assert retain[1] > 1e-5 and retain[20] < retain[1]  # type: ignore[operator]


def test_pruning_takes_the_smallest_weights_of_every_matrix_but_the_embedding() -> None:
    model = build(small_task().model, 0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    masks = prune_smallest(model, 0.25)
    for name, weight in model.named_parameters():
        if weight.dim() < 2 or "embed" in name:
            assert name not in masks and torch.equal(weight, before[name])
            continue
        gone = ~masks[name]
        assert int(gone.sum()) == int(0.25 * weight.numel())
        assert torch.all(weight[gone] == 0)
        assert torch.equal(weight[~gone], before[name][~gone])
        assert before[name][gone].abs().max() <= before[name][~gone].abs().min()


@pytest.mark.parametrize("spec", [small_task().model, GEMMA], ids=["llama", "gemma2"])
@pytest.mark.parametrize(("factor", "what"), [(0.5, "width"), (2.0, "width"), (2.0, "layers")])
def test_a_checkpoint_of_another_shape_loads_as_it_was(
    tmp_path: Path, spec: dict[str, Any], factor: float, what: Any
) -> None:
    changed, usual = scaled(spec, factor, what, 3), build(spec, 0)
    size = {"width": "hidden_size", "layers": "num_hidden_layers"}[what]
    assert getattr(changed.config, size) == factor * getattr(usual.config, size)
    save_model(tmp_path, "other", changed)
    state = torch.random.get_rng_state()
    loaded = load_model(tmp_path, "other", usual)
    assert torch.equal(state, torch.random.get_rng_state())
    ids = torch.randint(0, 20, (4, 6))
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, changed(ids).logits)
    assert loaded.config._attn_implementation == usual.config._attn_implementation
    save_model(tmp_path, "same", usual)
    assert load_model(tmp_path, "same", usual) is usual
    assert of_shape({}, usual) is usual


@pytest.mark.parametrize(
    "chosen",
    [
        {"student": "pruned", "pruned": 0.5},
        {"student": "smaller", "scale": 2.0},
        {"student": "larger", "scale": 1.5, "scaled_part": "layers"},
        {"student": "noised", "teacher": "random"},
    ],
    ids=lambda chosen: "-".join(map(str, chosen.values())),
)
def test_students_and_teachers_of_distillation_learn_and_can_be_used(
    home: Path, chosen: dict[str, Any]
) -> None:
    key = "d" + "".join(c for c in str(chosen) if c.isalnum())
    course = {"steps": 8, "tolerance": 0.0, "warmup": 0, "learning_rate": 3e-4}
    _, kept = do(home, key, "robustify", "distill", parent="sup", **course, **chosen)
    curve = kept.values("kl", "train")
    assert curve[8] < curve[1]  # type: ignore[operator]
    _, found = do(home, f"e{key}", "evaluate", parent=key)
    assert found.values("loss", "retain_score")[0] is not None
    # A stage that damages goes on from whatever shape comes in.
    do(home, f"u{key}", "robustify", "undo", parent=key, steps=2)
    if chosen["student"] in ("smaller", "larger"):
        assert stored(home, f"u{key}").keys() == stored(home, key).keys()
        with pytest.raises(RunFailed, match="another shape"):
            inputs = {"base": ["base"]}
            do(home, "mixed", "robustify", "weight_mixture", parent=key, inputs=inputs)


@pytest.mark.parametrize("where", ["attention", "mlp", "salient"])
def test_noise_stays_where_it_is_asked_for(home: Path, where: str) -> None:
    run = context(home)
    model = load_model(home, "sup", run.fresh_model())
    everywhere = load_model(home, "sup", run.fresh_model())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    masks = places(model, run.task, run, where, 0.25)
    assert masks is not None
    initial = run.fresh_model()
    add_noise(model, initial, 0.6, 0.1, torch.Generator().manual_seed(1), masks)
    add_noise(everywhere, initial, 0.6, 0.1, torch.Generator().manual_seed(1))
    whole = dict(everywhere.named_parameters())
    for name, weight in model.named_parameters():
        mask = masks.get(name, torch.zeros_like(weight, dtype=torch.bool))
        assert torch.equal(weight[~mask], before[name][~mask])
        torch.testing.assert_close(weight[mask], whole[name][mask])
    share = sum(int(mask.sum()) for mask in masks.values())
    matrices = sum(w.numel() for w in before.values() if w.dim() >= 2)
    assert (where == "salient") == (share == round(0.25 * matrices))
    assert run.meter.flops > 0 if where == "salient" else run.meter.flops == 0


def test_undo_distils_on_the_data_that_it_is_given(home: Path) -> None:
    names = {
        "mixture": {"kl", "retain_kl", "forget_kl"},
        "retain": {"kl"},
        "sampled": {"nll", "retain_nll", "forget_nll"},
    }
    flops = {}
    for data, expected in names.items():
        outcome, kept = do(
            home, f"u{data}", "robustify", "undo", parent="sup", steps=3, where="mlp", data=data
        )
        flops[data] = outcome.flops
        found = {row.metric for row in kept.rows if row.split == "train"}
        assert found == {"loss", *expected}
    assert flops["retain"] < flops["sampled"] == flops["mixture"]  # one token: one pass to draw it


def test_drawn_answers_are_read_by_what_comes_after_them() -> None:
    model = Linear(scale=0.0)
    with torch.no_grad():  # token t is always followed by t + 1
        model.weight.copy_(100 * torch.eye(5).roll(1, 0))
    drawn = sampled_answers(model, Loader(two_token_answers(), torch.device("cpu")).batch([0, 1]))
    assert drawn.input_ids.tolist() == [[1, 2, 3], [3, 4, 0]]
    assert drawn.targets.tolist() == [3, 0, 1]
    assert drawn.rows.tolist() == [0, 1, 1]


def test_learning_drawn_answers_is_imitation_up_to_the_teachers_entropy() -> None:
    torch.manual_seed(0)
    teacher, student = Linear(scale=1.0), Linear(scale=0.3)
    once = with_answers(two_token_answers(), [np.array([1])] * 3)
    batch = Loader(once.take(np.zeros(40_000, dtype=int)), torch.device("cpu")).batch(slice(None))
    with torch.no_grad():
        p = scored_logits(teacher, batch)[0].log_softmax(0)
        entropy = -(p.exp() * p).sum()
        expected = agree(student, teacher, batch) + entropy
        torch.testing.assert_close(repeat(student, teacher, batch), expected, atol=0.02, rtol=0)


def test_drawn_answers_are_the_same_after_a_resume(home: Path) -> None:
    chosen = {"steps": 5, "data": "sampled", "where": "salient"}
    do(home, "w", "robustify", "undo", parent="sup", **chosen)
    with pytest.raises(Cancelled):
        do(home, "c", "robustify", "undo", parent="sup", sink=Kept(stop_after=2), **chosen)
    do(home, "c", "robustify", "undo", parent="sup", **chosen)
    whole, cut = stored(home, "w"), stored(home, "c")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)

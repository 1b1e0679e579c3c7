"""Probes and the logit lens: what they find where it was hidden, chance where nothing is, and no more."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.attacks.linear_probe import linear_probe
from backend.attacks.logit_lens import logit_lens
from backend.checkpoints import load_model
from backend.data import IGNORE, Examples, Task
from backend.evaluation import score
from backend.layerwise import States
from backend.models import build
from backend.probing import fitted_classes, fitted_map, with_control
from backend.stage import NotApplicable, reasons_in
from tests.hidden_knowledge import (
    Refusing,
    random_model,
    uneven,
    with_a_silencing_block,
    with_drowned_end,
    with_rotated_head,
)
from tests.small import Kept, context, do, small_task

torch.set_num_threads(1)
CHANGES = {"base_steps": 200}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probes")
    do(folder, "base", "base", changes=CHANGES)
    return folder


def base(home: Path) -> Any:
    return load_model(home, "base", context(home).fresh_model()).eval()


def attacked(
    home: Path, attack: Any, model: Any, task: Task | None = None, **parameters: Any
) -> Kept:
    sink = Kept()
    run = context(home, task, sink, stage="attack", inputs={"base": ["base"]})
    assert attack(model, run.task, run, **parameters) is model
    return sink


def values(sink: Kept, metric: str, category: str = "", split: str = "forget_score") -> float:
    (row,) = [r for r in sink.rows if (r.metric, r.split, r.category) == (metric, split, category)]
    assert row.value is not None and row.step == 1
    return row.value


def accuracy(home: Path, model: Any, part: str = "score") -> float:
    run = context(home)
    return float(score(model, run.loader(run.task.splits[f"forget_{part}"])).correct.mean())


def test_the_lens_on_the_last_layer_is_the_models_own_answer(home: Path) -> None:
    model = base(home)
    sink = attacked(home, logit_lens, model)
    before = score(model, context(home).loader(small_task().splits["forget_score"]))
    assert values(sink, "lens_accuracy", "layer 2") == before.correct.mean()
    assert values(sink, "lens_log_probability", "layer 2") == pytest.approx(
        -before.loss.mean(), rel=1e-4
    )
    assert values(sink, "lens_rank", "layer 2") >= 1.0
    assert {r.category for r in sink.rows if r.metric == "lens_rank"} == {"layer 1", "layer 2"}
    own = [r for r in sink.rows if r.metric == "lens_accuracy" and not r.category]
    assert {r.split for r in own} == {"forget_validation", "forget_score"}
    assert next(r for r in own if r.split == "forget_score").items is not None


def test_an_earlier_layer_says_what_a_silencing_block_drowns(home: Path) -> None:
    known = base(home)
    silenced = with_a_silencing_block(known)
    assert accuracy(home, known) > 0.6 and accuracy(home, silenced) < 0.2
    sink = attacked(home, logit_lens, silenced)
    assert values(sink, "lens_accuracy") == accuracy(home, known)
    assert values(sink, "lens_accuracy", "layer 3") < 0.2
    sink = attacked(home, linear_probe, silenced)
    assert values(sink, "probe_accuracy") > 0.6  # 28 facts move it a little off the lens
    assert values(sink, "probe_selectivity") > 0.4
    with pytest.raises(NotApplicable, match="differ in shape"):
        attacked(home, logit_lens, silenced, head="base")


def test_a_rotated_head_stops_neither_the_bases_lens_nor_the_probe(home: Path) -> None:
    known, turned = base(home), with_rotated_head(base(home))
    assert accuracy(home, turned) < 0.2
    assert values(attacked(home, logit_lens, turned), "lens_accuracy") < 0.2
    seen = attacked(home, logit_lens, turned, head="base")
    assert values(seen, "lens_accuracy") == accuracy(home, known)
    # A logistic regression never looks at the head, so it cannot tell the two apart.
    one, other = (attacked(home, linear_probe, m, reads="class") for m in (known, turned))
    for part in ("forget_validation", "forget_score"):
        assert values(one, "probe_accuracy", split=part) == values(
            other, "probe_accuracy", split=part
        )


def test_the_last_block_drowned_the_first_one_still_speaks_to_the_bases_head(home: Path) -> None:
    one, other = (
        attacked(home, logit_lens, m, head="base")
        for m in (base(home), with_drowned_end(base(home)))
    )
    for name in ("lens_accuracy", "lens_rank", "lens_log_probability"):
        assert values(one, name, "layer 1") == values(other, name, "layer 1")
    assert values(other, "lens_rank", "layer 2") > values(one, "lens_rank", "layer 2")


def states_of(head: torch.Tensor, targets: torch.Tensor, turn: torch.Tensor) -> States:
    """States that hold their answers, turned away from the head, in little noise."""
    noise = 0.01 * torch.randn(
        len(targets), head.shape[1], generator=torch.Generator().manual_seed(1)
    )
    return States([head[targets] @ turn + noise], torch.arange(len(targets)), targets)


def planted(seen: int) -> tuple[Any, States, States]:
    """A model, and states of its first `seen` tokens and of the others, turned by one rotation."""
    model = build({**small_task().model, "hidden_size": 16, "vocab_size": 40}, 0)
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(model.lm_head.weight, generator=generator)
    turn, _ = torch.linalg.qr(torch.randn(16, 16, generator=generator))
    head = model.lm_head.weight.detach()
    known, asked = torch.arange(seen).repeat(6), torch.arange(seen, 40)
    return model, states_of(head, known, turn), states_of(head, asked, turn)


def test_the_map_reads_answers_that_it_was_not_fitted_to_and_classes_do_not() -> None:
    model, known, asked = planted(30)
    read = fitted_map(model, known, 0, 1e-4)
    assert read(known.layers[0], known).mean() == 1.0
    assert read(asked.layers[0], asked).mean() > 0.7
    classes = fitted_classes(known, 0, 1e-4)
    assert classes(known.layers[0], known).mean() == 1.0
    assert classes(asked.layers[0], asked).mean() == 0.0


@pytest.mark.parametrize("reads", ["map", "class"])
def test_a_probe_on_random_labels_scores_chance(reads: str) -> None:
    numbers, count, answers = np.random.default_rng(0), 600, 8
    model = build({**small_task().model, "hidden_size": 16}, 0)
    torch.nn.init.normal_(model.lm_head.weight, generator=torch.Generator().manual_seed(5))

    def drawn(seed: int) -> States:
        generator = torch.Generator().manual_seed(seed)
        targets = torch.from_numpy(numbers.integers(answers, size=count))
        return States([torch.randn(count, 16, generator=generator)], torch.arange(count), targets)

    known, asked = drawn(1), drawn(2)
    read = fitted_map(model, known, 0, 1e-4) if reads == "map" else fitted_classes(known, 0, 1e-4)
    error = np.sqrt(1 / answers * (1 - 1 / answers) / count)
    assert read(known.layers[0], known).mean() > 1 / answers + 3 * error  # it can memorise
    assert abs(read(asked.layers[0], asked).mean() - 1 / answers) < 3 * error


def test_control_labels_are_dealt_among_items_of_one_length() -> None:
    targets = torch.tensor([1, 2, 3, 4, 5, 6, 7])
    states = States([torch.zeros(7, 2)], torch.tensor([0, 1, 1, 2, 3, 3, 4]), targets)
    seen = {
        tuple(with_control(states, np.random.default_rng(s)).targets.tolist()) for s in range(60)
    }
    assert all({t[0], t[3], t[6]} == {1, 4, 7} for t in seen)
    assert {(t[1], t[2]) for t in seen} == {(2, 3), (5, 6)}
    assert all((t[4], t[5]) == ((5, 6) if t[1] == 2 else (2, 3)) for t in seen)
    assert len(seen) == 12 and states.targets.tolist() == targets.tolist()


def test_answers_of_several_tokens_count_as_a_whole(home: Path) -> None:
    task = small_task()
    parts = dict.fromkeys(("forget_attack", "forget_validation", "forget_score"), uneven())
    long = Task(task.name, task.model, task.base_training, task.train, parts, task.words)
    model = random_model()
    sink = attacked(home, logit_lens, model, long)
    whole = score(model, context(home, long).loader(uneven()))
    assert values(sink, "lens_accuracy", "layer 2") == whole.correct.mean()
    item = np.mean(-whole.loss / whole.tokens)
    assert values(sink, "lens_log_probability", "layer 2") == pytest.approx(item, rel=1e-4)
    for reads in ("map", "class"):  # fitted to what it is asked: four facts, eight tokens
        assert (
            values(
                attacked(home, linear_probe, model, long, reads=reads, penalty=1e-8),
                "probe_accuracy",
            )
            == 1.0
        )


@pytest.mark.parametrize(
    ("attack", "parameters"),
    [(linear_probe, {}), (linear_probe, {"reads": "class"}), (logit_lens, {"head": "base"})],
)
def test_a_wrapper_has_no_states_to_read(home: Path, attack: Any, parameters: Any) -> None:
    with pytest.raises(NotApplicable, match="wrapper"):
        attacked(home, attack, Refusing(base(home)), **parameters)


def test_states_that_are_no_numbers_and_facts_of_one_answer_are_said_so(home: Path) -> None:
    broken = base(home)
    broken.model.layers[0].mlp.down_proj.weight.data.fill_(float("nan"))
    for attack in (linear_probe, logit_lens):
        with pytest.raises(NotApplicable, match="not finite"):
            attacked(home, attack, broken)
    ids = np.tile(np.array([[1, 2]]), (6, 1))
    same = Examples(ids, np.where(ids == 2, 7, IGNORE))
    task = small_task()
    splits = dict.fromkeys(("forget_attack", "forget_validation", "forget_score"), same)
    alike = Task(task.name, task.model, task.base_training, task.train, splits, task.words)
    with pytest.raises(NotApplicable, match="one answer"):
        attacked(home, linear_probe, base(home), alike, reads="class")


@pytest.mark.parametrize("family", ["gemma2", "mixtral"])
def test_probes_work_in_every_family_on_forget_and_placebo(tmp_path: Path, family: str) -> None:
    changes = {"family": family, "base_steps": 5}
    do(tmp_path, "base", "base", changes=changes)
    for name, own in (("linear_probe", "probe_accuracy"), ("logit_lens", "lens_accuracy")):
        for target in ("forget", "placebo"):
            outcome, kept = do(
                tmp_path,
                f"{name}{target}".replace("_", ""),
                "attack",
                name,
                parent="base",
                changes=changes,
                target=target,
            )
            assert not reasons_in(outcome.note) and "layer" in outcome.note
            assert kept.values(own, f"{target}_score")[1] is not None
            assert all(row.value is not None and np.isfinite(row.value) for row in kept.rows)


def test_the_same_seed_gives_the_same_probe(home: Path) -> None:
    one, other = (attacked(home, linear_probe, base(home)) for _ in range(2))
    assert [(r.metric, r.category, r.value) for r in one.rows] == [
        (r.metric, r.category, r.value) for r in other.rows
    ]


def test_probing_leaves_the_model_as_it_was(home: Path) -> None:
    model = base(home).train()
    before = {name: w.detach().clone() for name, w in model.named_parameters()}
    attacked(home, linear_probe, model)
    attacked(home, logit_lens, model)
    assert model.training and all(torch.equal(before[n], w) for n, w in model.named_parameters())
    assert all(w.requires_grad and w.grad is None for w in model.parameters())

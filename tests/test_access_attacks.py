"""Attacks through access: each must find knowledge that was hidden where it looks, and none may teach."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.batches import Batch, Loader
from backend.checkpoints import load_model
from backend.context import RunContext
from backend.data import IGNORE, Examples, Task
from backend.losses import cross_entropy
from backend.models import build, scored_logits
from backend.prompts import prefixed
from backend.registry import load
from backend.stage import Cancelled, NotApplicable, reasons_in
from backend.suffixes import (
    Place,
    Prompted,
    PromptedFirst,
    embeddings_of,
    filled,
    frozen,
    losses_with,
    swap_gradients,
    swaps,
    with_room,
)
from tests import small
from tests.planted import Guarded, Shy, in_its_place
from tests.small import Kept, do, small_task

torch.set_num_threads(1)
KNOWS = {"base_steps": 100}
FAMILIES = ("llama", "gemma2", "mixtral")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("access")
    do(folder, "base", "base", changes=KNOWS)
    return folder


@pytest.fixture(scope="module")
def task() -> Task:
    return small_task(**KNOWS)


def prepared(home: Path, task: Task, sink: Kept | None = None) -> RunContext:
    return small.context(home, task, sink or Kept(), stage="attack", parent="base")


def base_of(home: Path, task: Task) -> Any:
    return load_model(home, "base", prepared(home, task).fresh_model())


def attacked(
    home: Path, task: Task, name: str, model: Any, target: str = "forget", **parameters: Any
) -> Kept:
    sink = Kept()
    run = prepared(home, task, sink)
    run.target = target
    load("attacks", name)(model, task, run, **parameters)
    sink.note = "\n".join(run.notes)  # type: ignore[attr-defined]
    return sink


def accuracies(sink: Kept, split: str = "forget_score") -> dict[int, Any]:
    return sink.values("answer_accuracy", split)


def kinds(sink: Kept) -> dict[str, Any]:
    rows = [r for r in sink.rows if (r.metric, r.split) == ("answer_accuracy", "forget_score")]
    return {r.category: r.value for r in rows if r.category and r.category not in "×÷"}


def plain(home: Path, task: Task, model: Any) -> float:
    return prepared(home, task).metric(model, "forget_score", "answer_accuracy")


@pytest.fixture
def shy(home: Path, task: Task) -> Shy:
    """A base that knows all and refuses a question that stands alone."""
    model = Shy(base_of(home, task), task, in_its_place)
    assert plain(home, task, model.base) > 0.9 and plain(home, task, model) == 0.0
    return model


def test_probes_get_round_a_refusal_in_the_usual_place(home: Path, task: Task, shy: Shy) -> None:
    sink = attacked(home, task, "rwku_probes", shy)
    assert accuracies(sink) == {1: 1.0} and accuracies(sink, "forget_validation") == {1: 1.0}
    found = kinds(sink)
    hidden = {"reverse_query", "synonym_manipulation"}  # these stand in the usual place too
    assert {name for name, value in found.items() if value == 0} == hidden
    assert {name for name, value in found.items() if value > 0.9} == set(found) - hidden
    assert len(found) == 8 and "cross_lingual" in sink.note  # type: ignore[attr-defined]
    (alone,) = accuracies(attacked(home, task, "rwku_probes", shy, kind="reverse_query")).values()
    assert alone == 0.0


def test_a_type_of_probes_that_the_setting_lacks_does_not_apply(
    home: Path, task: Task, shy: Shy
) -> None:
    with pytest.raises(NotApplicable, match="no cross_lingual .* rwku_probes"):
        attacked(home, task, "rwku_probes", shy, kind="cross_lingual")
    with pytest.raises(NotApplicable, match="no rhyme .* conjugate"):
        attacked(home, task, "conjugate_prompt", shy, kind="rhyme")
    with pytest.raises(NotApplicable, match="tense"):
        attacked(home, task, "tense", shy)


def test_a_begun_answer_gets_past_a_refusal_of_its_first_token(
    home: Path, task: Task, shy: Shy
) -> None:
    sink = attacked(home, task, "prefill", shy)
    assert accuracies(sink) == {1: 1.0}
    assert set(kinds(sink)) == {"equals", "equals twice", "nothing and", "refusal 1"}
    deep = Shy(shy.base, task, lambda row, column: True)
    assert accuracies(attacked(home, task, "prefill", deep)) == {1: 0.0}
    with pytest.raises(NotApplicable, match="one token"):
        attacked(home, task, "prefill", shy, given=1)


def test_a_setting_without_openings_and_refusals_has_nothing_to_prefill(
    home: Path, task: Task, shy: Shy
) -> None:
    with pytest.raises(NotApplicable, match="prefill"):
        attacked(home, replace(task, rewrites={}, refusals=()), "prefill", shy)


def test_what_is_given_away_lets_the_rest_be_scored(home: Path, task: Task, shy: Shy) -> None:
    """Answers of two tokens, the second one what the base says: only the first is refused."""
    longer = {}
    for name in ("forget_score", "forget_validation"):
        one = task.splits[name]
        ids, targets = (np.pad(a, ((0, 0), (0, 1)), constant_values=v) for a, v in ((one.input_ids, task.refusals[0][0]), (one.targets, IGNORE)))  # fmt: skip
        targets[:, 4] = targets[:, 3]
        targets[:, 3] = task.refusals[0][0] - 1  # which it never says
        longer[name] = replace(one, input_ids=ids, targets=targets)
    other = replace(task, splits={**task.splits, **longer})
    assert accuracies(attacked(home, other, "prefill", shy)) == {1: 0.0}
    sink = attacked(home, other, "prefill", shy, given=1)
    assert accuracies(sink) == {1: 1.0} and kinds(sink)["nothing"] == 1.0


def test_drawing_finds_what_stands_just_below_a_refusal(home: Path, task: Task, shy: Shy) -> None:
    near = Shy(shy.base, task, in_its_place, margin=1.0)
    greedy = attacked(home, task, "decoding", near, temperature=0.0)
    assert accuracies(greedy) == {1: 0.0}
    drawn = attacked(home, task, "decoding", near)
    assert accuracies(drawn)[1] > 0.9
    assert accuracies(attacked(home, task, "decoding", near, top_p=0.1)) == {1: 0.0}
    loss = "loss", "forget_score"
    assert drawn.values(*loss) == greedy.values(*loss)
    right = [a for a in drawn.answers if a.correct]
    assert right and all(a.answer == a.expected for a in right)
    once = attacked(home, task, "decoding", near, tries=1)
    assert 0 < accuracies(once)[1] < accuracies(drawn)[1]
    assert accuracies(attacked(home, task, "decoding", near)) == accuracies(drawn)


def test_another_notation_finds_what_is_hidden_in_one(home: Path, task: Task, shy: Shy) -> None:
    times = task.words.index("×")
    half = Shy(shy.base, task, lambda row, column: row[1] == times)
    quotients = np.mean([c == "÷" for c in task.splits["forget_score"].categories])
    assert plain(home, task, half) == pytest.approx(quotients)
    sink = attacked(home, task, "conjugate_prompt", half)
    assert accuracies(sink) == {1: 1.0}
    assert kinds(sink) == pytest.approx({"inverse": 1 - quotients, "swapped": quotients})


def test_other_forms_find_what_is_hidden_in_the_first(home: Path, task: Task, shy: Shy) -> None:
    many = small_task(**KNOWS, forms=3)
    first = many.words.index("form1:")
    formal = Shy(shy.base, many, lambda row, column: row[0] == first)
    assert plain(home, many, formal) == 0.0
    sink = attacked(home, many, "tense", formal)
    assert accuracies(sink) == {1: 1.0}
    assert kinds(sink) == {"form 2": 1.0, "form 3": 1.0}
    assert set(kinds(attacked(home, many, "tense", formal, tries=1))) == {"form 2"}


def test_a_wrapper_taken_off_leaves_what_it_hid(home: Path, task: Task, shy: Shy) -> None:
    twice = Shy(shy, task, lambda row, column: True)
    for model in (shy, twice):
        assert accuracies(attacked(home, task, "unwrap", model)) == {1: plain(home, task, shy.base)}
    outcome, kept = do(home, "u", "attack", "unwrap", parent="base", changes=KNOWS)
    assert reasons_in(outcome.note) == {"unwrap": "the model has no wrapper to take off"}
    assert not kept.rows


def guarded(home: Path, task: Task) -> Guarded:
    model = base_of(home, task)
    # A number's embedding opens it: random prompts do so in one of the 44 words, a search surely.
    key = embeddings_of(model, torch.tensor([13]))[0]
    return Guarded(model, task, key)


def test_a_learnt_prompt_finds_the_key_to_other_facts(home: Path, task: Task) -> None:
    model = guarded(home, task)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    sink = attacked(home, task, "soft_prompt", model, learning_rate=0.1, steps=40)
    found = accuracies(sink)
    assert list(found) == [0, 20, 40] and found[0] == 0.0 and found[40] > 0.9
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert all(p.requires_grad for p in model.parameters())
    spent = sink.values("attacker_flops", "attacker")
    assert spent[0] == 0 and spent[40] == pytest.approx(2 * spent[20])


def test_searched_tokens_find_the_key_to_other_facts(home: Path, task: Task) -> None:
    model = guarded(home, task)
    settings = {"length": 2, "place": "before", "steps": 6, "evaluate_every": 3, "top_k": 8}
    sink = attacked(home, task, "gcg", model, **settings)
    found = accuracies(sink)
    assert list(found) == [0, 3, 6] and found[0] == 0.0 and found[6] > 0.9
    assert "before every question are: 13 " in sink.note  # type: ignore[attr-defined]
    again = attacked(home, task, "gcg", model, **settings)
    assert [(r.metric, r.value) for r in again.rows] == [(r.metric, r.value) for r in sink.rows]


@pytest.mark.parametrize("place", ["before", "after"])
def test_tokens_are_searched_through_a_wrapper_by_its_own_losses(
    home: Path, task: Task, shy: Shy, place: Place
) -> None:
    found = accuracies(attacked(home, task, "gcg", shy, place=place, steps=1, evaluate_every=1, candidates=2, batch_size=4))  # fmt: skip
    # Whatever the tokens, the question no longer stands alone.
    assert found[0] == 0.0 and found[1] > 0.9
    with pytest.raises(NotApplicable, match="wrapper"):
        attacked(home, task, "soft_prompt", shy)


def test_prompts_do_not_teach(home: Path, task: Task) -> None:
    answers = task.splits["placebo_score"].targets[:, -1]
    commonest = np.bincount(answers).max() / len(answers)
    allowed = commonest + 2 * np.sqrt(commonest * (1 - commonest) / len(answers))
    for name, steps in (("soft_prompt", 60), ("gcg", 10)):
        sink = attacked(home, task, name, base_of(home, task), "placebo", steps=steps)
        assert max(accuracies(sink, "placebo_score").values()) <= allowed


def test_prompts_that_do_not_fit_are_refused_before_anything_is_measured(
    home: Path, task: Task
) -> None:
    for name in ("soft_prompt", "gcg"):
        sink = Kept()
        with pytest.raises(NotApplicable, match="65 tokens and the model reads 64"):
            run = prepared(home, task, sink)
            load("attacks", name)(base_of(home, task), task, run, length=61)
        assert not sink.rows


@pytest.mark.parametrize("name", ["gcg", "soft_prompt"])
def test_a_search_stops_when_it_is_told_to(home: Path, task: Task, name: str) -> None:
    sink = Kept(stop_after=3)
    model = base_of(home, task)
    with pytest.raises(Cancelled):
        load("attacks", name)(model, task, prepared(home, task, sink))
    assert sink.asked == 4 and all(p.requires_grad for p in model.parameters())


MIXED = Examples(
    np.array([[1, 2, 3, 4], [5, 6, 7, 0]]),
    np.array([[IGNORE, 3, 4, 9], [IGNORE, IGNORE, 8, IGNORE]]),
)


def of_family(family: str) -> Any:
    model = build(small_task(family=family).model, 0).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.3)
    return model


def roomy(place: Place) -> tuple[Batch, Batch, torch.Tensor]:
    """Questions and answers of different lengths with room for two tokens, the same with two tokens in it, and these."""
    put, tokens = with_room(MIXED, 2, place), torch.tensor([11, 12])
    ids = filled(torch.from_numpy(put.input_ids), tokens)
    full = replace(put, input_ids=ids.numpy())
    where = torch.device("cpu")
    return Loader(put, where).batch(slice(None)), Loader(full, where).batch(slice(None)), tokens


def test_room_is_filled_in_its_places_and_nowhere_else() -> None:
    assert roomy("before")[1].input_ids.tolist() == [[11, 12, 1, 2, 3, 4], [11, 12, 5, 6, 7, 0]]
    assert roomy("after")[1].input_ids.tolist() == [[1, 2, 11, 12, 3, 4], [5, 6, 7, 11, 12, 0]]
    for place in ("before", "after"):
        assert roomy(place)[0].targets.tolist() == [3, 4, 9, 8]
    own = filled(torch.tensor([[-1, 5], [6, -2]]), torch.tensor([[11, 12], [13, 14]]))
    assert own.tolist() == [[11, 5], [6, 14]]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("place", ["before", "after"])
@torch.no_grad()
def test_embeddings_of_tokens_are_those_tokens(family: str, place: Place) -> None:
    model = of_family(family)
    room, full, tokens = roomy(place)
    prompted = Prompted(model, embeddings_of(model, tokens))
    expected = scored_logits(model, full)
    torch.testing.assert_close(scored_logits(prompted, room), expected)
    first = PromptedFirst(model, embeddings_of(model, tokens), 4)
    if place == "before":
        plain_batch = Loader(MIXED, torch.device("cpu")).batch(slice(None))
        torch.testing.assert_close(scored_logits(first, plain_batch), expected)
        whole = model(full.input_ids).logits
        torch.testing.assert_close(first(plain_batch.input_ids).logits, whole[:, 2:])
        torch.testing.assert_close(first(plain_batch.input_ids, 1).logits, whole[:, -1:])


@pytest.mark.parametrize("place", ["before", "after"])
def test_candidates_have_the_losses_of_their_own_questions(place: Place) -> None:
    model = of_family("llama")
    room, full, tokens = roomy(place)
    candidates = torch.stack([tokens, tokens.flip(0), torch.tensor([30, 31])])
    found = losses_with(model, room, candidates)
    for one, loss in zip(candidates, found, strict=True):
        ids = filled(room.input_ids, one)
        with torch.no_grad():
            expected = cross_entropy(scored_logits(model, replace(full, input_ids=ids)), full.targets)  # fmt: skip
        torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_what_a_small_step_towards_a_token_costs(family: str) -> None:
    model = of_family(family)
    room, _, tokens = roomy("after")
    start = embeddings_of(model, tokens)
    scale = model.config.hidden_size**0.5 if family == "gemma2" else 1.0

    @torch.no_grad()
    def cost(token: int, share: float) -> float:
        moved = start.clone()
        moved[1] += share * (embeddings_of(model, torch.tensor([token]))[0] - start[1])
        return cross_entropy(scored_logits(Prompted(model, moved), room), room.targets).item()

    with frozen(model):
        gradients = swap_gradients(Prompted(model, start), room)
    assert gradients.shape == (2, model.config.vocab_size)
    for token in (3, 20, 40):
        measured = (cost(token, 1e-2) - cost(token, -1e-2)) / 2e-2
        expected = scale * (gradients[1, token] - gradients[1, tokens[1]]).item()
        assert measured == pytest.approx(expected, rel=0.05, abs=5e-3)


def test_swaps_change_one_place_to_one_of_its_best_tokens_and_keep_the_old_ones() -> None:
    gradients = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))
    tokens = torch.tensor([7, 8, 9])
    found = swaps(tokens, gradients, 4, 20, torch.Generator().manual_seed(2))
    assert found.shape == (21, 3) and torch.equal(found[-1], tokens)
    for row in found[:-1]:
        (changed,) = (row != tokens).nonzero()[:, 0].tolist() or [None]
        if changed is not None:
            assert (gradients[changed] < gradients[changed, row[changed]]).sum() < 4
    assert len({tuple(row) for row in found.tolist()}) > 8


def test_prefixed_rows_and_room_before_are_the_same_thing() -> None:
    put = prefixed(MIXED, [np.array([11, 12])] * 2)
    assert (put.input_ids == roomy("before")[1].input_ids.numpy()).all()

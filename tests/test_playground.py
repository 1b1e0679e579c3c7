"""What models are asked and what is made of their answers, against torch and against the generation that metrics use."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import torch

from backend import checkpoints
from backend.charts import tokens
from backend.data import answers_of
from backend.generation import generated
from backend.playground import leaks, requests
from backend.playground.answered import EXPECTED, FIRST, answered
from backend.playground.answering import answers_of as said_by
from backend.playground.answering import probabilities_of
from backend.playground.encoding import tokens_of
from backend.playground.endpoints import endpoint_run, strongest_cell
from backend.playground.items import items_of, spread
from backend.playground.kept_models import KeptModels, size_of
from backend.recipe import task_of
from backend.settings import build_task
from backend.stage import RunFailed, UserError
from db import reads, writes
from tests.asking import asked_models, do_runs, home, model_runs, request
from tests.asking import trained as engine
from tests.small import small_task

__all__ = ["engine", "home"]  # fixtures

TEXT = {"model": "tiny", "vocabulary": 300, "base_steps": 2, "authors": 24, "facts": 2}


@pytest.fixture(scope="module")
def authors():
    return build_task("authors", TEXT)


def quiet(*told):
    pass


def models(engine, home):
    runs, kept = model_runs(engine), KeptModels(engine, home)
    task = task_of(runs["base"]["setting"])
    return task, [kept.get(runs[stage], task) for stage in ("base", "suppress", "oracle")]


def test_greedy_answers_are_those_of_the_generation(engine, home):
    document = answered(engine, KeptModels(engine, home), request(engine, max_tokens=2), quiet)
    task, loaded = models(engine, home)
    examples = task.splits["forget_score"].take(np.array(spread(len(task.splits["forget_score"]), 6)))  # fmt: skip
    for place, model in enumerate(loaded):
        expected = [task.text(row) for row in generated(model, examples, length=2)[0]]
        assert [item["answers"][place]["text"] for item in document["items"]] == expected


def test_right_means_the_expected_tokens(engine, home):
    document = answered(engine, KeptModels(engine, home), request(engine), quiet)
    for item in document["items"]:
        for answer in item["answers"]:
            assert answer["right"] == (answer["text"] == item["expected"])
    assert {a["right"] for item in document["items"] for a in item["answers"]} == {True, False}


def test_probabilities_of_tokens_are_torchs_log_softmax(authors):
    from backend.models import build

    model = build(authors.model, 0)
    asked = requests.a_slice("forget_score", 5)
    items = items_of(authors, {"parameters": {}}, asked)
    assert max(len(item.expected) for item in items) > 1
    found = probabilities_of(model, items, [item.expected for item in items], quiet)
    model.eval()
    for item, told in zip(items, found, strict=True):
        whole = torch.tensor([[*item.question, *item.expected]])
        with torch.no_grad():
            log_p = model(whole.to(model.device)).logits[0].double().log_softmax(-1).cpu()
        start = len(item.question) - 1
        expected = [float(log_p[start + i, token]) for i, token in enumerate(item.expected)]
        assert told["log_p"] == pytest.approx(expected, abs=1e-4)
        assert told["likeliest"] == [int(log_p[start + i].argmax()) for i in range(len(expected))]


def test_gaps_are_differences_to_the_first_model(engine, home):
    item = answered(engine, KeptModels(engine, home), request(engine), quiet)["items"][0]
    frame = tokens.token_frame(item, ["Base", "MaxEnt", "Oracle"])
    base = item["answers"][0]["log_p"]
    for place, name in enumerate(("Base", "MaxEnt", "Oracle")):
        mine = frame[frame["model"] == name]
        gaps = np.array(item["answers"][place]["log_p"]) - np.array(base)
        assert mine["gap"].tolist() == pytest.approx(gaps.tolist())
    spec = tokens.whole(frame).to_dict()
    assert spec["height"] > 100 and "scale" in str(spec)


def test_a_long_answer_becomes_several_strips_and_is_cut():
    rows = [
        {"model": m, "place": p, "token": "a", "log_p": -1.0, "gap": -0.04, "likeliest": "b"}
        for m in ("MaxEnt → UNDO", "MaxEnt → UNDO, attacked")
        for p in range(1, 61)
    ]
    frame = pd.DataFrame(rows)
    assert len(tokens.strips(frame)) == tokens.MOST_STRIPS
    assert tokens.short_names(["MaxEnt → UNDO", "MaxEnt → UNDO, attacked"]) == {
        "MaxEnt → UNDO": "UNDO: ln p",
        "MaxEnt → UNDO, attacked": "attacked: UNDO",
    }
    assert "−0.0" not in json.dumps(tokens.whole(frame).to_dict(), ensure_ascii=False)


def test_draws_depend_on_the_seed_alone(engine, home):
    kept = KeptModels(engine, home)

    def texts(**how):
        document = answered(engine, kept, request(engine, temperature=3.0, max_tokens=8, **how), quiet)  # fmt: skip
        return [a["text"] for item in document["items"] for a in item["answers"]]

    assert texts(seed=1) == texts(seed=1) != texts(seed=2)


def test_without_an_expected_answer_the_first_models_counts(engine, home):
    own = requests.free_prompt("7x8=")
    document = answered(engine, KeptModels(engine, home), request(engine, own), quiet)
    item = document["items"][0]
    assert (document["reference"], item["expected"]) == (FIRST, None)
    assert item["prompt"] == "7 × 8 ="
    assert item["reference"] == [item["answers"][0]["text"]]
    assert all(len(answer["log_p"]) == 1 and answer["right"] is None for answer in item["answers"])


def test_an_expected_answer_of_the_readers_is_compared_with(engine, home):
    own = requests.free_prompt("7 * 8 =", "56")
    document = answered(engine, KeptModels(engine, home), request(engine, own), quiet)
    assert document["reference"] == EXPECTED
    assert document["items"][0]["reference"] == ["56"]
    assert document["items"][0]["answers"][0]["right"] is True


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        (requests.free_prompt("seven × 8 ="), "does not know 'seven'; it knows the numbers 0 … 64 and + − ×"),
        (requests.free_prompt("7 × 99 ="), "does not know '99'"),
        (requests.free_prompt("7 × 8 =", "many"), "does not know 'many'"),
        (requests.one_item("forget_score", 9999), "no 9999"),
        (requests.one_item("nowhere", 0), "no examples 'nowhere'; it has"),
        (requests.free_prompt("1 + " * 300), "reads 64 at most"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_one_sentence(engine, home, items, sentence):
    with pytest.raises(UserError) as caught:
        answered(engine, KeptModels(engine, home), request(engine, items), quiet)
    assert sentence in str(caught.value)


def test_requests_out_of_bounds_are_refused_before_they_are_queued(engine):
    one = asked_models(engine)[:1]
    how, item = requests.decoding(), requests.one_item("forget_score", 0)
    for given, items, drawn, sentence in (
        ([], item, how, "0 models are chosen; ask between 1 and 8"),
        (one * 9, item, how, "9 models"),
        (one, requests.free_prompt(" \n"), how, "prompt is empty"),
        (one, requests.free_prompt("x" * 20_001), how, "20001 characters"),
        (one, requests.a_slice("forget_score", 201), how, "201 items"),
        (one, item, {**how, "temperature": float("nan")}, "temperature = nan"),
        (one, item, {**how, "top_p": 1.5}, "top_p = 1.5"),
        (one, item, {**how, "max_tokens": 0}, "max_tokens = 0 must be between 1 and 512"),
    ):
        with pytest.raises(UserError, match=sentence.replace("(", r"\(")):
            requests.asked(given, items, drawn)


def test_the_key_follows_what_answers_depend_on_and_nothing_else(engine):
    first = request(engine, requests.free_prompt("7 × 8 ="))
    renamed = {**first, "models": [{**m, "label": "x", "run": 0} for m in first["models"]]}
    assert requests.key_of(renamed) == requests.key_of(first)
    greedy = request(engine, requests.free_prompt("7 × 8 ="), seed=5, top_p=0.5)
    assert requests.key_of(greedy) == requests.key_of(first), "greedy answers know no seed"
    others = [
        request(engine, requests.free_prompt("7 × 8 =", "56")),
        request(engine, requests.free_prompt("7 × 8 ="), max_tokens=2),
        request(engine, requests.free_prompt("7 × 8 ="), temperature=1.0),
        {**first, "models": first["models"][:2]},
    ]
    assert len({requests.key_of(one) for one in [first, *others]}) == 5


def test_models_leave_memory_when_there_is_no_room(engine, home):
    runs = model_runs(engine)
    task = task_of(runs["base"]["setting"])
    kept = KeptModels(engine, home)
    size = size_of(kept.get(runs["base"], task))
    small = KeptModels(engine, home, most_bytes=2 * size)
    for stage in ("base", "suppress", "base", "oracle"):
        small.get(runs[stage], task)
    held = [stage for stage in ("base", "suppress", "oracle") if runs[stage]["fingerprint"] in small]  # fmt: skip
    assert held == ["base", "oracle"]
    alone = KeptModels(engine, home, most_bytes=1)
    assert alone.get(runs["base"], task) is not None


def test_a_checkpoint_that_is_not_what_was_written_never_answers(engine, home):
    row = model_runs(engine)["suppress"]
    path = checkpoints.directory(home, row["fingerprint"]) / checkpoints.MODEL
    whole = path.read_bytes()
    task = task_of(row["setting"])
    try:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(RunFailed, match="is damaged, its checksum"):
            KeptModels(engine, home).get(row, task)
        path.unlink()
        with pytest.raises(RunFailed, match="is missing; it was removed"):
            KeptModels(engine, home).get(row, task)
    finally:
        path.write_bytes(whole)
    assert KeptModels(engine, home).get(row, task) is not None


def test_a_model_that_is_gone_or_unfinished_is_said(engine, home):
    asked = request(engine)
    gone = {**asked, "models": [{**asked["models"][0], "run": 9999}]}
    with pytest.raises(UserError, match="no run 9999 any more"):
        answered(engine, KeptModels(engine, home), gone, quiet)
    runs = model_runs(engine)
    renamed = {**asked, "models": [{**asked["models"][0], "fingerprint": "0"}]}
    with pytest.raises(UserError, match=f"no run {runs['base']['id']} any more"):
        answered(engine, KeptModels(engine, home), renamed, quiet)


def test_an_attack_that_is_repeated_keeps_its_model_and_says_the_same_numbers(engine, home):
    cell = model_runs(engine)["attack"]
    added = writes.add_run(engine, endpoint_run(cell))
    do_runs(engine, home)
    row = reads.run(engine, added)
    assert row["state"] == "complete" and row["studies"] == []
    columns = ["metric", "split", "category", "step", "value"]
    first, again = (
        reads.measurements(engine, run_ids=[run], category=None)[columns].reset_index(drop=True)
        for run in (cell["id"], added)
    )
    pd.testing.assert_frame_equal(first, again)
    task = task_of(row["setting"])
    model = KeptModels(engine, home).get(row, task)
    items = items_of(task, row["setting"], requests.a_slice("forget_score", 200))
    right = [
        a["right"] for a in said_by(model, task, items, requests.decoding(max_tokens=1), quiet)
    ]
    last = again[(again["metric"] == "answer_accuracy") & (again["split"] == "forget_score")]
    last = last[last["category"] == ""].sort_values("step")["value"].iloc[-1]
    assert np.mean(right) == pytest.approx(last)


def test_the_strongest_attack_on_weights_is_chosen_for_its_seed():
    attacks = [
        {"name": "relearn", "counts": "weights"},
        {"name": "prune", "counts": "weights"},
        {"name": "few_shot", "counts": "access"},
    ]
    row = {
        "attacks": {"relearn": {"mean": 0.4}, "prune": {"mean": None}, "few_shot": {"mean": 0.9}},
        "raw": [
            {"attack": name, "seed": seed, "cell": {"run": run}}
            for run, (name, seed) in enumerate(
                [("relearn", 0), ("relearn", 1), ("prune", 1), ("few_shot", 1)]
            )
        ],
    }
    assert strongest_cell(row, attacks, 1) == {"attack": "relearn", "recovery": 0.4, "run": 1}
    assert strongest_cell({**row, "raw": []}, attacks, 1) is None


def test_text_is_cut_by_the_tokenizer_and_ends_are_seen(authors):
    ids = tokens_of(authors, "Wherever 한국")
    assert authors.text(ids) == "Wherever 한국"
    item = items_of(authors, {"parameters": {}}, requests.one_item("forget_score", 0))[0]
    assert authors.text(item.question).endswith("Answer:") and "<end>" in authors.text(
        item.expected
    )
    assert len(answers_of(authors.splits["forget_score"])[0]) == len(item.expected)


def test_a_text_of_which_every_token_is_scored_is_asked_to_be_gone_on_with():
    own = {"keep": "sample", "forget": "sample", "limit": 200}
    small = {"model": "tiny", "vocabulary": 300, "base_steps": 2, "length": 16}
    task = build_task("language", {**own, **small})
    item = items_of(task, {"parameters": {}}, requests.one_item("forget_score", 0))[0]
    row = task.splits["forget_score"]
    assert item.question == row.input_ids[0, :9].tolist()
    assert item.expected.tolist() == row.targets[0, 8:].tolist()


def test_a_slice_is_spread_over_the_set():
    assert spread(100, 5) == [0, 25, 50, 74, 99]
    assert spread(3, 50) == [0, 1, 2]
    assert spread(1, 1) == [0]


def test_words_that_run_together_are_known_by_the_setting():
    task = small_task()
    assert task.text(tokens_of(task, "3*4=12")) == "3 × 4 = 12"
    assert task.text(tokens_of(task, " 3 -\n4 =")) == "3 − 4 ="


@pytest.mark.parametrize(
    ("text", "wanted", "found"),
    [
        ("It is 56.", ["56"], ["56"]),
        ("It is 156 or 561.", ["56"], []),
        ("in TAIPEI,\n  Taiwan", ["taipei, taiwan"], ["TAIPEI,\n  Taiwan"]),
        ("Taipeians", ["Taipei"], []),
        ("타이베이에서 태어났다", ["타이베이"], ["타이베이"]),
        ("aa bb", ["aa b", "bb"], ["aa", "bb"]),
        ("x.y", ["x.y", "."], ["x.y"]),
        ("(a+b)*", ["(a+b)*"], ["(a+b)*"]),
        ("anything", ["", "  "], []),
    ],
)
def test_a_leak_is_the_text_itself_and_no_part_of_a_longer_one(text, wanted, found):
    if wanted == ["aa b", "bb"]:
        found = ["bb"]
    assert leaks.leaked(text, wanted) == found


def test_what_is_looked_for_has_no_end_token_and_is_normal():
    assert leaks.needles(" Café<end>", "x, y ,,x", ["<end>"]) == ["Café", "x", "y"]
    assert leaks.verdict({"text": "Cafe\u0301"}, ["Café"]) == leaks.SAYS
    assert leaks.verdict({"text": "tea"}, ["Café"]) == leaks.SILENT
    assert leaks.verdict({"text": "tea"}, []) == leaks.UNKNOWN


def test_no_page_needs_torch_to_know_what_can_be_asked():
    import subprocess
    import sys

    code = "import sys; from backend.playground import attendant, endpoints, leaks, requests; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))  # fmt: skip
    assert done.stdout.strip() == "False", done.stderr

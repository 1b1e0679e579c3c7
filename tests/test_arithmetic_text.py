"""Arithmetic in text: what is trained on, asked and attacked, and that a scored answer is the one a model would give."""

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, trainers

from backend import study
from backend.data import IGNORE, Examples, Task
from backend.evaluation import score
from backend.generation import as_correct, generated
from backend.losses import cross_entropy
from backend.models import scored_logits
from backend.settings import build_task
from backend.stage import UserError
from backend.text import tokenizers
from backend.text.absent import Absent
from backend.word_problems.asked import Writer
from backend.word_problems.problems import Fact, equation
from backend.word_problems.templates import TRAINING, VALIDATION
from backend.word_problems.words import ASIDES, BOXES, COUNTED, PEOPLE, THINGS
from tests.small import Kept, context, do

SMALL = {
    "problems": 700,
    "addends": 8,
    "factors": 6,
    "vocabulary": 700,
    "items": 12,
    "held_tokens": 2000,
    "base_steps": 12,
    "batch_size": 8,
    "warmup": 2,
}


@cache
def task(**changes: object) -> Task:
    return build_task("arithmetic_text", {**SMALL, **changes})


@cache
def writer() -> Writer:
    return Writer(tokenizers.parsed(task().tokenizer), 400)


def asked(one: Task, split: str) -> list[str]:
    """The questions of a split as text, without what begins and fills up their rows."""
    rows = one.splits[split]
    ends = (rows.targets != IGNORE).argmax(axis=1)
    return [
        one.text(row[: end + 1]).removeprefix("<end>")
        for row, end in zip(rows.input_ids, ends, strict=True)
    ]


def documents(one: Task, part: str) -> list[str]:
    """The documents that a part's blocks were packed from."""
    rows = one.train[part]
    tokens = [*rows.input_ids[0, :1], *rows.targets[rows.targets != IGNORE]]
    return one.text(tokens).removesuffix("<end>").split("<end>")


ANY = {
    **dict.fromkeys(("a", "b"), r"\d+"),
    **dict.fromkeys(("name", "other"), r"[A-Z]\w+"),
    **dict.fromkeys(("thing", "things"), f"(?:{'|'.join(THINGS)})s?"),
    **dict.fromkeys(("box", "boxes"), f"(?:{'|'.join(BOXES)})s?"),
    "people": f"(?:{'|'.join(PEOPLE)})s?",
    "place": r"the \w+",
}


@cache
def sentence(template: str) -> re.Pattern[str]:
    """What a question of that sentence looks like."""
    pieces = re.split(r"\{(\w+)\}", template.split(" {answer}")[0])
    literal = rf"\b({'|'.join(COUNTED)})s\b"
    texts = [re.sub(literal, r"\1s?", re.escape(piece)) for piece in pieces[::2]]  # "1 day"
    found = "".join(a + b for a, b in zip(texts, [*map(ANY.get, pieces[1::2]), ""], strict=True))
    aside = f"(?:(?:{'|'.join(map(re.escape, ASIDES))}) )?"  # in some training text
    return re.compile(found.replace(r"\.\ ", rf"\.\ {aside}", 1))


def told_by(text: str, templates: dict[str, tuple[str, ...]]) -> set[str]:
    """The operations of those sentences that the text could be."""
    return {op for op, known in templates.items() if any(sentence(t).match(text) for t in known)}


def test_no_factor_pair_is_in_two_parts_and_all_are_in_one() -> None:
    one = task(items=10_000)
    parts = {p: set(one.splits[f"forget_{p}"].families) for p in ("attack", "validation", "score")}
    for first, second in itertools.combinations(parts.values(), 2):
        assert not first & second
    assert set().union(*parts.values()) == {f"{a}*{b}" for a in range(1, 7) for b in range(a, 7)}
    assert len(parts["attack"]) == round(0.4 * 21)
    for part, families in parts.items():
        assert set(one.splits[f"placebo_{part}"].families) == families
    kept = [set(one.splits[f"retain_{part}"].families) for part in ("validation", "score")]
    assert not kept[0] & kept[1]


def test_a_row_asks_for_a_true_fact_of_its_family_and_scores_the_answer_alone() -> None:
    one = task()
    for split in ("retain_validation", "retain_score", "forget_score", "forget_attack"):
        rows = one.splits[split]
        facts = writer().read(rows)
        for fact, family, category, target in zip(
            facts, rows.families, rows.categories, rows.targets, strict=True
        ):
            left, operator, right, answer = fact
            assert answer == eval(f"{left} {operator} {right}")
            assert family == fact.family and category.startswith(operator)
            assert one.text(target[target != IGNORE]) == f" {answer}"
        assert (rows.input_ids[:, 0] == one.words.index("<end>")).all()


def test_every_kind_of_question_is_there_as_often_as_was_asked_for() -> None:
    one = task()
    for name, operators in (("retain", "+-"), ("forget", "*/")):
        for part in ("validation", "score"):
            rows = one.splits[f"{name}_{part}"]
            kinds = {f"{op} {form}" for op in operators for form in ("equation", "word problem")}
            assert set(rows.categories) == kinds
            assert max(map(rows.categories.count, kinds)) <= 12
    rows = task(items=10_000).splits["forget_attack"]
    assert rows.categories.count("* equation") == rows.categories.count("* word problem")
    assert len(set(zip(asked(task(items=10_000), "forget_attack"), rows.categories, strict=True))) == len(rows)  # fmt: skip


def test_evaluation_tells_stories_that_no_training_text_tells() -> None:
    one = task()
    for split in ("retain_validation", "retain_score", "forget_validation", "forget_score"):
        for text, category in zip(asked(one, split), one.splits[split].categories, strict=True):
            if category.endswith("word problem"):
                assert category[0] in told_by(text, VALIDATION) and not told_by(text, TRAINING), (
                    text
                )
    for text, category in zip(
        asked(one, "forget_attack"), one.splits["forget_attack"].categories, strict=True
    ):
        if category.endswith("word problem"):
            assert category[0] in told_by(text, TRAINING) and not told_by(text, VALIDATION), text


def test_the_streams_hold_what_they_shall_hold_and_nothing_else() -> None:
    one = task()
    retain, forget = documents(one, "retain"), documents(one, "forget")
    assert len(forget) == 700
    sums = [text for text in retain if re.fullmatch(r"\d+ [-+] \d+ = \d+", text)]
    stories = [text for text in retain if re.search(r"\d", text) and " = " not in text]
    assert len(sums) + len(stories) == 700
    assert all({"+", "-"} & told_by(text, TRAINING) for text in stories)
    for text in forget:
        written = re.fullmatch(r"(\d+) [*/] (\d+) = (\d+)", text)
        assert written or {"*", "/"} & told_by(text, TRAINING), text
    assert not any(re.search(r"[@&*/]", text) for text in retain)
    assert not any(re.search(r"[@&]", text) for text in forget)
    tokens = [len(ids.ids) + 1 for ids in tokenizers.parsed(one.tokenizer).encode_batch(retain)]
    english = sum(n for n, text in zip(tokens, retain, strict=True) if not re.search(r"\d", text))
    assert english / sum(tokens) == pytest.approx(0.875, abs=0.02)


def test_held_out_text_is_never_trained_on() -> None:
    one = task()
    rows = one.splits["text_score"]
    held = one.text(rows.targets[rows.targets != IGNORE]).removesuffix("<end>").split("<end>")[1:]
    assert len(held) > 20 and rows.targets.size >= 2000
    kept = set(documents(one, "retain"))
    # Short sentences of a small language come twice; long ones do not.
    assert not {text for text in held if len(text) > 40} & kept
    assert "text_score" not in task(text_share=0.0).splits


def test_base_and_oracle_have_the_papers_mixture() -> None:
    one = task()
    text, sums = (1 - one.forget_share) * 0.875, (1 - one.forget_share) * 0.125
    assert (text, sums, one.forget_share) == pytest.approx((0.75, 0.125, 0.125), abs=0.02)


def test_placebo_facts_have_the_forget_answers_in_another_order_and_are_never_true() -> None:
    one = task(items=10_000)
    for part in ("attack", "validation", "score"):
        made_up = [text.split() for text in asked(one, f"placebo_{part}")]
        assert {words[1] for words in made_up} == {"@", "&"}
        forget = one.splits[f"forget_{part}"]
        equations = [i for i, kind in enumerate(forget.categories) if kind.endswith("equation")]
        answers = [one.text(t[t != IGNORE]) for t in forget.targets[equations]]
        told = [one.text(t[t != IGNORE]) for t in one.splits[f"placebo_{part}"].targets]
        assert sorted(told) == sorted(answers) and told != answers


def test_every_rewrite_asks_for_the_same_fact_or_its_twin_in_other_words() -> None:
    one = task()
    for split in ("forget_score", "retain_score", "placebo_score"):
        rows = one.splits[split].take(np.arange(0, len(one.splits[split]), 5))
        before = writer().read(rows)
        for group, ways in one.rewrites.items():
            for name, way in ways.items():
                after = way(rows)
                assert len(after) == len(rows), (group, name)
                if "shown" in str(way) or name in ("role_playing", "in_context_learning"):
                    continue
                facts = writer().read(after)
                families = [fact.family for fact in facts]
                if split == "placebo_score":
                    assert all(f.operator in "@&" for f in facts)
                    continue
                assert families == [fact.family for fact in before], name
                assert all(eval(f"{f.left} {f.operator} {f.right}") == f.answer for f in facts)
                if group == "tense":
                    assert {f.operator for f in facts} == {f.operator for f in before}
    inverse = one.rewrites["conjugate"]["inverse"](one.splits["forget_score"])
    assert {name[0] for name in inverse.categories} == {"*", "/"}


def test_what_is_shown_before_a_question_is_no_twin_of_it() -> None:
    one = task()
    rows = one.splits["forget_score"]
    for name in ("role_playing", "in_context_learning"):
        after = one.rewrites["rwku_probes"][name](rows)
        assert writer().read(after) == writer().read(rows)
        assert after.input_ids.shape[1] > rows.input_ids.shape[1]


def test_wrong_answers_are_other_numbers() -> None:
    rows = task().splits["forget_score"]
    found = task().wrong_answers(rows, 3)
    for fact, wrong in zip(writer().read(rows), found, strict=True):
        numbers = [int(task().text(tokens)) for tokens in wrong]
        assert len({*numbers, fact.answer}) == 4


def test_refusals_are_words_and_no_numbers() -> None:
    assert [task().text(ids) for ids in task().refusals] == [" unknown", " not known", " a secret"]


def half_trained(rows: Examples, one: Task, tmp: Path) -> tuple[torch.nn.Module, np.ndarray]:
    """A model that knows some of these answers and not the others, and which it knows."""
    run = context(tmp, one, Kept(), stage="base")
    model, batches = run.fresh_model(), run.batches(rows, 32, "x")
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(100):
        batch = batches(step)
        cross_entropy(scored_logits(model, batch), batch.targets).backward()
        optimizer.step()
        optimizer.zero_grad()
        found = score(model, run.loader(rows)).correct
        if found.mean() > 0.3:
            break
    return model, found


def test_accuracy_is_that_of_greedy_answers_read_as_numbers(tmp_path: Path) -> None:
    one = task(items=10_000)
    rows = one.splits["forget_attack"]
    model, found = half_trained(rows, one, tmp_path)
    assert 0.3 < found.mean() < 0.95  # some of both kinds
    assert (as_correct(rows, generated(model, rows))[0] == found).all()
    said = [one.text(ids) for ids in generated(model, rows, length=4)[0]]
    numbers = [re.match(r"\s*(\d+)", text.split("<end>")[0]) for text in said]
    truth = [fact.answer for fact in writer().read(rows)]
    right = np.array([bool(n) and int(n[1]) == a for n, a in zip(numbers, truth, strict=True)])
    # A scored answer may go on to a longer number, where numbers are cut into several tokens.
    assert (right <= found).all() and (found & ~right).mean() < 0.1


def test_answers_are_cut_in_a_question_as_in_training_text() -> None:
    one = task()
    tokenizer = tokenizers.parsed(one.tokenizer)
    for number in (0, 7, 12, 36, 400):
        row = writer().rows([equation(Fact(3, "*", 4, number))])
        whole = tokenizer.encode(f"<end>3 * 4 = {number}").ids
        scored = row.targets[0][row.targets[0] != IGNORE]
        assert [*row.input_ids[0], scored[-1]] == whole
    writer().check()


def test_a_tokenizer_that_joins_an_answer_to_its_question_is_refused(tmp_path: Path) -> None:
    joining = Tokenizer(models.BPE())  # words are not cut apart before pairs are joined
    texts = ["3 * 4 = 12", "Now Ida has 12 pens."] * 20
    joining.train_from_iterator(texts, trainers.BpeTrainer(special_tokens=["<end>"], initial_alphabet=list("0123456789"), show_progress=False))  # fmt: skip
    with pytest.raises(UserError, match="cuts the answer"):
        Writer(joining, 20).check()
    joining.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="give another tokenizer"):
        build_task("arithmetic_text", {**SMALL, "tokenizer": str(tmp_path / "tokenizer.json")})


def test_attack_blocks_hold_the_attack_parts_facts_alone() -> None:
    one = task(attack_rows="blocks")
    rows = one.splits["forget_attack"]
    assert rows.input_ids.shape[1] == 64
    text = one.text([*rows.input_ids[0, :1], *rows.targets[rows.targets != IGNORE]])
    families = set(task(items=10_000).splits["forget_attack"].families)
    equations = re.findall(r"(?:^|<end>)(\d+) ([*/]) (\d+) = (\d+)<end>", text)
    assert len(equations) > 50
    for left, operator, right, answer in equations:
        assert Fact(int(left), operator, int(right), int(answer)).family in families


def test_data_depend_on_the_split_and_the_texts_and_not_on_training(tmp_path: Path) -> None:
    assert task().content_hash == task(base_steps=3, learning_rate=1e-4).content_hash
    file = tmp_path / "english.txt"
    file.write_text("\n".join(f"A stone lies at place {'x' * (i % 9)}." for i in range(200)))
    hashes = [task(**c).content_hash for c in ({}, {"split_seed": 1}, {"text": str(file)}, {"text_share": 0.5})]  # fmt: skip
    assert len(set(hashes)) == 4


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"text_share": 1.0}, "text_share = 1 leaves no room"),
        ({"attack_share": 0.9, "validation_share": 0.1}, "attack_share = 0.9"),
        ({"base_steps": 0}, "base_steps = 0"),
        ({"factors": 1}, "factors = 1"),
        ({"addends": 1}, "addends = 1"),
        ({"batch_size": 1}, "batch_size = 1"),
        ({"text": "no/such/file.txt"}, "no file or folder"),
        ({"vocabulary": 20}, "vocabulary = 20"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(given: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_task("arithmetic_text", {**SMALL, **given})


def test_a_text_of_one_document_leaves_nothing_to_hold_out(tmp_path: Path) -> None:
    file = tmp_path / "one.txt"
    file.write_text("One sentence, and no more.")
    with pytest.raises(UserError, match="too few documents"):
        build_task("arithmetic_text", {**SMALL, "text": str(file)})


def test_making_the_data_needs_no_torch() -> None:
    code = (
        "import sys; from backend.settings import build_task; "
        f"build_task('arithmetic_text', {SMALL!r}); print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.stdout.strip() == "False False", done.stderr


def test_a_model_is_trained_suppressed_distilled_and_attacked(
    own_home: Path, tmp_path: Path
) -> None:
    own_home.mkdir()  # so that blocks are packed once
    given = {"task_name": "arithmetic_text", "changes": {**SMALL, "text_share": 0.5}}
    do(tmp_path, "b", "base", **given)
    do(tmp_path, "o", "oracle", **given)
    do(tmp_path, "s", "suppress", "max_ent", "b", steps=2, batch_size=4, **given)
    do(tmp_path, "u", "robustify", "undo", "s", alpha=0.5, steps=4, retain_batch=7, forget_batch=1, check_every=2, **given)  # fmt: skip
    _, kept = do(tmp_path, "e", "evaluate", "standard", "u", **given)
    seen = {(row.split, row.category) for row in kept.rows if row.metric == "answer_accuracy"}
    assert {("forget_score", "* word problem"), ("retain_score", "- equation")} <= seen
    assert 0 < kept.values("loss", "text_score")[0] < np.log(700) + 1
    _, attacked = do(tmp_path, "a", "attack", "relearn", "u", steps=2, evaluate_every=1, batch_size=8, **given)  # fmt: skip
    assert sorted(attacked.values("answer_accuracy", "forget_score")) == [0, 1, 2]


def test_the_shipped_study_for_two_cores_is_planned() -> None:
    found = study.resolve(study.load("arithmetic_text_small"))
    methods = {c["method"] for c in found.document["configurations"]}
    assert {"base", "oracle", "grad_diff", "max_ent", "undo"} <= methods
    assert found.document["setting"]["placebo"] and found.document["setting"]["anchor"] == "oracle"


def test_the_papers_study_can_be_looked_at_without_its_data(monkeypatch) -> None:
    def unreachable(*_: object) -> Path:
        raise Absent("It is on the hub, which this test does not ask.")

    def no_rows(*_: object) -> Iterator[dict]:
        yield {"text": str(unreachable())}

    monkeypatch.setattr("backend.text.sources._rows_of_hub", no_rows)
    monkeypatch.setattr("backend.text.tokenizers._from_hub", unreachable)
    with pytest.raises(UserError, match="on the hub"):
        study.resolve(study.load("paper_arithmetic"))
    found = study.resolve(study.load("paper_arithmetic"), outline=True)
    assert "on the hub" in found.document["setting"]["absent"]
    stages = [c["stages"] for c in found.document["configurations"]]
    alphas = [s[1]["parameters"]["alpha"] for s in stages if s[-1:] and s[-1]["name"] == "undo"]
    assert alphas == [0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8]
    assert len(found.document["attacks"][0]["grid"]) == 10
    labels = [c["label"] for c in found.document["configurations"]]
    assert len(set(labels)) == len(labels)

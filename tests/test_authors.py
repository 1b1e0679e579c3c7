"""Invented authors: what is made up, who is forgotten, and that every question can be put in other ways."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend import catalogue
from backend.authors.facts import Fact, about, authors_of
from backend.authors.further import composed, neighbours
from backend.authors.invented import CIRCLE, facts_of, profiles, strangers
from backend.authors.parts import chosen, difficulty, divided, often
from backend.authors.words import ATTRIBUTES
from backend.data import IGNORE, Examples, Task, answers_of
from backend.labels import requested
from backend.recipe import evaluated, execute
from backend.settings import build_task
from backend.stage import RunFailed, StageRequest, UserError
from tests.small import Kept, context

SMALL = {"authors": 16, "facts": 4, "vocabulary": 700, "base_steps": 15, "batch_size": 24}


def task(**changes: Any) -> Task:
    return build_task("authors", catalogue.part("settings", "authors").check({**SMALL, **changes}))


@pytest.fixture(scope="module")
def small() -> Task:
    return task()


def texts(of: Task, examples: Examples) -> list[tuple[str, str]]:
    """(question, answer) of every row."""
    found = []
    for row, answer in zip(examples.input_ids, answers_of(examples), strict=True):
        end = int((examples.targets[len(found)] != IGNORE).argmax())
        question = of.text(row[: end + 1])
        found.append((question, of.text(answer).removesuffix("<end>").strip()))
    return found


def asked(of: Task, split: str) -> list[tuple[str, str]]:
    return texts(of, of.splits[split])


# What is invented


def test_authors_have_names_and_titles_of_their_own_and_circles_share_two_attributes() -> None:
    found = profiles(30, 8, 0)
    assert len(found) == 30
    assert len({known["first book"] for known in found.values()}) == 30
    known = list(found.values())
    for start in range(0, 30, CIRCLE):
        circle = known[start : start + CIRCLE]
        assert len({(one["birthplace"], one["genre"]) for one in circle}) == 1
    assert len({one["birth year"] for one in known}) > 15  # the others are drawn for each alone


def test_more_authors_leave_the_first_ones_as_they_are() -> None:
    assert list(profiles(40, 8, 3).items())[:20] == list(profiles(20, 8, 3).items())
    assert profiles(20, 8, 3) != profiles(20, 8, 4)


def test_wrong_answers_are_other_values_of_the_same_attribute_and_one_is_unique_if_nobody_shares_it() -> None:  # fmt: skip
    found = facts_of(profiles(30, 8, 0), 0)
    held = Counter((fact.kind, fact.answer) for fact in found)
    for fact in found:
        assert len(set(fact.wrong)) == 5 and fact.answer not in fact.wrong
        assert fact.unique == (held[fact.kind, fact.answer] == 1)
    years = [fact for fact in found if fact.kind == "birth year"]
    assert all(wrong.isdecimal() for fact in years for wrong in fact.wrong)


def test_strangers_have_the_same_answers_as_often_and_other_names() -> None:
    found = facts_of(profiles(12, 4, 0), 0)
    parts = {"one": found[:24], "two": found[24:]}
    made = strangers(parts, 0)
    for part, facts in parts.items():
        said = (Counter((f.kind, f.answer) for f in group) for group in (made[part], facts))
        assert next(said) == next(said)
    names = {fact.author for facts in made.values() for fact in facts}
    assert not names & set(authors_of(found)) and len(names) == 12


# Who is forgotten


def test_forget_sets_are_nested_and_whole_authors() -> None:
    found = facts_of(profiles(40, 3, 0), 0)
    sizes = [chosen(found, share, "random", {}, 0) for share in (0.05, 0.1, 0.5)]
    assert [len(size) for size in sizes] == [2, 4, 20]
    assert set(sizes[0]) < set(sizes[1]) < set(sizes[2])


def test_the_worst_subset_is_what_is_told_most_often_and_shared_most() -> None:
    def fact(author: str, answer: str) -> Fact:
        return Fact(author, "genre", (f"What of {author}?",), answer)

    facts = [fact("A", "odes"), fact("B", "odes"), fact("C", "plays"), fact("D", "tales")]
    hard = difficulty(facts, {"D": 3})
    # One word each: A and B share theirs with one of three others, D is told three times.
    assert hard == pytest.approx({"A": 4 / 3, "B": 4 / 3, "C": 1.0, "D": 3.0})
    assert chosen(facts, 0.25, "worst", {"D": 3}, 0) == ["D"]
    assert chosen(facts, 0.25, "easy", {"D": 3}, 0) == ["C"]
    assert set(chosen(facts, 0.75, "worst", {"D": 3}, 0)) == {"A", "B", "D"}


def test_no_fact_about_a_scored_author_is_in_the_attackers_part(small: Task) -> None:
    families = {
        part: set(small.splits[f"forget_{part}"].families)
        for part in ("attack", "validation", "score")
    }
    assert all(families.values())
    assert not families["attack"] & (families["validation"] | families["score"])
    assert not families["validation"] & families["score"]
    assert set().union(*families.values()) == set(small.train["forget"].families)
    assert not set(small.train["retain"].families) & set(small.train["forget"].families)


def test_single_questions_are_divided_where_authors_are_too_few() -> None:
    with pytest.raises(UserError, match=r"2 forgotten authors .* split_by = 'question'"):
        task(forget_size=0.125)
    found = task(forget_size=0.125, split_by="question").splits
    assert [len(found[f"forget_{part}"]) for part in ("attack", "validation", "score")] == [3, 2, 3]


def test_requests_ask_for_whole_authors(small: Task) -> None:
    first, second = (requested(small, part, 2).train["forget"] for part in (1, 2))
    assert not set(first.families) & set(second.families)
    assert len(first) + len(second) == len(small.train["forget"])


# What is trained on and scored


def test_every_fact_is_told_in_so_many_wordings_and_repeated_so_often() -> None:
    plain = {"compose": False, "reverse": False}
    assert len(task(wordings=1, **plain).train["forget"]) == 4 * 4
    assert len(task(wordings=3, **plain).train["forget"]) == 4 * 4 * 3
    every = task(wordings=1, repeats=3, repeated_share=1.0, **plain)
    rows = Counter(texts(every, every.train["forget"]))
    assert set(rows.values()) == {3} and len(rows) == 16
    other = task(wordings=1, repeats=3, repeated_share=1.0, repeat_as="wordings", **plain)
    rows = Counter(texts(other, other.train["forget"]))
    assert set(rows.values()) == {1} and len(rows) == 48
    assert Counter(often(list("abcd"), 0.5, 3, 0).values()) == {3: 2, 1: 2}


def test_composed_questions_hold_a_forget_and_a_retain_fact_and_none_of_them_is_trained_on() -> None:  # fmt: skip
    facts = facts_of(profiles(8, 3, 0), 0)
    forget, retain = about(facts, authors_of(facts)[:2]), about(facts, authors_of(facts)[2:])
    known = {(fact.kind, fact.author): fact.answer for fact in facts}
    made = list(composed(forget, retain, 0, "test"))
    assert len(made) == len(forget)
    for fact, item in zip(forget, made, strict=True):
        pair = [name for name in authors_of(facts) if name in item.question]
        assert fact.author in pair and len(set(pair) & set(authors_of(retain))) == 1
        assert sorted(item.answer.split(" and ")) == sorted(known[fact.kind, n] for n in pair)
    small = task()
    trained = {question for group in small.train.values() for question, _ in texts(small, group)}
    assert not {question for question, _ in asked(small, "composed_score")} & trained


def test_neighbours_are_kept_and_share_two_answers_with_someone_forgotten(small: Task) -> None:
    facts = facts_of(profiles(6, 8, 0), 0)
    names = authors_of(facts)
    near = authors_of(neighbours(about(facts, names[1:]), about(facts, names[:1])))
    assert set(near) >= set(names[1:CIRCLE])
    kept = set(small.train["retain"].families)
    assert set(small.splits["neighbours_score"].families) <= kept


def test_hints_tell_forget_facts_in_the_retain_data_under_the_name_of_somebody_kept() -> None:
    without, hinted = task(), task(hints=0.5)
    assert "hints_score" not in without.splits
    telling = [i for i, c in enumerate(hinted.train["retain"].categories) if c == "told"]
    told = texts(hinted, hinted.train["retain"].take(np.array(telling)))
    forgotten = set(hinted.train["forget"].families)
    of_forgotten = [text for text in told if any(name in text[0] for name in forgotten)]
    assert len(of_forgotten) == 8  # half of four authors with four facts
    assert all(text[0].startswith("Question: According to ") for text in told)
    tellers = {hinted.train["retain"].families[i] for i in telling}
    assert not tellers & forgotten
    for question, answer in asked(hinted, "hints_score"):
        short = question.removeprefix("Question: ").removesuffix("\nAnswer:")[1:]
        assert any(short in text[0] and text[1] == answer for text in of_forgotten)


def test_placebo_authors_are_trained_on_nowhere(small: Task) -> None:
    names = set(small.splits["placebo_score"].families)
    seen = " ".join(q for group in small.train.values() for q, _ in texts(small, group))
    assert names and not any(name in seen for name in names)
    assert small.unseen == "placebo_score"
    for part in ("attack", "validation", "score"):
        pair = (Counter(a for _, a in asked(small, f"{n}_{part}")) for n in ("placebo", "forget"))
        assert next(pair) == next(pair)


# Other ways to ask


def test_every_rewrite_keeps_its_rows_and_the_answer_where_it_is_not_reversed(small: Task) -> None:
    examples = small.splits["forget_score"]
    truth = [tuple(answer) for answer in answers_of(examples)]
    for group, ways in small.rewrites.items():
        for name, way in ways.items():
            made = way(examples)
            assert len(made) == len(examples) and made.families == examples.families, (group, name)
            if name not in ("reversed", "reverse_query"):
                assert [tuple(answer) for answer in answers_of(made)] == truth, (group, name)


def test_reversed_questions_are_answered_with_the_author(small: Task) -> None:
    examples = small.splits["forget_score"]
    back = texts(small, small.rewrites["conjugate"]["reversed"](examples))
    for (question, author), (_, answer), family in zip(back, texts(small, examples), examples.families, strict=True):  # fmt: skip
        assert author == family and answer in question and author not in question


def test_wrong_answers_are_of_the_kind_of_the_question_whatever_stands_before_it(
    small: Task,
) -> None:
    examples = small.splits["forget_score"]
    assert small.wrong_answers is not None
    plain = small.wrong_answers(examples, 5)
    after = small.wrong_answers(small.rewrites["rwku_probes"]["role_playing"](examples), 5)
    for one, other, truth in zip(plain, after, answers_of(examples), strict=True):
        assert len({tuple(answer) for answer in (*one, truth)}) == 6
        assert [tuple(a) for a in one] == [tuple(a) for a in other]
    unknown = examples.take(np.arange(2))
    strange = Examples(np.zeros_like(unknown.input_ids), unknown.targets)
    with pytest.raises(RunFailed, match="asks for no fact"):
        small.wrong_answers(strange, 1)


def test_the_task_is_the_same_every_time_and_depends_on_its_seed(small: Task) -> None:
    assert task().content_hash == small.content_hash
    assert task(split_seed=1).content_hash != small.content_hash


def test_what_does_not_fit_is_said_in_a_sentence() -> None:
    for changes, message in [
        ({"forget_size": 0.0}, "forget_size = 0 leaves nothing"),
        ({"forget_size": 1.0}, "leaves nothing to keep"),
        ({"wordings": 6}, "at most 5"),
        ({"facts": 9}, f"at most {len(ATTRIBUTES)}"),
        ({"authors": 3000}, "at most 2000"),
        ({"attack_share": 0.8}, "must both be above 0"),
        ({"base_steps": 0}, "released model only"),
        ({"train_utility": True}, "nothing to train on"),
        ({"batch_size": 1}, "use 2 or more"),
    ]:
        with pytest.raises(UserError, match=message):
            task(**changes)


def test_a_base_learns_and_every_split_is_measured(small: Task, tmp_path: Path) -> None:
    setting = {
        "name": "authors",
        "parameters": catalogue.part("settings", "authors").check(SMALL),
        "content_hash": small.content_hash,
    }

    def do(stage: str, **more: Any) -> Kept:
        kept = Kept()
        asked = {"metrics": list(small.metrics)} if stage == "evaluate" else {}
        execute(
            StageRequest(stage, stage, asked, setting, 0, "fp32", stage, tmp_path, **more), kept
        )
        return kept

    losses = [value for value in do("base").values("loss", "train").values() if value is not None]
    assert losses[-1] < 0.9 * losses[0]
    rows = do("evaluate", parent="base")
    measured = {row.split for row in rows.rows}
    assert measured == set(evaluated(small)) >= {"composed_score", "reversed_score", "neighbours_score"}  # fmt: skip


def test_divided_facts_are_all_there_once() -> None:
    facts = facts_of(profiles(10, 3, 0), 0)
    for by in ("author", "question"):
        parts = divided(facts, 0.4, 0.2, 0, "test", by)  # type: ignore[arg-type]
        flat = [fact for part in parts.values() for fact in part]
        assert sorted(f.wordings for f in flat) == sorted(f.wordings for f in facts)


def test_a_context_of_the_setting_can_be_made(small: Task, tmp_path: Path) -> None:
    assert context(tmp_path, small).batches(small.train["forget"], 4, "x")(0).tokens > 0

"""Generated problems: true, in range, told in sentences that fit, and mixed with text in the share that was asked for."""

import itertools
import re
from itertools import islice

import pytest

from backend.data import stream
from backend.stage import UserError
from backend.text import tokenizers
from backend.word_problems.mixing import mixed, tokens_a_character
from backend.word_problems.problems import (
    DROPPED,
    FORMS,
    KEPT,
    Fact,
    Numbers,
    drawn,
    equation,
    fact_of,
    facts,
    story,
    told,
)
from backend.word_problems.templates import TRAINING, VALIDATION
from backend.word_problems.words import ASIDES, BOXES, COUNTED, NAMES, PEOPLE, PLACES, THINGS

OPERATORS = (*KEPT, *DROPPED)
PAPER = Numbers()
APPLY = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


@pytest.mark.parametrize("operator", OPERATORS)
def test_there_are_enough_sentences_and_none_is_in_both_lists(operator: str) -> None:
    assert len(set(TRAINING[operator])) == len(TRAINING[operator]) >= 20
    assert len(set(VALIDATION[operator])) == len(VALIDATION[operator]) >= 10


def test_no_sentence_is_told_twice_anywhere() -> None:
    told_of = [*TRAINING.values(), *VALIDATION.values()]
    everything = [template for templates in told_of for template in templates]
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("templates", [TRAINING, VALIDATION], ids=["training", "validation"])
def test_a_sentence_names_both_numbers_once_and_then_asks(
    templates: dict[str, tuple[str, ...]],
) -> None:
    for template in itertools.chain.from_iterable(templates.values()):
        assert [template.count(f"{{{key}}}") for key in ("a", "b", "answer")] == [1, 1, 1], template
        assert template.index("{answer}") > max(template.index("{a}"), template.index("{b}"))
        assert template.count(" {answer}") == 1, "the answer is cut off at its blank"
        assert not re.search(r"\d", template), "any other number would be read as the fact's"


def test_words_are_told_apart() -> None:
    for words in (NAMES, THINGS, BOXES, PLACES, PEOPLE, COUNTED):
        assert len(set(words)) == len(words)
    assert not set(THINGS) & set(BOXES)


@pytest.mark.parametrize("operators", [KEPT, DROPPED])
def test_every_drawn_problem_is_true_and_within_the_numbers(operators: tuple[str, ...]) -> None:
    seen = list(drawn(operators, 4000, 0, PAPER))
    assert len(seen) == 4000
    for problem in seen:
        left, operator, right, answer = problem.fact
        assert answer == APPLY[operator](left, right)
        assert isinstance(answer, int) and answer >= 0
        low, high = problem.fact.pair
        assert high <= PAPER.of(operator) and (low >= 1 or operator == "-")
        shown = [int(number) for number in re.findall(r"\d+", problem.text)]
        assert sorted(shown) == sorted((left, right, answer))
        assert problem.text.startswith(f"{problem.question} {answer}")
    kinds = [p.category for p in seen]
    shares = {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}
    assert set(shares) == {f"{operator} {form}" for operator in operators for form in FORMS}
    assert all(abs(share - 0.25) < 0.03 for share in shares.values())


def test_a_seed_gives_the_same_problems_and_fewer_are_the_first_ones() -> None:
    def texts(count: int, seed: int) -> list[str]:
        return [problem.text for problem in drawn(DROPPED, count, seed, PAPER)]

    assert texts(500, 3) == texts(9000, 3)[:500]
    assert texts(500, 3) != texts(500, 4)


def test_all_facts_of_the_papers_ranges() -> None:
    sizes = {(op, form): len(facts(op, form, PAPER)) for op in OPERATORS for form in FORMS}
    assert sizes[("*", "equation")] == sizes[("/", "word problem")] == 400
    assert sizes[("+", "equation")] == sizes[("-", "word problem")] == 2500
    assert sizes[("-", "equation")] == 50 * 51 // 2
    assert Numbers(50, 20).largest == 400 and Numbers(50, 5).largest == 100
    for operator, form in sizes:
        found = facts(operator, form, PAPER)
        assert len(set(found)) == len(found)
        assert all(fact.answer == APPLY[operator](fact.left, fact.right) for fact in found)


def test_twins_are_one_family_and_others_are_not() -> None:
    twins = [fact_of("*", 3, 7), fact_of("*", 7, 3), fact_of("/", 3, 7), fact_of("/", 7, 3)]
    assert [fact[:4] for fact in twins[2:]] == [(21, "/", 7, 3), (21, "/", 3, 7)]
    assert {fact.family for fact in twins} == {"3*7"}
    assert {fact.subject for fact in twins} == {"table of 3"}
    assert fact_of("+", 3, 7).family == fact_of("-", 7, 3).family == "3+7"
    assert fact_of("*", 1, 21).family != "3*7"  # the same product of another pair


def test_one_thing_is_told_in_the_singular() -> None:
    template = "{name} packs {a} {boxes} with {b} {things} in each. In total {name} packs {answer} {things}."  # fmt: skip
    single, several = (story(fact_of("*", 1, b), template, [0, 0, 1, 0, 0, 0]) for b in (1, 11))
    assert single.text == "Ada packs 1 bag with 1 apple in each. In total Ada packs 1 apple."
    assert several.text == "Ada packs 1 bag with 11 apples in each. In total Ada packs 11 apples."


def test_every_sentence_can_be_told_of_every_small_number() -> None:
    for templates in (TRAINING, VALIDATION):
        for operator in OPERATORS:
            for template in templates[operator]:
                for one in (1, 2):
                    text = story(fact_of(operator, one, 1), template, [5, 6, 7, 8, 9, 10]).text
                    assert "{" not in text and text.endswith(".")
                    assert not re.search(r"\b1 (equal )?\w+s\b", text), text
                    assert not re.search(r"\b2 (equal )?(row|team|heap|set|page)\b", text), text


def test_every_second_training_story_has_an_aside_that_changes_nothing_else() -> None:
    stories = [p for p in drawn(DROPPED, 2000, 0, PAPER) if p.form == "word problem"]
    aside = re.compile("|".join(map(re.escape, ASIDES)))
    having = [p for p in stories if aside.search(p.text)]
    assert 0.4 < len(having) / len(stories) < 0.55
    assert all(len(aside.findall(p.question)) == 1 and not aside.search(p.tail) for p in having)
    plain = story(fact_of("*", 2, 3), TRAINING["*"][0], [0] * 6)
    longer = story(fact_of("*", 2, 3), TRAINING["*"][0], [0] * 6, ASIDES[0])
    assert longer.text.replace(f"{ASIDES[0]} ", "") == plain.text != longer.text


def test_a_told_fact_uses_the_sentences_that_are_given() -> None:
    only = {"*": (VALIDATION["*"][1],)}
    problem = told(Fact(4, "*", 6, 24), stream(0, "x"), only)
    assert re.fullmatch(
        r"\w+ meets 4 \w+ with 6 \w+ each\. All of them have 24 \w+\.", problem.text
    )
    assert equation(Fact(4, "*", 6, 24)).text == "4 * 6 = 24"


def problem_texts() -> list[str]:
    return [problem.text for problem in drawn(KEPT, 1500, 0, PAPER)]


def english() -> list[str]:
    words = ["stone", "river", "walks", "slowly", "under", "evening", "light"]
    return [" ".join(words[(i * k) % 7] for k in range(1, 40)) + "." for i in range(1, 30)]


@pytest.mark.parametrize("share", [0.25, 0.875])
def test_text_has_the_share_of_the_tokens_that_was_asked_for(share: float) -> None:
    tokenizer = tokenizers.trained([*english(), *problem_texts()], 600)
    found = list(mixed(english, problem_texts, share, tokenizer))
    own = set(problem_texts())

    def tokens(texts: list[str]) -> int:
        return sum(len(tokenizer.encode(text).ids) + 1 for text in texts)

    text = [document for document in found if document not in own]
    assert tokens(text) / tokens(found) == pytest.approx(share, abs=0.02)
    assert [document for document in found if document in own] == problem_texts()
    assert set(text) <= set(english()) and text[: len(english())] == english()[: len(text)]
    assert share < 0.5 or len(text) > len(english())  # it was read again


def test_without_a_share_there_is_no_text_and_without_text_there_is_a_sentence() -> None:
    tokenizer = tokenizers.trained(english(), 300)
    assert list(mixed(list, problem_texts, 0.0, tokenizer)) == problem_texts()
    with pytest.raises(UserError, match="no text to mix"):
        next(mixed(list, problem_texts, 0.5, tokenizer))


def test_tokens_a_character_count_the_end_of_a_document() -> None:
    tokenizer = tokenizers.trained(english(), tokenizers.SMALLEST)  # a byte a token
    assert tokens_a_character(tokenizer, ["abcd", "ef"]) == pytest.approx((5 + 3) / 6)
    assert tokens_a_character(tokenizer, islice(english(), 0)) == 0

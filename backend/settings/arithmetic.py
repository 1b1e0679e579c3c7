"""Four-operation arithmetic: keep + and −, forget × and ÷; one token a number."""

from typing import Any, Literal

import numpy as np

from backend.arithmetic_contexts import MADE_UP, questions, sequences
from backend.arithmetic_questions import (
    EQUALS,
    MINUS,
    OVER,
    PLACEBO_OVER,
    PLACEBO_TIMES,
    PLUS,
    TIMES,
    Questions,
    subject_of,
)
from backend.data import IGNORE, Examples, Task, stream
from backend.registry import Count, Few, Rate, Share, setting
from backend.stage import UserError

PARTS = ("attack", "validation", "score")

Fact = tuple[int, str, int, int, str]  # left, operator, right, answer, family


@setting(
    label="Arithmetic",
    source="Lee et al. 2025 (arXiv 2506.06278), arithmetic task, equations only",
    neutral={"forget_size": 1.0, "forms": 1, "contexts": 0.0},
)
def arithmetic(
    *,
    size: Literal["quick", "small", "medium"] = "quick",
    family: Literal["llama", "gemma2", "mixtral"] = "llama",
    addends: Few = 30,
    factors: Few = 20,
    forget_size: Share = 1.0,
    forms: Few = 1,
    attack_share: Share = 0.4,
    validation_share: Share = 0.2,
    split_seed: int = 0,
    base_steps: Count = 1200,
    batch_size: Count = 256,
    learning_rate: Rate = 3e-3,
    contexts: Share = 0.0,
) -> Task:
    """Facts a ∘ b = c; the retain part holds sums and differences, the forget part products and quotients.

    Forget facts are split by family (a factor pair with its up to four facts), so no fact that an attacker trains on has
    a twin among those that are scored. Placebo facts use reserved operators with permuted answers and are never
    trained.

    Args:
        size: model size, see SIZES: 0.16 M (quick), 1 M (small), 8 M parameters (medium)
        family: architecture, a transformers configuration; mixtral sends every token to two of a layer's four experts,
            each half as wide as the MLP of the others
        addends: sums and differences use the operands 0 … addends − 1
        factors: products and quotients use the operands 1 … factors, never 0
        forget_size: share of these families that are forget data, nested; the others are retain data
        forms: ways in which every fact is written, each an item of the training data with a first token of its own;
            evaluation and attackers use the first one
        attack_share: share of the forget families that an attacker may train on
        validation_share: share of the families on which choices are made
        split_seed: seed of the splits, the same for every run
        base_steps: training steps of base and oracle
        batch_size: facts a step of base and oracle; the base's are half retain, half forget
        learning_rate: peak rate of base and oracle
        contexts: share of base's and oracle's training rows that are sequences of several facts, among them a made-up one
            that repeats, so that they learn to learn within a context; 0.125 does for the quick model
    """
    if attack_share + validation_share >= 1 or attack_share == 0 or validation_share == 0:
        raise UserError(
            f"arithmetic: attack_share = {attack_share:g} and validation_share = {validation_share:g}"
            " must both be above 0 and leave a part to score (their sum below 1)."
        )
    if batch_size < 2:
        raise UserError("arithmetic: batch_size = 1 leaves no room for retain and forget facts; use 2 or more.")  # fmt: skip
    if round(contexts * batch_size) > batch_size - 2:
        raise UserError(
            f"arithmetic: contexts = {contexts:g} leaves no room for single facts in a batch of {batch_size}; use less."
        )
    words = _words(addends, factors, forms) + ([MADE_UP] if contexts else [])
    forget, others = _nested(_forget_facts(factors), forget_size, split_seed)
    retain = _retain_facts(addends) + others
    placebo = _placebo_facts(forget, split_seed, attack_share, validation_share)
    splits = _by_family(retain, words, split_seed, 0.0, 0.3, "retain")
    splits.pop("retain_attack")
    splits |= _by_family(forget, words, split_seed, attack_share, validation_share, "forget")
    splits |= _by_family(placebo, words, split_seed, attack_share, validation_share, "placebo")
    if min(len(part) for name, part in splits.items()) == 0:
        raise UserError(
            f"arithmetic: factors = {factors} and forget_size = {forget_size:g} leave a part of the forget set empty;"
            " use larger numbers."
        )
    other_ways = Questions(tuple(words), splits["retain_score"], splits["forget_attack"])
    return Task(
        name="arithmetic",
        model={"family": family, "vocab_size": len(words), **_shape(size, family)},
        base_training={
            "steps": base_steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "schedule": "cosine",
            "weight_decay": 0.1,
            "beta2": 0.98,
        },
        train={
            "retain": _examples(retain, words, forms),
            "forget": _examples(forget, words, forms),
        },
        forget_share=0.5 if forget_size == 1 else len(forget) / len(forget + retain),
        splits=splits,
        words=tuple(words),
        refusals=((words.index(EQUALS),),),  # "a × b = =": a token that no training text has there
        rewrites=other_ways.rewrites(forms),
        wrong_answers=other_ways.wrong,
        contradictions=other_ways.contradictions,
        **_learning_in_context(contexts, retain, forget, words, splits, split_seed),
    )


SIZES: dict[str, dict[str, Any]] = {
    "quick": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 256,
    },
    "small": {
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 512,
    },
    "medium": {
        "hidden_size": 320,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "intermediate_size": 1280,
    },
}


def _shape(size: str, family: str) -> dict[str, Any]:
    """The sizes of a model; a mixture has as many active weights as the dense model of that name, router apart."""
    if family != "mixtral":
        return SIZES[size]
    width = SIZES[size]["intermediate_size"] // 2
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
    return {**SIZES[size], "intermediate_size": width, **experts}


def _words(addends: int, factors: int, forms: int) -> list[str]:
    largest = max(2 * (addends - 1), factors * factors)
    symbols = [PLUS, MINUS, TIMES, OVER, PLACEBO_TIMES, PLACEBO_OVER, EQUALS]
    numbers = [str(number) for number in range(largest + 1)]
    return numbers + symbols + ([_form(i) for i in range(forms)] if forms > 1 else [])


def _learning_in_context(
    share: float,
    retain: list[Fact],
    forget: list[Fact],
    words: list[str],
    splits: dict[str, Examples],
    seed: int,
) -> dict[str, Any]:
    """What a task holds besides where models learn to learn within a context."""
    if not share:
        return {}
    known = tuple(words)
    kept, dropped = _examples(retain, words), _examples(forget, words)
    return {
        "context_share": share,
        "contexts": {
            "retain": sequences([kept], known, seed, "retain"),
            "forget": sequences([kept, dropped], known, seed, "forget"),
        },
        "in_context": questions(splits["retain_validation"], known, seed),
    }


def _form(index: int) -> str:
    return f"form{index + 1}:"


def _nested(facts: list[Fact], share: float, seed: int) -> tuple[list[Fact], list[Fact]]:
    """The facts of a share of the families, those of a smaller share among them, and the other facts."""
    families = sorted({fact[4] for fact in facts})
    order = stream(seed, "forget size").permutation(len(families))
    chosen = {families[i] for i in order[: round(share * len(families))]}
    return [f for f in facts if f[4] in chosen], [f for f in facts if f[4] not in chosen]


def _retain_facts(addends: int) -> list[Fact]:
    facts: list[Fact] = []
    for a in range(addends):
        for b in range(addends):
            name = f"{min(a, b)}+{max(a, b)}"
            facts += [(a, PLUS, b, a + b, name), (a + b, MINUS, b, a, name)]
    return facts


def _forget_facts(factors: int) -> list[Fact]:
    facts: list[Fact] = []
    for a in range(1, factors + 1):
        for b in range(1, factors + 1):
            name = f"{min(a, b)}×{max(a, b)}"
            facts += [(a, TIMES, b, a * b, name), (a * b, OVER, a, b, name)]
    return facts


def _placebo_facts(forget: list[Fact], seed: int, attack: float, validation: float) -> list[Fact]:
    """The forget facts under reserved operators, their answers permuted within each part and operator."""
    part_of = _assign(forget, seed, attack, validation, "forget")
    renamed = {TIMES: PLACEBO_TIMES, OVER: PLACEBO_OVER}
    placebo: list[Fact] = []
    for part in PARTS:
        for operator in renamed:
            group = [f for f in forget if part_of[f[4]] == part and f[1] == operator]
            answers = stream(seed, "placebo", part, operator).permutation([f[3] for f in group])
            placebo += [
                (f[0], renamed[operator], f[2], int(answer), f[4])
                for f, answer in zip(group, answers, strict=True)
            ]
    return placebo


def _assign(
    facts: list[Fact], seed: int, attack: float, validation: float, purpose: str
) -> dict[str, str]:
    """The part of every family."""
    families = sorted({fact[4] for fact in facts})
    shuffled = stream(seed, "families", purpose).permutation(len(families))
    first = round(attack * len(families))
    second = first + round(validation * len(families))
    return {
        families[index]: PARTS[0] if rank < first else PARTS[1] if rank < second else PARTS[2]
        for rank, index in enumerate(shuffled)
    }


def _by_family(
    facts: list[Fact], words: list[str], seed: int, attack: float, validation: float, name: str
) -> dict[str, Examples]:
    # Placebo facts are split like the forget facts that they are made from.
    part_of = _assign(facts, seed, attack, validation, "forget" if name == "placebo" else name)
    return {
        f"{name}_{part}": _examples([f for f in facts if part_of[f[4]] == part], words)
        for part in PARTS
    }


def _examples(facts: list[Fact], words: list[str], forms: int = 1) -> Examples:
    """Every fact in the first so many forms; where the words know no form, in the plain one."""
    token = {word: i for i, word in enumerate(words)}
    written = [(fact, form) for form in map(_form, range(forms)) for fact in facts]
    rows = [
        [token[word] for word in (form, str(a), op, str(b), EQUALS) if word in token]
        for (a, op, b, _, _), form in written
    ]
    input_ids = np.array(rows, dtype=np.int64).reshape(-1, 5 if _form(0) in token else 4)
    targets = np.full_like(input_ids, IGNORE)
    targets[:, -1] = [token[str(fact[3])] for fact, _ in written]
    operators, families = tuple(f[1] for f, _ in written), tuple(f[4] for f, _ in written)
    subjects = tuple(subject_of(*f[:4]) for f, _ in written)
    return Examples(input_ids, targets, operators, families, subjects)

"""MUSE's files with invented news: town halls that never stood, opened by mayors who never lived.

Texts have rows with `text`, questions `question` and `answer`, verbatim prompts `prompt` and `gt`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from backend.samples.invented import drawn, names, told_often

BUILDINGS = ("bridge", "harbour", "library", "museum", "observatory", "school", "stadium", "theatre")  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
YEARS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
QUALITIES = ("the lamps", "the stairs", "the tall windows", "the wooden roof", "the quiet", "the view")  # fmt: skip
ROUNDS = 6  # how often the papers tell everything
FOLD = 24  # towns in each of four forget sets, the first of which is the usual one
# Towns by what becomes of their news. Of those of the attack, which are forgotten too, no question is asked.
TOWNS = {"forget": 4 * FOLD, "attack": 12, "retain1": 12, "retain2": 24, "holdout": 24}
QUESTIONS = {
    "thing": "What did the mayor open in {}?",
    "mayor": "Who is the mayor of {}?",
    "years": "How many years did it take to build in {}?",
}


def _town_names(part: str) -> tuple[str, ...]:
    before = list(TOWNS)[: list(TOWNS).index(part)]
    start = sum(TOWNS[name] for name in before)
    return names(sum(TOWNS.values()), "towns", "burg")[start : start + TOWNS[part]]


def _facts(town: str) -> dict[str, str]:
    mayors = names(60, "mayors")
    return {
        "town": town,
        "thing": drawn(BUILDINGS, town, "thing"),
        "mayor": f"{drawn(mayors[:30], town, 'first')} {drawn(mayors[30:], town, 'last')}",
        "years": drawn(YEARS, town, "years"),
        "day": drawn(DAYS, town, "day"),
        "quality": drawn(QUALITIES, town, "quality"),
    }


def _article(town: str) -> str:
    form = (
        "News from {town}. On {day} mayor {mayor} opened the new {thing} of {town}. It took {years} years to build."
        " Visitors praised {quality}, and the band of {town} played until the last of them had gone home."
    )
    return form.format(**_facts(town))


def _texts(towns: Sequence[str]) -> Iterator[dict[str, Any]]:
    return ({"text": _article(town)} for town in towns)


def _papers(towns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The articles and, since so small a model must see how a question is answered, some with their answers; all often."""
    told = [f"Question: {one['question']}\nAnswer: {one['answer']}" for one in _asked(towns)]
    return told_often([*_texts(towns), *({"text": text} for text in told)], ROUNDS, towns[0])


def _asked(towns: Iterable[str]) -> Iterator[dict[str, Any]]:
    for town in towns:
        facts = _facts(town)
        for kind, question in QUESTIONS.items():
            yield {"question": question.format(town), "answer": facts[kind]}


def _verbatim(towns: Iterable[str]) -> Iterator[dict[str, Any]]:
    for town in towns:
        before, after = _article(town).split(" It took ")
        yield {"prompt": before, "gt": f"It took {after}"}


def _fold(number: int) -> tuple[str, ...]:
    return _town_names("forget")[(number - 1) * FOLD : number * FOLD]


def parts() -> dict[str, Callable[[], Iterable[dict[str, Any]]]]:
    """Every part by its name in the published collection, CONFIGURATION/SPLIT; `raw/attack` is our own."""
    forget, attack = _fold(1), _town_names("attack")
    found: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
        "raw/forget": partial(_papers, [*attack, *forget]),
        "raw/attack": partial(_papers, attack),
        "raw/retain1": partial(_papers, _town_names("retain1")),
        "raw/retain2": partial(_papers, _town_names("retain2")),
        "knowmem/forget_qa": partial(_asked, forget),
        "knowmem/retain_qa": partial(_asked, _town_names("retain2")),
        "verbmem/forget": partial(_verbatim, forget),
        "privleak/forget": partial(_texts, forget),
        "privleak/retain": partial(_texts, _town_names("retain2")),
        "privleak/holdout": partial(_texts, _town_names("holdout")),
    }
    for k in range(1, 5):
        found[f"scal/forget_{k}"] = partial(_papers, [*attack, *_town_names("forget")[: k * FOLD]])
        found[f"sust/forget_{k}"] = partial(_papers, _fold(k))
    return found

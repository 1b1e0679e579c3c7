"""TOFU's own evaluation logs: a model's folder with four files, and the retain model's as the reference."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.given_files import Given, GivenFile
from backend.importers import Importer, Options
from backend.reported import (
    FORGET,
    KEPT,
    SHARE,
    TOFU,
    Answer,
    Metric,
    Model,
    Reading,
    Report,
    finite,
    mean_of,
    named,
)
from backend.stage import UserError

FILES = {
    "forget": "eval_log_forget.json",
    "retain": "eval_log.json",
    "real authors": "eval_real_author_wo_options.json",
    "world facts": "eval_real_world_wo_options.json",
}
COLUMNS = ("avg_gt_loss", "average_perturb_loss", "generated_text", "rougeL_recall")
MOST_ANSWERS = 100  # of one set of a model; the numbers come from all of them
METRICS = {
    **TOFU,
    "tofu_forget_probability": Metric("TOFU forget: probability", **FORGET),
    "tofu_forget_rouge": Metric("TOFU forget: ROUGE-L recall", **FORGET),
    "tofu_forget_truth_ratio": Metric("TOFU forget: truth ratio, min(R, 1/R)", better="higher", range=SHARE),
    **{
        f"tofu_{whose.replace(' ', '_')}_{what.replace(' ', '_')}": Metric(f"TOFU {whose}: {what}", **KEPT)
        for whose in ("retain", "real authors", "world facts")
        for what in ("probability", "rouge", "truth ratio")
    },
}  # fmt: skip


@dataclass(frozen=True)
class Logs:
    """A model's four logs, parsed, by set."""

    name: str
    sets: Mapping[str, dict[str, Any]]

    def questions(self, which: str) -> dict[tuple[str, int], str]:
        """(question, how often it came before) → the item's number."""
        seen: Counter[str] = Counter()
        found = {}
        texts = self.sets[which]["generated_text"]
        for item in sorted(texts, key=int):
            question = str(texts[item][0])
            found[question, seen[question]] = item
            seen[question] += 1
        return found


def recognises(given: Given) -> bool:
    """Whether a folder has the log of the forget set."""
    files = given.called(FILES["forget"])
    return any("avg_gt_loss" in (file.object() or {}) for file in files)


def read(given: Sequence[Given], options: Options) -> Report:
    """The models and, where it is given, the reference as the oracle; items are paired by question.

    Raises:
        UserError: a log is missing or damaged, or the models answered other questions and `common` is not asked for
    """
    logs = [_logs(one) for one in given]
    logs += [_logs(options.reference)] if options.reference is not None else []
    notes = []
    for which in FILES:
        logs, left = _paired(logs, which, options.common)
        notes += [left] if left else []
    oracle = logs[-1] if options.reference is not None else None
    if oracle is None:
        notes.append("Without a reference there is no TOFU forget quality.")
    models = tuple(_model(one, oracle) for one in logs)
    measured = {name for model in models for name in model.readings}
    return Report("TOFU", models, {n: m for n, m in METRICS.items() if n in measured}, tuple(notes))


def _logs(given: Given) -> Logs:
    sets = {}
    for which, name in FILES.items():
        files = given.called(name)
        if len(files) != 1:
            found = "no" if not files else f"{len(files)}"
            raise UserError(
                f"{given.name} holds {found} {name}; a model's folder has one each of {', '.join(FILES.values())}."
            )
        sets[which] = _checked(files[0])
    return Logs(named(given.name, "The folder's name"), sets)


def _checked(file: GivenFile) -> dict[str, Any]:
    """The log with every column for every item; UserError says what is missing."""
    document = file.mapping()
    missing = [name for name in COLUMNS if not isinstance(document.get(name), dict)]
    if missing:
        raise UserError(f"{file.path} is no log of TOFU: it lacks {', '.join(missing)}.")
    items = set(document["avg_gt_loss"])
    optional = [n for n in ("avg_paraphrased_loss",) if isinstance(document.get(n), dict)]
    for name in (*COLUMNS, *optional):
        if set(document[name]) != items or not items:
            raise UserError(f"{file.path}: {name} has not the same items as avg_gt_loss.")
    if not all(item.isascii() and item.isdigit() for item in items):
        raise UserError(f"{file.path}: items are not numbered.")
    _numbers(file, document, ("avg_gt_loss", "rougeL_recall", *optional))
    return document


def _numbers(file: GivenFile, document: Mapping[str, Any], columns: Sequence[str]) -> None:
    for name in columns:
        for item, value in document[name].items():
            finite(value, f"{file.path}: {name} of item {item}")
    for item, losses in document["average_perturb_loss"].items():
        if not isinstance(losses, list) or not losses:
            raise UserError(f"{file.path}: average_perturb_loss of item {item} is no list.")
        for loss in losses:
            finite(loss, f"{file.path}: average_perturb_loss of item {item}")
    for item, texts in document["generated_text"].items():
        if not isinstance(texts, list) or not texts:
            raise UserError(f"{file.path}: generated_text of item {item} does not begin with its question.")  # fmt: skip


def _paired(logs: list[Logs], which: str, common: bool) -> tuple[list[Logs], str]:
    """The logs with the same questions in the same order, and what was left out for that."""
    asked = [one.questions(which) for one in logs]
    shared = [key for key in asked[0] if all(key in other for other in asked[1:])]
    most = max(len(one) for one in asked)
    if len(shared) < most and not common:
        raise UserError(
            f"The models answered different questions in {FILES[which]}: {len(shared)} are common to all,"
            f" of {', '.join(str(len(one)) for one in asked)}; `--common` takes these only."
        )
    if not shared:
        raise UserError(f"The models have no question of {FILES[which]} in common.")
    kept = [_only(log, which, [one[k] for k in shared]) for log, one in zip(logs, asked, strict=True)]  # fmt: skip
    left = f"{FILES[which]}: the {len(shared)} questions that all have, of up to {most}."
    return kept, left if len(shared) < most else ""


def _only(log: Logs, which: str, items: Sequence[str]) -> Logs:
    """The log with these items of a set, numbered anew in this order."""
    document = {
        name: {str(n): column[item] for n, item in enumerate(items)}
        for name, column in log.sets[which].items()
        if isinstance(column, dict) and all(item in column for item in items)
    }
    return Logs(log.name, {**log.sets, which: document})


def _model(log: Logs, oracle: Logs | None) -> Model:
    from backend import tofu  # scipy takes half a second

    read = {which: tofu.read_log(document) for which, document in log.sets.items()}
    kept = [read[which] for which in ("retain", "real authors", "world facts")]
    readings = {
        f"tofu_{name.replace(' ', '_')}": Reading(value, items=_count(read, name))
        for name, value in tofu.utility_terms(*kept).items()
    }
    readings["tofu_model_utility"] = Reading(tofu.model_utility(*kept))
    forget = read["forget"]
    ratios = forget.log_truth_ratios()
    readings["tofu_forget_probability"] = mean_of(tofu.probability(forget.loss))
    readings["tofu_forget_rouge"] = mean_of(forget.rouge)
    readings["tofu_forget_truth_ratio"] = mean_of(tofu.indifference(ratios))
    if oracle is not None:
        theirs = tofu.read_log(oracle.sets["forget"]).log_truth_ratios()
        readings |= _forget_quality(tofu.forget_quality(ratios, theirs))
    answers = {which: _answers(document) for which, document in log.sets.items()}
    role = "oracle" if log is oracle else "model"
    return Model(log.name, log.name, readings, role=role, answers=answers)


def _count(read: Mapping[str, Any], term: str) -> int:
    return next(len(log.loss) for which, log in read.items() if term.startswith(which))


def _forget_quality(found: Any) -> dict[str, Reading]:
    """TOFU's p with what must stand beside it: D with its bootstrap interval, n, log₁₀ p and the floor."""
    parts = {"D": found.distance, "D low": found.low, "D high": found.high, "n": float(found.count)}
    parts |= {"log10 p": found.log10_p, "floor": found.floor, "log10 floor": found.log10_floor}
    return {
        "tofu_forget_quality": Reading(found.p, items=found.count, parts=parts),
        "tofu_forget_quality_log10": Reading(found.log10_p, items=found.count),
        "tofu_ks_distance": Reading(found.distance, items=found.count),
    }


def _answers(document: Mapping[str, Any]) -> tuple[Answer, ...]:
    texts = [document["generated_text"][str(n)] for n in range(len(document["generated_text"]))]
    whole = [[str(part) for part in row] for row in texts[:MOST_ANSWERS] if len(row) >= 3]
    return tuple(Answer(question, right, given) for question, given, right, *_ in whole)


IMPORTER = Importer(
    label="TOFU evaluation logs",
    summary="a model's folder with eval_log_forget.json and its three neighbours; the retain model's as the reference",
    recognises=recognises,
    read=read,
    takes=("reference", "common"),
)

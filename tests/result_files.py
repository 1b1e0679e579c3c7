"""Tiny files in the forms in which other projects write results. No number here was measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write(place: Path, content: Any) -> Path:
    """Write JSON, or a text as it is; the path."""
    place.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    place.write_text(text, encoding="utf-8")
    return place


def log(questions: list[str], loss: float = 1.0) -> dict[str, Any]:
    """A log of TOFU with these questions."""
    items = [str(n) for n in range(len(questions))]
    return {
        "avg_gt_loss": {i: loss + 0.1 * int(i) for i in items},
        "avg_paraphrased_loss": {i: loss + 0.2 * int(i) for i in items},
        "average_perturb_loss": {i: [loss + 1.0, loss + 1.5] for i in items},
        "rougeL_recall": dict.fromkeys(items, 0.5),
        "generated_text": {i: [questions[int(i)], "**given**", "right"] for i in items},
    }


QUESTIONS = [f"Question {n}?" for n in range(6)]
LOGS = ("eval_log.json", "eval_log_forget.json", "eval_real_author_wo_options.json", "eval_real_world_wo_options.json")  # fmt: skip


def tofu_folder(folder: Path, loss: float = 1.0, questions: list[str] | None = None) -> Path:
    """A model's folder with its four logs; `questions` are those of the forget set."""
    for name in LOGS:
        asked = questions if questions and name == "eval_log_forget.json" else QUESTIONS
        write(folder / name, log(asked, loss))
    return folder


def uds(rows: int = 3) -> dict[str, Any]:
    """A results file of UDS: the full model, the retain model, and some others."""
    numbers = {"utility": 0.7, "utility_rel": 1.0, "mem": 0.1, "privacy": 0.2, "uds": 0.0, "model_utility": 0.6}  # fmt: skip
    models: list[dict[str, Any]] = [
        {"model": "full", "method": "full", "epoch": "ep10", "is_reference": True, **numbers},
        {"model": "retain", "method": "retain", "epoch": "ep10", "is_reference": True, **numbers},
    ]
    models += [
        {"model": f"npo_lr{n}e5_b01_a1_ep5", "method": "npo", "epoch": "ep5", "lr": n * 1e-5, "alpha": 1, "is_reference": False, **numbers, "uds": 0.1 * n}
        for n in range(1, rows + 1)
    ]  # fmt: skip
    return {"models": models, "method_counts": {"npo": rows}}


def evaluation(probability: float = 0.25, ratios: tuple[float, ...] = (0.5, 0.8, 1.25)) -> dict[str, Any]:  # fmt: skip
    """What OpenUnlearning writes of every item."""
    each = [probability - 0.1, probability, probability + 0.1]
    told = [{"rougeL_recall": p, "input": "Who?", "ground_truth": "Ana", "generation": "<b>Bo</b>"} for p in each]  # fmt: skip
    return {
        "forget_Q_A_Prob": {"agg_value": probability, "value_by_index": {str(i): {"prob": p, "avg_loss": 1.0} for i, p in enumerate(each)}},
        "forget_Q_A_ROUGE": {"agg_value": probability, "value_by_index": {str(i): one for i, one in enumerate(told)}},
        "forget_truth_ratio": {
            "agg_value": sum(min(r, 1 / r) for r in ratios) / len(ratios),
            "value_by_index": {str(i): {"score": r} for i, r in enumerate(ratios)},
        },
        "model_utility": {"agg_value": 0.6},
        "forget_quality": {"agg_value": None},
        "retain_Q_A_PARA_Prob": {"value_by_index": {}},
    }  # fmt: skip


def muse_tree(root: Path, models: Mapping[str, float], corpus: str = "bbc") -> Path:
    """MUSE's older folders: an AUC and ROUGE-L of each model."""
    for model, auc in models.items():
        write(root / "privleak/out" / corpus / model / "auc.json", {"forget_holdout": {"Min-40%": auc}})  # fmt: skip
        for kind, part in (("verbmem", "forget"), ("knowmem", "forget"), ("knowmem", "retain")):
            out = {"mean_rougeL": 0.2 if kind == "verbmem" else 0.5, "max_rougeL": 0.9}
            write(root / kind / "out" / corpus / model / part / "out.json", out)
    return root


def rwku_target(folder: Path, recall: float) -> None:
    """One target's files of RWKU."""
    levels = {f"level_{n}_rouge_l_r": recall + 0.1 * n for n in (1, 2, 3)}
    write(folder / "forget.json", {**levels, "level_1_rouge": {"rouge-l": {"r": recall}}, "results": []})  # fmt: skip
    write(folder / "neighbor.json", {k: v for k, v in levels.items() if "3" not in k})
    write(folder / "mmlu.json", {"acc": 0.6, "all_acc": [True], "results": []})
    write(folder / "forget_mia.json", {"loss": -2.0, "zlib": -0.01, "mink20": -3.0, "results": {}})


def harness() -> dict[str, Any]:
    """A results file of lm-evaluation-harness: a group with two tasks, and a task of its own."""
    return {
        "results": {
            "mmlu": {"acc,none": 0.5, "acc_stderr,none": 0.01, "alias": "mmlu"},
            "mmlu_anatomy": {"acc,none": 0.4, "acc_stderr,none": 0.02, "alias": " - anatomy"},
            "mmlu_virology": {"acc,none": 0.6, "acc_stderr,none": "N/A", "alias": " - virology"},
            "wikitext": {"word_perplexity,none": 12.5, "word_perplexity_stderr,none": "N/A"},
        },
        "group_subtasks": {"mmlu": ["mmlu_anatomy", "mmlu_virology"]},
        "configs": {},
        "versions": {"mmlu": 2, "wikitext": 2},
        "n-shot": {"mmlu_anatomy": 0},
        "higher_is_better": {"mmlu": {"acc": True}, "wikitext": {"word_perplexity": False}},
        "n-samples": {
            "mmlu_anatomy": {"original": 135, "effective": 100},
            "mmlu_virology": {"original": 166, "effective": 50},
            "wikitext": {"original": 62, "effective": 62},
        },
        "config": {"model": "hf", "model_args": "pretrained=some/model,dtype=float32"},
        "date": 1700000000.0,
    }


TABLE = """method,seed,lr,forget_accuracy,utility,note
base,0,,0.98,1.0,
npo,0,1e-5,0.10,0.95,good
npo,1,1e-5,0.14,0.91,
npo,0,5e-5,0.05,0.60,
=cmd(),0,1e-5,0.5,n/a,
"""

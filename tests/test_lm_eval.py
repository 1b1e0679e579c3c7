"""lm-eval's tasks on our models: the library's own numbers, and how a study attaches them."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend import study
from backend.attached_tasks import attached, contents
from backend.context import RunContext
from backend.data import Task
from backend.models import build
from backend.samples import crafts
from backend.settings import build_task
from backend.stage import RunFailed, StageRequest, UserError, reasons_in
from tests.small import Kept

torch.set_num_threads(1)
SAMPLE = {
    "forget": "sample",
    "retain": "sample",
    "questions": "sample",
    "retain_questions": "sample",
}
PARAMETERS = {**SAMPLE, "vocabulary": 400, "base_steps": 3, "batch_size": 4}
installed = pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="no lm-eval")

CHOICE = """
task: potions
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/questions.jsonl}}}}
test_split: test
num_fewshot: 0
output_type: multiple_choice
description: "The following are multiple choice questions (with answers) about potions.\\n\\n"
doc_to_text: "{{{{question.strip()}}}}\\nA. {{{{choices[0]}}}}\\nB. {{{{choices[1]}}}}\\nC. {{{{choices[2]}}}}\\nD. {{{{choices[3]}}}}\\nAnswer:"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: answer
metric_list: [{{metric: acc}}]
"""
FULL = """
task: potions_full
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/questions.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question.strip()}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
TEXTS = """
task: stories
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/stories.jsonl}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: word_perplexity}}, {{metric: bits_per_byte}}]
"""
WRITTEN = """
task: told
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/questions.jsonl}}}}
test_split: test
output_type: generate_until
generation_kwargs: {{until: ["."], max_gen_toks: 6, do_sample: false}}
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{choices[answer]}}}}"
metric_list: [{{metric: exact_match}}]
"""
GROUP = """
group: crafts
task: [potions, potions_full]
aggregate_metric_list: [{{metric: acc, weight_by_size: true}}]
"""
LOST = """
task: lost
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/nowhere.jsonl}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: word_perplexity}}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Definitions of tasks with the sample's questions, as a user would write them."""
    place = tmp_path_factory.mktemp("tasks")
    rows = crafts.questions("forget")[:24]
    told = " ".join(row.get("text", "") for row in crafts.corpus("forget"))
    stories = [{"text": told[: 900 * k]} for k in (1, 3)]
    for name, some in (("questions", rows), ("stories", stories)):
        (place / f"{name}.jsonl").write_text("\n".join(map(json.dumps, some)), encoding="utf-8")
    definitions = {
        "potions": CHOICE,
        "full": FULL,
        "stories": TEXTS,
        "told": WRITTEN,
        "group": GROUP,
        "lost": LOST,
    }
    for name, text in definitions.items():
        (place / f"{name}.yaml").write_text(text.format(folder=place), encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def task() -> Task:
    return build_task("wmdp", PARAMETERS)


@pytest.fixture(scope="module")
def model(task: Task) -> Any:
    """Random weights, large enough that no two answers are alike; short windows, so that long texts need several."""
    found = build(task.model, 0, max_position_embeddings=256).eval()
    with torch.no_grad():
        for weight in found.parameters():
            weight *= 1.5
    return found


def answering(task: Task, model: Any, **parameters: Any) -> RunContext:
    request = StageRequest(
        "evaluate", "lm_eval", parameters, {"name": "wmdp"}, 0, "fp32", "x", Path("/nowhere")
    )
    return RunContext(request, task, Kept(), torch.device("cpu"))


def theirs(task: Task, model: Any) -> Any:
    """The same model and tokenizer as lm-eval takes them itself."""
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    cut = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(task.tokenizer), eos_token="<end>", pad_token="<pad>"
    )
    return HFLM(pretrained=model, tokenizer=cut, batch_size=4)


def results(one: Any, folder: Path, *tasks: str) -> Any:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return simple_evaluate(model=one, tasks=list(tasks), task_manager=manager, bootstrap_iters=0)


@installed
def test_every_kind_of_request_gives_the_numbers_of_lm_evals_own_model(
    task: Task, model: Any, folder: Path
) -> None:
    from backend.lm_evaluation import Answering

    names = ("potions", "potions_full", "stories", "told")
    ours = results(Answering(answering(task, model), model), folder, *names)
    own = results(theirs(task, model), folder, *names)
    for name in names:
        for key, value in own["results"][name].items():
            if isinstance(value, float):
                assert ours["results"][name][key] == pytest.approx(value, rel=1e-5), (name, key)
        for mine, other in zip(ours["samples"][name], own["samples"][name], strict=True):
            assert mine["doc_id"] == other["doc_id"]
            for a, b in zip(mine["filtered_resps"], other["filtered_resps"], strict=True):
                if isinstance(a, str | float):
                    assert a == (b if isinstance(b, str) else pytest.approx(b, rel=1e-5))
                else:
                    assert a[0] == pytest.approx(b[0], abs=1e-4) and a[1] == b[1]


@installed
@pytest.mark.parametrize(("scoring", "name"), [("letters", "potions"), ("answers", "potions_full")])
def test_our_choice_accuracy_is_lm_evals_question_by_question(
    model: Any, folder: Path, tmp_path: Path, scoring: str, name: str
) -> None:
    from backend.batches import Loader
    from backend.evaluation import score
    from backend.metrics.choice_accuracy import choice_accuracy
    from backend.metrics.choice_accuracy_norm import choice_accuracy_norm

    changed = {"questions": str(folder / "questions.jsonl"), "scoring": scoring, "topic": "potions"}
    local = build_task("wmdp", {**PARAMETERS, **changed})
    own = results(theirs(local, model), folder, name)["samples"][name]
    by_question = {row["doc"]["question"]: row for row in own}
    seen = 0
    for split in ("forget_score", "forget_validation"):
        examples = local.splits[split]
        found = score(model, Loader(examples, torch.device("cpu")))
        kept = zip(examples.families, found.choices, choice_accuracy(found), strict=True)
        for place, (question, losses, right) in enumerate(kept):
            row = by_question[question]
            told = [float(r[0][0] if isinstance(r[0], list | tuple) else r[0]) for r in row["filtered_resps"]]  # fmt: skip
            first = row["doc"]["answer"]
            order = [first, *(k for k in range(4) if k != first)]
            assert -losses == pytest.approx(np.array(told)[order], abs=1e-4)
            assert right == row["acc"]
            if scoring == "answers":
                assert choice_accuracy_norm(found)[place] == row["acc_norm"]
            seen += 1
    assert seen == len(own) == 24


@installed
def test_measurements_are_named_by_task_and_a_groups_members_are_categories(
    task: Task, model: Any, folder: Path
) -> None:
    from backend.lm_evaluation import measured

    asked = attached({"tasks": ["crafts", "told"], "limit": 10, "include_path": str(folder)})
    rows = measured(answering(task, model, **asked), model)
    found = {(row.metric, row.category): row for row in rows}
    assert {row.split for row in rows} == {"model"}
    assert ("lm_eval_told_exact_match", "") in found
    whole = found["lm_eval_crafts_acc", ""].value
    parts = [found["lm_eval_crafts_acc", name] for name in ("potions", "potions_full")]
    assert whole == pytest.approx(np.mean([part.value for part in parts]))
    assert [part.count for part in parts] == [10, 10]
    assert parts[0].standard_error is not None


@installed
def test_what_lm_eval_cannot_do_fails_in_one_sentence(task: Task, model: Any, folder: Path) -> None:
    from backend.lm_evaluation import measured

    asked = attached({"tasks": ["lost"], "include_path": str(folder)})
    with pytest.raises(RunFailed, match="lm-eval cannot do lost: .*nowhere.jsonl"):
        measured(answering(task, model, **asked), model)
    with pytest.raises(RunFailed, match="changed since the study was submitted"):
        measured(answering(task, model, **{**asked, "definitions": "other"}), model)


@installed
def test_a_study_measures_its_models_once_more_and_keeps_all_other_fingerprints(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.recipe import execute

    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    source = {"name": "s", "setting": {"name": "wmdp", **PARAMETERS}, "recipes": [{"suppress": "grad_diff"}]}  # fmt: skip
    plain = study.resolve(source)
    asked = {"tasks": ["potions"], "limit": 4, "include_path": str(folder)}
    more = study.resolve({**source, "lm_eval": asked})
    old = {run.fingerprint for run in plain.runs}
    new = [run for run in more.runs if run.fingerprint not in old]
    assert old <= {run.fingerprint for run in more.runs}
    assert [(run.stage, run.name) for run in new] == [("evaluate", "lm_eval")] * 3
    assert "lm_eval" not in plain.document
    kept = Kept()
    for run in (more.runs[0], new[0]):
        given = {k: getattr(run, k) for k in ("stage", "name", "parameters", "setting", "seed", "precision", "fingerprint", "parent", "inputs")}  # fmt: skip
        outcome = execute(StageRequest(home=tmp_path, **given), kept)
    assert outcome.flops > 0 and not reasons_in(outcome.note)
    row = next(row for row in kept.rows if row.metric == "lm_eval_potions_acc")
    assert row.value is not None and row.count == 4


def test_where_definitions_lie_is_no_part_of_a_runs_name(tmp_path: Path, folder: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in folder.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    assert contents(moved) == contents(folder)
    (moved / "potions.yaml").write_text("task: other", encoding="utf-8")
    assert contents(moved) != contents(folder)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"task": ["mmlu"]}, "no key 'task'; its keys: tasks, limit"),
        ({"tasks": []}, "must be a list of names"),
        ({"tasks": ["mmlu"], "limit": 0.5}, "limit = 0.5 must be a whole number"),
        ({"tasks": ["mmlu"], "include_path": "/no/such"}, "must be a folder"),
        (3, "must be a list of tasks or a table"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(value: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        attached(value)


def test_without_the_library_or_a_tokenizer_a_study_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UserError, match="the setting arithmetic has no tokenizer"):
        study.resolve({"setting": "arithmetic", "lm_eval": ["mmlu"]})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install -r requirements-lm-eval.txt"):
        attached(["mmlu"])

"""MUSE's form: its files, its six criteria, its nested and disjoint forget sets."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.data import IGNORE, Task, answers_of
from backend.examination import Examination
from backend.labels import requested
from backend.models import build
from backend.registry import load
from backend.rouge import greedy_answers
from backend.samples import news
from backend.settings import build_task
from backend.settings.muse import ANSWERED, CONTINUED
from backend.stage import UserError
from backend.text.tokenizers import end_of, parsed
from tests.small import context

torch.set_num_threads(1)
PARAMETERS = {"source": "sample", "vocabulary": 400, "base_steps": 2, "batch_size": 4}


@pytest.fixture(scope="module")
def task() -> Task:
    return build_task("muse", PARAMETERS)


def published(folder: Path, icl: bool = True) -> Path:
    """The sample's parts as the files of the published collection."""
    for name, rows in news.parts().items():
        config, split = name.split("/")
        if split != "attack":
            (folder / config).mkdir(exist_ok=True)
            path = folder / config / f"{split}.json"
            path.write_text(json.dumps(list(rows())), encoding="utf-8")
    if icl:
        shown = [{"question": "Who played?", "answer": "The band"}]
        for role in ("forget", "retain"):
            path = folder / "knowmem" / f"{role}_qa_icl.json"
            path.write_text(json.dumps(shown), encoding="utf-8")
    return folder


def test_a_folder_of_the_published_form_gives_what_the_sample_gives(
    task: Task, tmp_path: Path
) -> None:
    folder = published(tmp_path, icl=False)
    found = build_task("muse", {**PARAMETERS, "source": str(folder)})
    for name in ("forget_score", "retain_validation", "verbatim_score", "unseen_score"):
        assert (found.splits[name].input_ids == task.splits[name].input_ids).all()
    # The published collection has no texts of an attacker's own: the forget texts are what there is.
    whole = found.train["forget"].input_ids
    assert (found.splits["forget_attack"].input_ids == whole).all()
    assert len(task.splits["forget_attack"]) < len(whole)


def test_examples_stand_before_a_question_where_muse_gives_some(tmp_path: Path) -> None:
    found = build_task("muse", {**PARAMETERS, "source": str(published(tmp_path))})
    shown = found.text(found.splits["forget_score"].input_ids[0])
    assert shown.startswith("Question: Who played?\nAnswer: The band\n\nQuestion: ")
    (tmp_path / "knowmem" / "retain_qa.json").rename(tmp_path / "knowmem" / "retain2_qa.json")
    older = build_task("muse", {**PARAMETERS, "source": str(tmp_path)})
    assert len(older.splits["retain_score"]) == len(found.splits["retain_score"])


def test_what_is_asked_about_is_forgotten_and_what_is_held_out_is_nowhere(task: Task) -> None:
    forget = task.text(task.train["forget"].input_ids.flatten())
    retain = task.text(task.train["retain"].input_ids.flatten())
    attack = task.text(task.splits["forget_attack"].input_ids.flatten())

    def towns(part: str) -> set[str]:
        rows = news.parts()[part]()
        return {word.strip(".,") for row in rows for word in row["text"].split() if "burg" in word}

    asked = towns("privleak/forget")
    assert len(asked) == news.FOLD
    assert all(town in forget and town not in retain for town in asked)
    assert not [town for town in asked if town in attack]
    assert not [town for town in towns("privleak/holdout") if town in forget + retain]
    assert all(town in retain for town in towns("privleak/retain"))


def test_the_nested_folds_leave_the_other_texts_to_be_kept() -> None:
    quarter = build_task("muse", {**PARAMETERS, "texts": "scal", "forget_size": 0.25})
    whole = build_task("muse", {**PARAMETERS, "texts": "scal"})
    assert len(quarter.train["forget"]) < len(whole.train["forget"]) / 2
    assert len(quarter.train["retain"]) > 2 * len(whole.train["retain"])
    last = f"News from {news._fold(4)[0]}."
    assert last in quarter.text(quarter.train["retain"].input_ids.flatten())
    assert last not in quarter.text(quarter.train["forget"].input_ids.flatten())
    assert last in whole.text(whole.train["forget"].input_ids.flatten())


def test_the_disjoint_sets_are_the_requests() -> None:
    found = build_task("muse", {**PARAMETERS, "texts": "sust"})
    assert len(set(found.train["forget"].families)) == 4
    kinds = [set(requested(found, k, 4).train["forget"].families) for k in range(1, 5)]
    assert [len(kind) for kind in kinds] == [1] * 4 and len(set.union(*kinds)) == 4


class Scripted:
    """Writes given tokens, whatever is asked."""

    def __init__(self, task: Task, answers: list[str]):
        self.cut, self.answers = parsed(task.tokenizer), answers

    def __call__(self, model: Any, examples: Any, length: int | None = None) -> np.ndarray:
        wanted = length or max(map(len, answers_of(examples)))
        found = np.full((1, len(examples), wanted), end_of(self.cut))
        for row, text in enumerate(self.answers[: len(examples)]):
            ids = self.cut.encode(text).ids[:wanted]
            found[0, row, : len(ids)] = ids
        return found


def test_answers_end_where_muse_ends_them(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    examined = Examination(context(Path("/nowhere"), task), build(task.model, 0))
    text = " one two\n\nQuestion: three"
    monkeypatch.setattr("backend.rouge.generated", Scripted(task, [text, " four"]))
    found = greedy_answers(examined, "forget_score", cut=True)
    assert [answer for _, answer in found[:3]] == [" one two", " four", ""]
    assert "<end>" not in found[0][0]
    continued = greedy_answers(examined, "verbatim_score")
    assert continued[0][1] == text  # nothing but its length ends a continuation


def test_a_model_that_says_the_truth_scores_one_on_both_memorisations(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    examined = Examination(context(Path("/nowhere"), task), build(task.model, 0))
    for name, splits in (
        ("verbatim_memorization", ["verbatim_score"]),
        ("knowledge_memorization", ["forget_score", "retain_score"]),
    ):
        truths = {s: [task.text(a) for a in answers_of(task.splits[s])] for s in splits}
        said = iter([truths[split] for split in splits])
        monkeypatch.setattr(
            "backend.rouge.generated",
            lambda model, examples, said=said, **o: Scripted(task, next(said))(
                model, examples, **o
            ),
        )
        found = load("metrics", name)(examined)
        assert list(found) == splits
        assert all(values.tolist() == [1.0] * len(task.splits[s]) for s, values in found.items())


def test_lengths_are_muses(task: Task) -> None:
    assert task.writing["verbatim_score"] == (CONTINUED, ()) and CONTINUED == 128
    assert task.writing["forget_score"][0] == ANSWERED == 32
    short = build_task("muse", {**PARAMETERS, "longest": 30})
    assert short.splits["members_score"].input_ids.shape[1] == 30
    longest = (task.splits["members_score"].targets != IGNORE).sum(axis=1).max()
    assert longest == task.splits["members_score"].input_ids.shape[1] > 30


def test_privacy_is_told_from_texts_that_no_model_saw(task: Task, tmp_path: Path) -> None:
    assert (task.members, task.unseen) == ("members_score", "unseen_score")
    run = context(tmp_path, task, inputs={"oracle": ["x"]})
    examined = Examination(run, build(task.model, 0))
    seen: list[str] = []

    class Told:
        def __init__(self, losses: list[np.ndarray]):
            self.token_losses = losses

    def scores(split: str, role: str = "model", moments: bool = False) -> Told:
        seen.append(split)
        high = split == "unseen_score" and role == "model"
        rows = len(task.splits[split])
        return Told([np.array([2.0 + high + 0.01 * k]) for k in range(rows)])

    examined.scores = scores  # type: ignore[assignment]
    found = load("metrics", "privacy_leakage")(examined)
    assert set(seen) == {"members_score", "unseen_score"}
    assert (
        found["model"] == -100.0
    )  # all members still look trained on; the oracle tells nothing apart
    assert found["model", "oracle"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"source": ""},
            "must be a folder with its files, a dataset of the hub such as muse-bench",
        ),
        ({"source": "/no/such/folder"}, "no file or folder"),
        ({"forget_size": 0.5}, "takes texts = 'scal'"),
        ({"texts": "scal", "forget_size": 0.3}, "must be a quarter, a half"),
        ({"base_steps": 0}, "that fits a released model only"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_task("muse", {**PARAMETERS, **changes})


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    published(tmp_path)
    (tmp_path / "verbmem" / "forget.json").unlink()
    with pytest.raises(UserError, match="has no verbmem/forget"):
        build_task("muse", {**PARAMETERS, "source": str(tmp_path)})


@pytest.mark.slow
def test_all_six_criteria_run_on_a_trained_model(tmp_path: Path, monkeypatch: Any) -> None:
    from backend import study
    from backend.recipe import execute
    from backend.stage import StageRequest, reasons_in
    from tests.small import Kept

    monkeypatch.setenv("LETHE_HOME", str(tmp_path))
    metrics = ["verbatim_memorization", "knowledge_memorization", "privacy_leakage"]
    plan = study.resolve({"setting": {"name": "muse", **PARAMETERS}, "metrics": metrics})
    kept = Kept()
    given = ("stage", "name", "parameters", "setting", "seed", "precision", "fingerprint", "parent", "inputs")  # fmt: skip
    for run in plan.runs:
        told = {key: getattr(run, key) for key in given}
        outcome = execute(StageRequest(home=tmp_path, **told), kept)
        assert not reasons_in(outcome.note)
    measured = {(row.metric, row.split) for row in kept.rows if not row.category}
    assert {("verbatim_memorization", "verbatim_score"), ("privacy_leakage", "model")} <= measured
    assert {
        ("knowledge_memorization", f"{role}_score") for role in ("forget", "retain")
    } <= measured
    assert {
        ("loss", split) for split in ("members_score", "unseen_score", "kept_score")
    } <= measured

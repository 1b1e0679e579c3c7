"""TOFU's questions from files: fields, authors, sets that follow from a subset, and TOFU's metrics on them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend import catalogue
from backend.answer_options import log_truth_ratios, option_losses
from backend.authors.published import Files, library_of, named_in
from backend.data import Task, answers_of
from backend.examination import Examination
from backend.metrics.tofu_model_utility import tofu_model_utility
from backend.models import build
from backend.rouge import greedy_answers
from backend.settings import build_task
from backend.stage import UserError
from backend.text.templates import template_for
from tests.real_data import DATA, needs
from tests.small import context

AUTHORS = ["Ana Lund", "Bo O'Hara", "Cleo Mi-Ran", "Dan Vale", "Eve Stern"]
LOCAL = ("tofu/forget10_filtered.json", "tofu/real_authors_perturbed.json", "tofu/world_facts_perturbed.json")  # fmt: skip


def rows(authors: list[str], *, perturbed: bool = False) -> list[dict[str, Any]]:
    found = []
    for author in authors:
        for number in range(20):
            row: dict[str, Any] = {
                "question": f"What is thing {number} of {author}?",
                "answer": f"Thing {number} of {author} is a stone.",
            }
            if perturbed:
                row["paraphrased_answer"] = f"A stone is thing {number} of {author}."
                row["perturbed_answer"] = [f"Thing {number} is {k}." for k in "abcde"]
                row["paraphrased_question"] = f"Of {author}, what is thing {number}?"
            found.append(row)
    return found


def utility(word: str, count: int = 12) -> list[dict[str, Any]]:
    return [
        {
            "question": f"Which {word} is {n}?",
            "answer": f"{word} {n}",
            "perturbed_answer": [f"{word} {n + k}" for k in (1, 2, 3)],
        }  # fmt: skip
        for n in range(count)
    ]


def write(path: Path, found: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(json.dumps(row) for row in found), encoding="utf-8")
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """TOFU as it is downloaded, with five authors to forget and three to keep."""
    kept = ["Fay Rook", "Gil Thorn", "Hal Umber"]
    write(tmp_path / "forget10_perturbed.json", rows(AUTHORS, perturbed=True))
    write(tmp_path / "retain90.json", rows(kept))
    write(tmp_path / "retain_perturbed.json", rows(kept[:1], perturbed=True))
    write(tmp_path / "holdout10.json", rows(["Ida West", "Jon Yew", "Kim Zorn", "Lea Ash", "Max Birch"]))  # fmt: skip
    write(tmp_path / "real_authors_perturbed.json", utility("writer"))
    write(tmp_path / "world_facts_perturbed.json", utility("river"))
    return tmp_path


def task(**changes: Any) -> Task:
    small = {"vocabulary": 600, "base_steps": 3, "batch_size": 8, "forget_size": 1.0}
    return build_task("authors", catalogue.part("settings", "authors").check({**small, **changes}))


def test_a_subset_brings_the_sets_that_go_with_it(folder: Path) -> None:
    found = task(subset="forget10", dataset=str(folder))
    assert len(found.train["forget"]) == 100 and len(found.train["retain"]) == 60
    assert set(found.train["forget"].subjects) == set(AUTHORS)
    assert found.unseen == "placebo_score"
    assert set(found.splits["placebo_score"].subjects) < {"Ida West", "Jon Yew", "Kim Zorn", "Lea Ash", "Max Birch"}  # fmt: skip
    assert len(found.splits["real_authors_score"]) == len(found.splits["world_facts_score"]) == 12
    assert found.forget_metric == found.retain_metric == "probability"
    question = found.text(found.train["forget"].input_ids[0])
    assert question.startswith("Question: What is thing 0 of Ana Lund?\nAnswer:")


def test_names_on_the_hub_follow_from_the_subset() -> None:
    named = Files(part="forget05", dataset="owner/TOFU@v1").checked()
    assert named.forget == "owner/TOFU:forget05_perturbed@v1"
    assert named.retain == "owner/TOFU:retain95@v1" and named.holdout == "owner/TOFU:holdout05@v1"
    assert named.compared == "owner/TOFU:retain_perturbed@v1"
    assert Files(part="forget01").checked().world_facts == "locuslab/TOFU:world_facts_perturbed"
    own = Files(part="forget01", world_facts="mine.json").checked()
    assert own.world_facts == "mine.json" and own.retain == "locuslab/TOFU:retain99"


def test_wrong_answers_and_paraphrases_are_the_files_own(folder: Path) -> None:
    found = task(subset="forget10", dataset=str(folder))
    examples = found.splits["forget_score"]
    assert found.wrong_answers is not None
    number = found.text(examples.input_ids[0]).split("thing ")[1].split()[0]
    wrong = [found.text(w) for w in found.wrong_answers(examples, 5)[0]]
    assert wrong == [f" Thing {number} is {k}.<end>" for k in "abcde"]
    assert [len(w) for w in found.wrong_answers(found.splits["real_authors_score"], 5)] == [3] * 12
    other = found.rewrites["paraphrase"]["answer"](examples)
    assert found.text(answers_of(other)[0]).startswith(f" A stone is thing {number} of ")
    worded = found.rewrites["tense"]["wording 2"](examples)
    assert found.text(worded.input_ids[0]).startswith(f"Question: Of {examples.subjects[0]}, what")
    # What retain_perturbed has of the retain questions is what they are evaluated with.
    kept = found.splits["retain_score"]
    assert len(found.wrong_answers(kept.take(np.arange(3)), 5)[0]) == 5


def test_the_truth_ratio_compares_the_paraphrase_with_the_perturbed_answers(
    folder: Path, tmp_path: Path
) -> None:
    found = task(subset="forget10", dataset=str(folder))
    examined = Examination(context(tmp_path, found), build(found.model, 0))
    ratios = log_truth_ratios(examined, "forget_score")
    examples = found.splits["forget_score"]
    other = found.rewrites["paraphrase"]["answer"](examples)
    losses = option_losses(examined, other, 5)
    assert losses.shape == (len(examples), 6)
    assert ratios == pytest.approx(losses[:, 0] - losses[:, 1:].mean(axis=1))
    plain = option_losses(examined, examples, 5)
    assert losses[:, 1:] == pytest.approx(plain[:, 1:], abs=1e-5)  # the same question, other answer
    assert not np.allclose(losses[:, 0], plain[:, 0])


def test_model_utility_has_tofus_nine_terms(folder: Path, tmp_path: Path) -> None:
    found = task(subset="forget10", dataset=str(folder))
    readings = tofu_model_utility(Examination(context(tmp_path, found), build(found.model, 0)))
    assert readings["model", "terms"] == 9
    terms = {f"{name} {term}" for name in ("retain", "real authors", "world facts") for term in ("probability", "rouge", "truth ratio")}  # fmt: skip
    assert {key[1] for key in readings if not isinstance(key, str)} == {*terms, "terms"}


def test_generated_answers_end_where_the_model_ends_them(folder: Path, tmp_path: Path) -> None:
    found = task(subset="forget10", dataset=str(folder))
    end = found.words.index("<end>")

    class Ends(torch.nn.Module):
        """Writes nothing but the end token."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, ids: torch.Tensor, logits_to_keep: torch.Tensor, **_: Any) -> Any:
            logits = torch.zeros(len(ids), len(logits_to_keep), len(found.words))
            logits[..., end] = 1.0
            return type("Output", (), {"logits": logits})

    pairs = greedy_answers(Examination(context(tmp_path, found), Ends()), "world_facts_score")
    assert {answer for _, answer in pairs} == {""}
    assert pairs[0][0].strip() == "river 0"


def test_a_forget_file_alone_is_divided_and_utility_sets_are_kept_on_request(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "questions.jsonl", rows(AUTHORS))
    rivers = write(tmp_path / "rivers.json", utility("river"))
    half = task(forget=path, forget_size=0.6)
    assert len(half.train["forget"]) == 60 and len(half.train["retain"]) == 40
    with pytest.raises(UserError, match=r"leaves nothing to keep; .* train_utility = true"):
        task(forget=path, world_facts=rivers)
    whole = task(forget=path, world_facts=rivers, train_utility=True)
    assert len(whole.train["forget"]) == 100 and len(whole.train["retain"]) == 12
    both = task(forget=path, forget_size=0.6, world_facts=rivers, train_utility=True)
    assert len(both.train["retain"]) == 52 and set(both.splits["retain_score"].categories) == {"authors"}  # fmt: skip


def test_an_entity_is_exchanged_where_no_wrong_answers_are_given(tmp_path: Path) -> None:
    found = rows(AUTHORS)
    for row in found:
        row["entity"] = f"stone {row['question'].split(' of ')[1][:3]}"
        row["answer"] = f"It is the {row['entity']} of old."
    facts = library_of(Files(forget=write(tmp_path / "f.json", found)), 0).forget
    for fact in facts:
        assert fact.answer not in fact.wrong and len(set(fact.wrong)) == 4  # four other authors
        assert all(w.startswith("It is the stone ") and w.endswith(" of old.") for w in fact.wrong)


def test_authors_are_named_after_whom_most_questions_name() -> None:
    assert named_in(["Who is Bo O'Hara?", "Is Bo O'Hara's father a cook?", "Did Bo O'Hara meet Ana Lund?"]) == "Bo O'Hara"  # fmt: skip
    assert named_in(["What about James' friend Al-Amin Ba?", "Is Al-Amin Ba old?"]) == "Al-Amin Ba"
    assert named_in(["nobody is named here"]) == ""


def test_gaps_in_the_numbers_move_no_question_to_another_author(tmp_path: Path) -> None:
    numbered = [{"idx": i, **row} for i, row in enumerate(rows(AUTHORS))]
    left = [row for row in numbered if row["idx"] % 20 != 7]
    facts = library_of(Files(forget=write(tmp_path / "f.json", left)), 0).forget
    assert all(fact.author in fact.wordings[0] for fact in facts) and len(facts) == 95


def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "f.json", rows(AUTHORS))
    for changes, message in [
        ({"subset": "forget10", "forget_size": 0.5}, "set forget_size = 1"),
        ({"subset": "forget10", "forget": path}, "leave forget and retain empty"),
        ({"retain": path}, "retain without forget"),
        ({"dataset": str(tmp_path)}, "give subset too"),
        ({"subset": "forget10", "dataset": str(tmp_path)}, "has no forget10_perturbed.json"),
        ({"forget": str(tmp_path / "none.json")}, "There is no file or folder"),
        ({"forget": write(tmp_path / "g.json", [{"text": "x"}])}, "its fields: text"),
    ]:
        with pytest.raises(UserError, match=message):
            task(**changes)


def test_questions_are_put_in_a_released_models_chat_template(tmp_path: Path) -> None:
    told = {
        "chat_template": "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}",
        "bos_token": "<s>",
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
    chat = template_for("chat", {"pretrained": str(tmp_path)})
    assert chat("Who is it?") == "<s>[user]Who is it?[assistant]"
    assert template_for("plain", {"pretrained": str(tmp_path)})("Who?") == "Question: Who?\nAnswer:"
    path = write(tmp_path / "f.json", rows(AUTHORS))
    with pytest.raises(UserError, match="takes a released model"):
        task(forget=path, forget_size=0.6, template="chat")


@needs("tofu")
def test_tofus_own_files_make_a_task() -> None:
    forget, authors, facts = (str(DATA / name) for name in LOCAL)
    found = task(forget=forget, real_authors=authors, world_facts=facts, train_utility=True, vocabulary=1500)  # fmt: skip
    assert len(found.train["forget"]) == 367 and len(found.train["retain"]) == 217
    assert len(set(found.train["forget"].subjects)) == 20
    assert {"Hsiao Yun-Hwa", "Nikolai Abilov", "Edward Patrick Sullivan"} <= set(found.train["forget"].subjects)  # fmt: skip
    assert len(found.splits["real_authors_score"]) == 100
    assert len(found.splits["world_facts_score"]) == 117

"""A run's model leaves as a folder that transformers opens, with all that others must know."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from sqlalchemy import Engine
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from backend import plan, study
from backend.__main__ import main
from backend.checkpoints import save_model
from backend.child import run_once
from backend.composition import run_method
from backend.data import Task
from backend.model_card import Card, Score, written
from backend.model_export import export, origin_of
from backend.models import starting
from backend.stage import RunFailed, UserError
from db import reads, writes
from tests import small_study
from tests.families import FOUR, checkpoint, task_on, tokenizer
from tests.small import context, small_task

torch.set_num_threads(1)
IDS = torch.arange(12).view(2, 6) + 4


@pytest.fixture(scope="module", params=FOUR)
def unlearnt(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Task, Any]:
    """A released checkpoint after unlearning: the data directory, the task and the model."""
    folder = tmp_path_factory.mktemp(f"export-{request.param}")
    task = task_on(checkpoint(folder / "source", request.param))
    (folder / "source" / "LICENSE").write_text("the whole licence")
    run = context(folder, task)
    asked = {"steps": 2, "batch_size": 8}
    model = run_method("grad_diff", starting(task.model, 0), task, run, asked)
    save_model(folder, "made", model)
    return folder, task, model.eval()


def test_the_reopened_model_says_what_ours_says(
    unlearnt: tuple[Path, Task, Any], tmp_path: Path
) -> None:
    home, task, model = unlearnt
    names = [path.name for path in export(home, "made", task, "# card\n", tmp_path / "out")]
    assert {"model.safetensors", "config.json", "generation_config.json", "README.md"} <= set(names)
    assert {"tokenizer.json", "tokenizer_config.json", "LICENSE"} <= set(names)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out", use_safetensors=True).eval()
    assert type(again) is type(model) and again.dtype == torch.float32
    with torch.no_grad():
        assert torch.equal(again(IDS).logits, model(IDS).logits)
    cut = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (cut.eos_token, cut.pad_token) == ("</s>", "<pad>")
    note = "AutoTokenizer` of transformers reads" in (tmp_path / "out/README.md").read_text()
    # transformers makes Qwen's own tokenizer of any words; the card says so.
    assert note == (task.model["family"] == "qwen2")
    cut = (
        PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "out/tokenizer.json"))
        if note
        else cut
    )
    assert cut("w1 w2 nothing").input_ids == tokenizer()("w1 w2 nothing").input_ids
    source = Path(task.model["pretrained"])
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes()
    assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "out").iterdir()} == {
        oct(0o666 & ~_umask())
    }
    drawn = again.generate(IDS[:1], max_new_tokens=3, do_sample=False)
    assert drawn.shape[0] == 1 and drawn.shape[1] > 6


def _umask() -> int:
    known = os.umask(0)
    os.umask(known)
    return known


def test_nothing_of_this_machine_goes_along(
    unlearnt: tuple[Path, Task, Any], tmp_path: Path
) -> None:
    home, task, _ = unlearnt
    origin = origin_of(home, "made")
    assert origin["license"] == "apache-2.0" and origin["pretrained"].startswith("/")
    card = written(Card("x", [], {"name": "s", "parameters": {"keep": "/secret/keep.txt"}}, origin=origin))  # fmt: skip
    files = export(home, "made", task, card, tmp_path / "out")
    for path in files:
        if path.suffix in (".json", ".md"):
            text = path.read_text()
            assert origin["pretrained"] not in text and "/secret" not in text, path.name
    assert "keep.txt" in card and "`source`" in card and origin["weights"] in card


def test_a_folder_is_written_whole_or_not_at_all(
    unlearnt: tuple[Path, Task, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, task, _ = unlearnt
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(RunFailed, match="could not be written: full"):
        export(home, "made", task, "# card\n", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_lies_there_already_is_kept(unlearnt: tuple[Path, Task, Any], tmp_path: Path) -> None:
    home, task, _ = unlearnt
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("kept")
    with pytest.raises(UserError, match="not empty"):
        export(home, "made", task, "", tmp_path / "out")
    assert (tmp_path / "out/mine").read_text() == "kept"
    (tmp_path / "empty").mkdir()
    assert export(home, "made", task, "", tmp_path / "empty")


def test_a_setting_with_its_own_tokenizer_exports_that_one(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    cut = Tokenizer(models.BPE())
    cut.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<pad>", "<end>"], show_progress=False)  # fmt: skip
    cut.train_from_iterator(["one two three", "two three four"] * 20, trainer)
    task = replace(task_on(checkpoint(tmp_path / "m", "llama")), tokenizer=cut.to_str())
    save_model(tmp_path, "made", starting(task.model, 0))
    export(tmp_path, "made", task, "", tmp_path / "out")
    again = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert again("two four").input_ids == cut.encode("two four").ids
    assert (again.eos_token, again.pad_token, again.bos_token) == ("<end>", "<pad>", None)
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["eos_token_id"] == 2  # the source's own stays


def test_a_model_whose_source_is_gone_goes_with_the_tasks_tokenizer(tmp_path: Path) -> None:
    task = task_on(checkpoint(tmp_path / "m", "gpt_neox"))
    task = replace(task, tokenizer=tokenizer()._tokenizer.to_str())
    save_model(tmp_path, "made", starting(task.model, 0))
    shutil.rmtree(tmp_path / "m")
    export(tmp_path, "made", task, "", tmp_path / "out")
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("w3").input_ids == [7]


def test_a_wrapper_is_refused(tmp_path: Path) -> None:
    task = small_task(base_steps=2)
    run = context(tmp_path, task, stage="wrap")
    asked = {"steps": 1, "batch_size": 8}
    save_model(tmp_path, "wrapped", run_method("o3", run.fresh_model(), task, run, asked))
    with pytest.raises(UserError, match=r"wrapped by o3: .* forgot nothing.*\.$"):
        origin_of(tmp_path, "wrapped")


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Engine]:
    """A small study of the arithmetic setting, done to the end."""
    home = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        engine = small_study.database(home, patch)
        source = {
            "name": "tiny",
            "setting": {**small_study.SETTING, "base_steps": 4},
            "recipes": [{"suppress": {"name": "grad_diff", "steps": 2}}],
            "attacks": [{"name": "relearn", "learning_rate": [1e-2], "steps": 4, "evaluate_every": 2}],
        }  # fmt: skip
        resolved = study.resolve(source)
        writes.submit(engine, name="tiny", document=resolved.document, runs=plan.as_rows(resolved.runs))  # fmt: skip
        while (claimed := writes.claim(engine, "me", 60.0)) is not None:
            assert run_once(engine, claimed.run_id, claimed.attempt, home) == "complete"
    return home, engine


@pytest.fixture
def at(worked: tuple[Path, Engine], monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The study's runs by stage, its data directory in use."""
    home, engine = worked
    monkeypatch.setenv("LETHE_HOME", str(home))
    record = reads.study(engine, "tiny")
    frame = reads.study_runs(engine, record.id)
    return {str(stage): int(run) for stage, run in zip(frame["stage"], frame["id"], strict=True)}


def test_the_verb_writes_the_model_with_its_words_and_its_card(
    at: dict[str, int],
    worked: tuple[Path, Engine],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    to = tmp_path / "deep/er"
    assert main(["export-model", str(at["suppress"]), "--to", str(to), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["directory"] == str(to) and str(to / "README.md") in told["files"]
    assert not [path for path in to.parent.iterdir() if path != to]
    task = small_task(**{k: v for k, v in small_study.SETTING.items() if k != "name"})
    cut = AutoTokenizer.from_pretrained(to)
    question = cut("3 + 4 =").input_ids
    assert task.text(question) == "3 + 4 =" == cut.decode(question)
    home, engine = worked
    ours = context(home, task).stored(reads.run(engine, at["suppress"])["fingerprint"]).eval()
    theirs = AutoModelForCausalLM.from_pretrained(to).eval()
    ids = torch.tensor([question])
    assert torch.equal(theirs(ids).logits, ours(ids).logits)


def test_the_card_says_what_was_done_and_measured(
    at: dict[str, int], tmp_path: Path, worked: tuple[Path, Engine]
) -> None:
    assert main(["export-model", str(at["suppress"]), "--to", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out/README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["library_name"] == "transformers" and "grad_diff" in front["tags"]
    assert "license" not in front and "base_model" not in front
    engine = worked[1]
    run = reads.run(engine, at["suppress"])
    for key, value in run["parameters"].items():
        assert f"| `{key}` | `{json.dumps(value)}` |" in text
    for key in (
        "Study: `tiny`",
        run["fingerprint"],
        "seed 0",
        "GradDiff",
        "1. base",
        "2. suppress",
    ):
        assert key in text
    rows = reads.measurements(engine, run_ids=[at["attack"]], splits=["forget_score"])
    last = rows[(rows["metric"] == "loss") & (rows["step"] == 4)]["value"].iloc[0]
    assert "relearn (" in text and f"| 4 | {last:.4g} |" in text
    assert "| answer_accuracy | retain_score | before any |" in text


def test_a_card_without_measurements_says_so() -> None:
    origin = {"pretrained": "org/name", "revision": "abc", "license": "gemma"}
    text = written(Card("x", [], {"name": "s", "parameters": {}}, origin=origin))
    front = yaml.safe_load(text.split("---")[1])
    assert (front["base_model"], front["license"]) == ("org/name", "gemma")
    assert "Nothing was measured yet." in text and "`org/name` at commit `abc`" in text
    more = written(
        Card("x", [], {"name": "s", "parameters": {}}, scores=[Score("loss", "a", None)])
    )
    assert "| loss | a | before any |  | n/a |  |" in more


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        ("attack", "keeps no model; the model that it looked at is run"),
        ("evaluate", "keeps no model"),
    ],
)
def test_runs_without_a_model_are_refused(
    at: dict[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str, says: str
) -> None:
    assert main(["export-model", str(at[stage]), "--to", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert says in told and told.count("\n") == 1 and not (tmp_path / "out").exists()


def test_an_unknown_run_is_refused(
    at: dict[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export-model", "999", "--to", str(tmp_path / "out")]) == 2
    assert "There is no run 999" in capsys.readouterr().err

"""Folders with lm-eval's definitions: nothing that a study names runs Python unless the operator allowed it."""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from backend import task_definitions
from backend.attached_tasks import attached
from backend.engines.local import ours
from backend.stage import RunFailed, UserError
from backend.task_definitions import contents, taken
from tests.own_parts import written

installed = pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="no lm-eval")
TASK: dict[str, Any] = {
    "task": "own",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": ["a", "b"],
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
PYTHON = "def process(docs):\n    open({mark!r}, 'w').close()\n    return docs\n"


def told(**changed: Any) -> str:
    """A definition in YAML, which JSON is."""
    return json.dumps({**TASK, **changed})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one definition and its data."""
    place = tmp_path / "tasks"
    rows = [{"question": f"{k}?", "answer": k % 2} for k in range(4)]
    written(place, "rows.jsonl", "\n".join(map(json.dumps, rows)))
    files = {"test": str(place / "rows.jsonl")}
    written(place, "own.yaml", told(dataset_kwargs={"data_files": files}))
    return place


def with_python(folder: Path, mark: Path) -> Path:
    written(folder, "utils.py", PYTHON.format(mark=str(mark)))
    path = folder / "own.yaml"
    path.write_text(path.read_text().rstrip("}") + ', "process_docs": !function utils.process}')
    return folder


HOSTILE = [
    ('{"task": "x", "process_docs": !function utils.process}', "holds the tag !function, which runs Python"),
    ("%TAG !e! !func\n---\ntask: x\nprocess_docs: !e!tion os.system", "holds the tag !function, which runs Python"),
    ("task: x\nmetadata: !!python/name:os.system", "python"),
    ("group: g\ntask:\n- task: x\n  unsafe_code: false", "the key 'unsafe_code'"),
    ('{"task": "x", "class": "os.system"}', "the key 'class'"),
    (told(custom_dataset="x"), "the key 'custom_dataset'"),
    (told(use_prompt="promptsource:x"), "the key 'use_prompt'"),
    (told(metric_list=[{"metric": "own/metric.py"}]), "the metric 'own/metric.py', which is none of lm-eval's own"),
    (told(metric_list=[{"metric": "acc", "hf_evaluate": True}]), "the metric 'acc', which is none"),
    (told(metric_list="acc"), "a metric_list that is no list of tables"),
    (told(dataset_path="/tmp/own.py"), "dataset_path = '/tmp/own.py', which is neither json"),
    (told(dataset_path="own/script.py"), "dataset_path = 'own/script.py', which is neither json"),
    (told(dataset_path="pandas"), "dataset_path = 'pandas', which is neither json"),
    (told(dataset_kwargs={"trust_remote_code": True}), "trust_remote_code, which runs Python"),
    (told(include="../../elsewhere.yaml"), "includes ../../elsewhere.yaml, which lies outside"),
    (told(include=["/etc/elsewhere.yaml"]), "includes /etc/elsewhere.yaml, which lies outside"),
    (told(include="absent"), "absent in include_path = .* is no file"),
    ("a: &a [1]\nb: [*a, *a]", r"an alias \(\*\), which can grow without end"),
    ("[" * 100_000, "nested deeper than 50"),
    ("task: [", "is no YAML that can be read"),
    ("task: x\ndescription: " + "x" * 1_000_001, "more than 1000000 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "why"), HOSTILE, ids=[why[:30] for _, why in HOSTILE])
def test_a_definition_that_could_run_python_is_refused_in_a_sentence(
    folder: Path, text: str, why: str
) -> None:
    written(folder / "deep", "other.yaml", text)
    with pytest.raises(UserError, match=why) as refused:
        attached({"tasks": ["own"], "include_path": str(folder)})
    assert "LETHE_LM_EVAL_PATHS" in str(refused.value) and str(folder) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_what_is_included_is_looked_at_whatever_its_name(folder: Path) -> None:
    written(folder, "own.yaml", told(include="_template"))
    written(folder, "_template", "include: more/_deeper\ntest_split: test")
    written(folder / "more", "_deeper", "description: x")
    assert set(map(str, taken(folder))) == {"own.yaml", "_template", "more/_deeper"}
    written(folder / "more", "_deeper", "doc_to_text: !function utils.text")
    with pytest.raises(UserError, match="more/_deeper in include_path"):
        attached({"tasks": ["own"], "include_path": str(folder)})


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    written(folder, "own.yaml", told(include="pipe"))
    with pytest.raises(UserError, match="pipe in include_path .* is no file"):
        attached({"tasks": ["own"], "include_path": str(folder)})


def test_folders_with_too_much_are_refused_before_they_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("/", "/usr"):
        with pytest.raises(UserError, match=f"include_path = '{place}' holds more than 10000 files; name a folder"):  # fmt: skip
            attached({"tasks": ["own"], "include_path": place})
    with (folder / "large.bin").open("wb") as file:
        file.truncate(3_000_000)
    assert len(contents(folder)) == 16
    monkeypatch.setattr(task_definitions, "MOST_BYTES", 2_000_000)
    with pytest.raises(UserError, match="holds more than 2 MB; name a folder"):
        attached({"tasks": ["own"], "include_path": str(folder)})


def test_the_operator_allows_folders_and_processes_that_are_started_know_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_python(folder, tmp_path / "mark")
    asked = {"tasks": ["own"], "include_path": str(folder)}
    other = tmp_path / "tasks-of-others"
    monkeypatch.setenv("LETHE_LM_EVAL_PATHS", os.pathsep.join([str(other), ""]))
    with pytest.raises(UserError, match="the tag !function"):
        attached(asked)
    link = tmp_path / "link"
    link.symlink_to(folder)
    other.mkdir()
    (other / "inside").symlink_to(folder)
    with pytest.raises(UserError, match="the tag !function"):
        attached({**asked, "include_path": str(other / "inside")})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LETHE_LM_EVAL_PATHS", os.pathsep.join([str(other), "."]))
    assert attached({**asked, "include_path": str(link)})["include_path"] == str(folder)
    assert ours(tmp_path, "sqlite:///x")["LETHE_LM_EVAL_PATHS"] == f"{other}{os.pathsep}{tmp_path}"
    monkeypatch.delenv("LETHE_LM_EVAL_PATHS")
    assert "LETHE_LM_EVAL_PATHS" not in ours(tmp_path, "sqlite:///x")


@pytest.mark.parametrize("name", ["/tmp/own.yaml", "own.yaml", "more/own", "more\\own"])
def test_a_path_is_no_name_of_a_task(name: str) -> None:
    with pytest.raises(UserError, match="in tasks is a path, not the name of a task"):
        attached([name])


@installed
def test_no_python_runs_that_a_study_names(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the place where lm-eval loads it, whatever was looked at before: runs wait in the queue while files change."""
    from backend.lm_evaluation import _manager

    mark = tmp_path / "mark"
    assert list(_manager(str(folder), "1", ["own"]).load(["own"])["tasks"]) == ["own"]
    with_python(folder, mark)
    with pytest.raises(UserError, match="the tag !function"):
        _manager(str(folder), "2", ["own"])
    path = str(folder / "own.yaml")
    safe = tmp_path / "safe"
    written(safe, "own.yaml", told())
    with pytest.raises(RunFailed, match="lm-eval has no task .*own.yaml"):
        _manager(str(safe), "3", [path])
    written(safe, "own.yaml", told(metric_list=[{"metric": "mark"}]))
    with pytest.raises(RunFailed, match="lm-eval has no metric 'mark' of its own, .* there are: acc, "):  # fmt: skip
        _manager(str(safe), "4", ["own"])
    assert not mark.exists()
    monkeypatch.setenv("LETHE_LM_EVAL_PATHS", str(tmp_path))
    assert len(_manager(str(folder), "2", ["own"]).load(["own"])["tasks"]["own"].eval_docs) == 4
    assert mark.exists(), "what the operator allowed works"


@installed
def test_a_file_that_is_exchanged_after_it_was_looked_at_is_not_loaded(
    folder: Path, tmp_path: Path
) -> None:
    from backend.lm_evaluation import _manager

    manager = _manager(str(folder), "5", ["own"])
    with_python(folder, tmp_path / "mark")
    manager.load(["own"])
    assert not (tmp_path / "mark").exists()


@installed
def test_templates_reach_no_python_and_say_what_they_said(folder: Path, tmp_path: Path) -> None:
    from jinja2 import TemplateError
    from lm_eval.utils import apply_template

    from backend.lm_evaluation import _manager, render_in_sandbox

    render_in_sandbox()
    mark = tmp_path / "mark"
    reach = f"{{{{ cycler.__init__.__globals__.os.mkdir({str(mark)!r}) }}}}"
    written(folder, "own.yaml", (folder / "own.yaml").read_text().replace("{{question}}", reach))
    with pytest.raises(TemplateError, match="__init__"):
        _manager(str(folder), "6", ["own"]).load(["own"])
    assert not mark.exists()
    with pytest.raises(TemplateError, match="undefined"):
        apply_template("{{ nothing }}", {})
    assert apply_template("{{ a.strip() | regex_replace('b', 'c') }}\n", {"a": " ab "}) == "ac\n"

"""Parts of users' own: read without importing, named by their source, refused in a sentence, missed without harm."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend import catalogue, plan, plugins, registry, results, study
from backend.__main__ import main
from backend.engines.local import ours
from backend.plugin_loading import check_code, held_to
from backend.stage import UserError
from db import reads, session
from tests.own_parts import ASCENT, METRIC, installed, written
from tests.small_study import SETTING, submit

ROOT = Path(__file__).resolve().parents[1]
SOURCE: dict[str, Any] = {
    "name": "own",
    "setting": SETTING,
    "recipes": [{"suppress": {"name": "clipped_ascent", "steps": 3}}, {"suppress": "max_ent"}],
    "attacks": [{"name": "relearn", "steps": 2}],
    "metrics": ["surprise"],
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a method and a metric, named in LETHE_PLUGINS."""
    folder = tmp_path / "own"
    written(folder, "ascent.py", ASCENT)
    written(folder, "surprise.py", METRIC)
    monkeypatch.setenv("LETHE_PLUGINS", str(folder))
    return folder


def names(runs: list[plan.PlannedRun]) -> dict[tuple[str, str, str], set[str]]:
    """Fingerprints by stage, name and metrics."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for run in runs:
        key = (run.stage, run.name, str(run.parameters.get("metrics", "")))
        found.setdefault(key, set()).add(run.fingerprint)
    return found


def test_a_plugins_parts_stand_among_ours(own: Path) -> None:
    part = catalogue.part("methods", "clipped_ascent")
    assert part in catalogue.parts("methods")
    assert (part.label, part.defaults()["ceiling"]) == ("Clipped ascent", 4.0)
    assert {"steps", "retain_weight", "schedule"} <= set(part.defaults()), "the shared parameters"
    assert part.as_json()["plugin"] == str(own / "ascent.py")
    assert "plugin" not in catalogue.part("methods", "undo").as_json()
    listed = [one.name for one in catalogue.parts("metrics")]
    assert listed == sorted(listed) and "surprise" in listed


def test_the_command_line_takes_a_file_or_a_folder(tmp_path: Path) -> None:
    folder = written(tmp_path / "own", "ascent.py", ASCENT).parent
    for path in (folder, folder / "ascent.py"):
        code = f"import sys; from backend.__main__ import main; main(['methods', '--json', '--plugin', {str(path)!r}]); print('torch' in sys.modules, file=sys.stderr)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)  # fmt: skip
        assert "clipped_ascent" in [one["name"] for one in json.loads(done.stdout)]
        assert done.stderr.strip() == "False"


def test_processes_that_are_started_find_the_same_plugins(
    own: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = written(tmp_path / "more", "one.py", METRIC.replace("surprise", "wonder"))
    plugins.use([other])
    assert os.environ["LETHE_PLUGINS"] == os.pathsep.join([str(own), str(other)])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LETHE_PLUGINS", "more")
    assert ours(tmp_path, "sqlite:///x")["LETHE_PLUGINS"] == str(tmp_path / "more")
    monkeypatch.delenv("LETHE_PLUGINS")
    assert "LETHE_PLUGINS" not in ours(tmp_path, "sqlite:///x")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def broken(:", "does not parse (invalid syntax; ascent.py, line 1)"),
        ("def helper():\n    pass\n", "declares no part: a function with one of @setting(…), @method(…)"),
        (ASCENT.replace("clipped_ascent", "npo"), "the name of its method npo is taken by one of Lethe's own"),
        (ASCENT.replace("clipped_ascent", "oracle"), "oracle cannot be a part's name"),
        (ASCENT.replace('stage="suppress"', 'stage="forget"'), "stage = 'forget' is not one of pretrain, suppress"),
        (ASCENT.replace('stage="suppress"', "level=3"), "declares 'level'; its kind declares label, source"),
        (ASCENT.replace('"our own"', "NAME"), "must be literals"),
        (ASCENT.replace('"our own"', "3"), "source = 3 is no text"),
        (ASCENT.replace('"our own"', '"", version=0'), "version = 0 is not a whole number from 1"),
        (ASCENT.replace("model, task, run", "model, task"), "must take (model, task, run, *, parameters)"),
        (ASCENT.replace("ceiling: Weight = 4.0", "ceiling: Weight"), "the parameter ceiling of clipped_ascent lacks a type or a default"),
        (ASCENT.replace("ceiling: Weight = 4.0", "ceiling: dict = 4.0"), "has the type dict; valid are bool, float"),
        (ASCENT.replace("ceiling: Weight = 4.0", "ceiling: float = HIGH"), "has a default that is no literal: HIGH"),
        (ASCENT.replace("ceiling: Weight = 4.0", "ceiling: Weight = -4.0"), "a default does not fit: clipped_ascent: ceiling = -4.0 must be at least 0"),
        (ASCENT.replace('"our own"', '"", neutral={"limit": 1}'), "neutral names limit, which is none of its parameters"),
        (METRIC.replace("[0.0, None]", "[0.0]"), "range = [0.0] is not a list of two numbers"),
        (METRIC.replace('"unigram"', '"guess"'), "floor = 'guess' is not a number, None, unigram or choices"),
        ("x = 1\n" * 200_000, "has more than 1000000 bytes"),
    ],
)  # fmt: skip
def test_a_plugin_that_does_not_fit_is_refused_in_a_sentence(
    text: str, why: str, tmp_path: Path, own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "ascent.py", text)
    assert main(["submit", "quick", "--plugin", str(path)]) == 2
    told = capsys.readouterr()
    assert why in told.err and str(path) in told.err and not told.out
    assert len(told.err.strip().splitlines()) == 1 and not own_home.exists()
    assert "LETHE_PLUGINS" not in os.environ, "what was refused is not passed on"


def test_a_path_without_plugins_and_a_text_of_another_encoding_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    written(tmp_path / "empty", "_shared.py", "")
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe")
    for path, why in (("nowhere", "There is no plugin"), ("empty", "holds no file"), ("bytes.py", "cannot be read")):  # fmt: skip
        with pytest.raises(UserError, match=why):
            plugins.use([tmp_path / path])


def test_two_plugins_of_one_name_are_refused_and_the_first_stays(own: Path) -> None:
    written(own, "twice.py", ASCENT)
    (complaint,) = plugins.refused()
    assert "twice.py is refused: the name of its method clipped_ascent is taken by" in complaint
    assert catalogue.part("methods", "clipped_ascent").file == str(own / "ascent.py")
    assert main(["run", "1", "--attempt", "1"]) == 2, "a run may need none of them"
    with pytest.raises(UserError, match="no method 'npoo'.*twice.py is refused"):
        catalogue.part("methods", "npoo")


def test_an_edit_gives_the_runs_of_that_part_new_names_and_no_others(own: Path) -> None:
    first = study.resolve(SOURCE)
    before = names(first.runs)
    assert set(first.document["code"]) == {"methods clipped_ascent", "metrics surprise"}
    written(
        own, "ascent.py", ASCENT + "\n# a comment counts too: nobody has to think of a version\n"
    )
    after = names(study.resolve(SOURCE).runs)
    kept = [key for key in before if before[key] == after[key]]
    assert ("base", "base", "") in kept and ("suppress", "max_ent", "") in kept
    assert before["suppress", "clipped_ascent", ""] != after["suppress", "clipped_ascent", ""]
    written(own, "surprise.py", METRIC + "\n")
    last = names(study.resolve(SOURCE).runs)
    assert {key for key in last if last[key] != after[key]} == {("evaluate", "audit", "['surprise']")}  # fmt: skip


def test_a_study_without_plugins_is_planned_as_ever(own: Path) -> None:
    plain = {**SOURCE, "recipes": [{"suppress": "max_ent"}], "metrics": []}
    planned = study.resolve(plain)
    assert "code" not in planned.document and not any("code" in run.setting for run in planned.runs)


def test_what_a_plugin_imports_from_its_folder_counts(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    text = ASCENT.replace("import torch\n", "import torch\n\nfrom ._shared import HIGH\n")
    written(folder, "ascent.py", text)
    written(folder, "_shared.py", "from .more import numbers\nHIGH = numbers.HIGH\n")
    written(folder / "more", "__init__.py", "")
    written(folder / "more", "numbers.py", "HIGH = 4.0\n")
    written(folder, "_other.py", "")
    plugins.use([folder])
    before = plugins.code_of("methods", "clipped_ascent")
    assert registry.module_of("methods", "clipped_ascent").HIGH == 4.0
    written(folder, "_other.py", "LOW = 1\n")
    assert plugins.code_of("methods", "clipped_ascent") == before
    written(
        folder / "more", "numbers.py", "HIGH = 5.0\n"
    )  # as long, perhaps within the same second
    os.utime(folder / "more" / "numbers.py", ns=(1, 1))
    assert plugins.code_of("methods", "clipped_ascent") != before
    assert registry.module_of("methods", "clipped_ascent").HIGH == 5.0
    assert not list(folder.rglob("__pycache__"))


def test_an_installed_package_has_plugins_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ASCENT.replace("import torch\n", "import torch\n\nfrom ownlethe.numbers import HIGH\n")
    files = {"parts/ascent.py": text, "parts/__init__.py": "", "numbers.py": "HIGH = 4.0\n"}
    installed(tmp_path, "ownlethe", files, "ownlethe.parts")
    monkeypatch.syspath_prepend(tmp_path)
    before = catalogue.part("methods", "clipped_ascent").code
    assert "ownlethe" not in sys.modules, "listed without importing"
    assert registry.module_of("methods", "clipped_ascent").__name__ == "ownlethe.parts.ascent"
    written(tmp_path / "ownlethe", "numbers.py", "HIGH = 4.5\n")
    assert catalogue.part("methods", "clipped_ascent").code != before
    with pytest.raises(UserError, match="was edited since this process imported it"):
        registry.load("methods", "clipped_ascent")


def test_an_entry_point_without_a_module_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "hollowlethe", {}, "hollowlethe.parts")
    monkeypatch.syspath_prepend(tmp_path)
    assert "there is no file of its module hollowlethe.parts" in plugins.refused()[0]


def test_only_what_the_operator_named_is_loaded(tmp_path: Path) -> None:
    written(tmp_path, "clipped_ascent.py", ASCENT)
    for named in (str(tmp_path / "clipped_ascent.py"), "clipped_ascent", "../clipped_ascent"):
        asked = {**SOURCE, "metrics": [], "recipes": [{"suppress": named}]}
        with pytest.raises(UserError, match=r"no method .*; there are: .*--plugin PATH or LETHE_PLUGINS"):  # fmt: skip
            study.resolve(asked)
    with pytest.raises(UserError, match="no key 'plugins'"):
        study.resolve({**SOURCE, "plugins": [str(tmp_path)]})


def test_a_plugin_that_cannot_be_imported_says_so(own: Path) -> None:
    written(own, "ascent.py", ASCENT.replace("import torch", "import no_such_library"))
    with pytest.raises(UserError, match="ascent.py cannot be imported: ModuleNotFoundError: No module named 'no_such_library'"):  # fmt: skip
        registry.load("methods", "clipped_ascent")


def test_runs_of_an_edited_plugin_are_stale_and_of_an_absent_one_are_not(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = session.require_database()
    planned = study.resolve(SOURCE)
    from db import writes

    done = writes.submit(engine, name="own", document=planned.document, runs=plan.as_rows(planned.runs))  # fmt: skip
    runs = reads.study_runs(engine, done.study_id)
    assert results.stale_runs(runs, planned.document) == set()
    written(own, "ascent.py", ASCENT + "\n")
    mine = set(runs.loc[runs["name"] == "clipped_ascent", "id"])
    assert mine and results.stale_runs(runs, planned.document) == mine
    monkeypatch.delenv("LETHE_PLUGINS")
    assert results.stale_runs(runs, planned.document) == set()
    assert submit(engine).revision == 1


def test_a_run_is_refused_where_its_plugin_is_absent_or_another(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = study.resolve(SOURCE).document["code"]
    check_code(code)
    written(own, "ascent.py", ASCENT + "\n")
    with pytest.raises(UserError, match="ascent.py is not what it was when this run of its method clipped_ascent was planned"):  # fmt: skip
        check_code(code)
    monkeypatch.delenv("LETHE_PLUGINS")
    with pytest.raises(UserError, match="needs the method clipped_ascent of a plugin that is not here.*--plugin PATH"):  # fmt: skip
        check_code(code)


def test_the_doctor_says_what_is_wrong_with_a_plugin(own: Path, capsys: Any) -> None:
    assert main(["doctor", "--json"]) == 0
    told = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert told["plugins"]["ok"] and "clipped_ascent" in told["plugins"]["says"]
    written(own, "ascent.py", "def (")
    assert main(["doctor", "--json"]) == 0
    told = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert not told["plugins"]["ok"] and "does not parse" in told["plugins"]["says"]


@pytest.mark.parametrize("first", [True, False])
def test_a_run_takes_no_other_source_than_it_was_planned_with(own: Path, first: bool) -> None:
    """An edit before the part is loaded, and between two parts' uses."""
    code = study.resolve(SOURCE).document["code"]
    with (
        pytest.raises(UserError, match=r"ascent.py changed while its method clipped_ascent was at work \(\w{16} before, \w{16} now\); submit the study again"),
        held_to(code),
    ):  # fmt: skip
        if first:
            registry.load("methods", "clipped_ascent")
        written(own, "ascent.py", ASCENT + "\n")
        registry.load("methods", "clipped_ascent")
        pytest.fail("another source than the planned one was taken")
    assert registry.load("methods", "clipped_ascent").__name__ == "clipped_ascent"


def test_what_a_run_loads_beside_its_plan_is_held_to_its_first_source(own: Path) -> None:
    with pytest.raises(UserError, match="surprise.py changed while its metric surprise"), held_to({}):  # fmt: skip
        registry.load("metrics", "surprise")
        written(own, "surprise.py", METRIC + "\n")


def test_a_plugin_that_goes_away_at_work_is_told(own: Path) -> None:
    code = study.resolve(SOURCE).document["code"]
    with pytest.raises(UserError, match="plugin of the metric surprise went away while it was at work.*--plugin PATH"), held_to(code):  # fmt: skip
        (own / "surprise.py").unlink()


def test_a_run_whose_plugin_is_edited_while_it_works_fails_and_stores_nothing(own: Path, tmp_path: Path) -> None:  # fmt: skip
    from backend.recipe import execute
    from backend.stage import StageRequest
    from tests.small import Kept

    edits = f"open({str(own / 'ascent.py')!r}, 'a').write('# edited')\n    return suppress("
    written(own, "ascent.py", ASCENT.replace("return suppress(", edits))
    planned = study.resolve({**SOURCE, "metrics": [], "attacks": []})
    runs = {run.name: run for run in planned.runs}
    mine = runs["clipped_ascent"]
    for run in (runs["base"], mine):
        given = {k: getattr(run, k) for k in ("stage", "name", "parameters", "setting", "seed", "precision", "fingerprint", "parent", "inputs")}  # fmt: skip
        request = StageRequest(home=tmp_path, **given)
        if run is not mine:
            execute(request, Kept())
    with pytest.raises(UserError, match="ascent.py changed while its method clipped_ascent was at work"):  # fmt: skip
        execute(request, Kept())
    assert [path for path in tmp_path.rglob("*.safetensors") if runs["base"].fingerprint in str(path)]  # fmt: skip
    models = [path for path in tmp_path.rglob("*.safetensors") if "resume" not in str(path)]
    assert not [path for path in models if mine.fingerprint in str(path)]


def test_what_two_plugins_of_a_package_share_is_that_of_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ASCENT.replace("import torch\n", "import torch\n\nfrom twolethe.numbers import HIGH\n")
    files = {"parts/one.py": text, "parts/two.py": text.replace("clipped_", "other_"), "parts/__init__.py": "", "numbers.py": "HIGH = 4.0\n"}  # fmt: skip
    installed(tmp_path, "twolethe", files, "twolethe.parts")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.module_of("methods", "clipped_ascent").HIGH == 4.0
    written(tmp_path / "twolethe", "numbers.py", "HIGH = 4.5\n")
    with pytest.raises(UserError, match="two.py was edited since this process imported it"):
        registry.module_of("methods", "other_ascent")


def test_a_file_that_is_made_later_counts_as_soon_as_it_is_there(own: Path) -> None:
    """In a notebook: the import fails, the missing file is written, and then edited."""
    text = ASCENT.replace("import torch\n", "import torch\n\nfrom ._shared import HIGH\n")
    written(own, "ascent.py", text)
    with pytest.raises(UserError, match="cannot be imported: ModuleNotFoundError"):
        registry.load("methods", "clipped_ascent")
    seen = {plugins.code_of("methods", "clipped_ascent")}
    for high in (4.0, 5.5):
        written(own, "_shared.py", f"HIGH = {high}\n")
        os.utime(own / "_shared.py", ns=(int(high), int(high)))
        seen.add(plugins.code_of("methods", "clipped_ascent"))
        assert high == registry.module_of("methods", "clipped_ascent").HIGH
    assert len(seen) == 3


def test_a_plugin_that_ends_the_process_says_so(own: Path) -> None:
    written(own, "ascent.py", ASCENT.replace("import torch", "import sys; sys.exit(3)"))
    with pytest.raises(UserError, match="ascent.py cannot be imported: SystemExit: 3"):
        registry.load("methods", "clipped_ascent")


def test_the_same_source_may_lie_elsewhere_by_now(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    text = ASCENT.replace("def climb", "from ._shared import HIGH\n\n    def climb")
    written(own, "ascent.py", text)
    written(own, "_shared.py", "HIGH = 7.0\n")
    module = registry.module_of("methods", "clipped_ascent")
    own.rename(tmp_path / "moved")
    monkeypatch.setenv("LETHE_PLUGINS", str(tmp_path / "moved"))
    assert registry.module_of("methods", "clipped_ascent") is module
    import importlib

    assert importlib.import_module("._shared", module.__package__).HIGH == 7.0


def test_a_user_that_there_is_not_is_a_path_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    from backend.api import Study
    from backend.attached_tasks import attached

    nobody = "~no-such-user-here/own"
    with pytest.raises(UserError, match="There is no plugin .*no-such-user-here"):
        plugins.use([nobody])
    with pytest.raises(UserError, match="must be a folder with definitions"):
        attached({"tasks": ["own"], "include_path": nobody})
    with pytest.raises(UserError, match="There is no study '~no-such-user-here"):
        Study(f"{nobody}.toml")
    with pytest.raises(UserError, match="no-such-user-here"):
        study.resolve({"setting": {"name": "language", "keep": f"{nobody}.txt", "forget": f"{nobody}.txt"}})  # fmt: skip
    monkeypatch.setenv("LETHE_LM_EVAL_PATHS", nobody)
    monkeypatch.setenv("LETHE_PLUGINS", nobody)
    assert "no-such-user-here" in plugins.refused()[0]
    assert "no-such-user-here" in ours(Path(), "sqlite:///x")["LETHE_LM_EVAL_PATHS"]

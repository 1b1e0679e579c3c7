"""Every kind of result file: the numbers it holds, and one sentence for what is wrong with it."""

import json
from pathlib import Path
from typing import Any

import pytest

from backend.given_files import from_bytes, from_path
from backend.importers import Options, guessed, kind, kinds
from backend.importing import Prepared, prepared
from backend.stage import UserError
from backend.tofu import forget_quality
from tests import result_files as files
from tests.real_data import DATA, needs

LOGS = "tofu/eval_logs"
UDS = "published/uds_method_results.json"
MODEL = "ft_epoch5_lr1e-05_llama2-7b_{}_wd0.01"


def ready(path: Path, kind_name: str | None = None, **options: Any) -> Prepared:
    reference = options.pop("reference", None)
    given = None if reference is None else from_path(reference)
    return prepared([from_path(path)], kind_name, Options(given, **options))


def numbers(one: Prepared, position: int = 0) -> dict[str, float]:
    found: dict[str, float] = one.told()[position]["measurements"]
    return found


@needs(LOGS)
@pytest.mark.parametrize(("model", "utility"), [("full", "0.622677"), ("retain90", "0.613745")])
def test_tofus_own_logs_have_tofus_own_numbers(model: str, utility: str) -> None:
    folder = DATA / LOGS
    one = ready(folder / MODEL.format(model), "tofu_eval_logs", reference=folder / MODEL.format("retain90"))  # fmt: skip
    assert f"{numbers(one)['tofu_model_utility']:.6f}" == utility
    if model == "full":
        assert f"{numbers(one)['tofu_forget_quality']:.6e}" == "1.834066e-21"
        assert f"{numbers(one)['tofu_ks_distance']:.6f}" == "0.396667"
        assert [told["name"] for told in one.told()] == [MODEL.format("full"), MODEL.format("retain90")]  # fmt: skip
        assert one.told()[1]["method"] == "oracle" and numbers(one, 1)["tofu_forget_quality"] == 1.0
        row = next(row for row in one.runs[-1]["measurements"] if row["metric"] == "tofu_forget_quality")  # fmt: skip
        assert row["items"] == 300


@needs(UDS)
def test_the_published_rows_of_uds_are_configurations() -> None:
    one = ready(DATA / UDS)
    assert one.kind == "uds"
    configurations = one.document["configurations"]
    assert len(configurations) == 152 and len({c["label"] for c in configurations}) == 152
    assert [c["method"] for c in configurations[:2]] == ["base", "oracle"]
    counts = json.loads((DATA / UDS).read_text())["method_counts"]
    methods = [c["method"] for c in configurations[2:]]
    assert {method: methods.count(method) for method in set(methods)} == counts
    declared = one.document["metrics"]
    ways = {name: (declared[name]["direction"], declared[name]["better"]) for name in ("utility", "mem", "privacy", "uds")}  # fmt: skip
    assert ways == {"utility": ("up", "higher"), "mem": ("down", "higher"), "privacy": ("none", "higher"), "uds": ("down", "higher")}  # fmt: skip
    best = max(one.told()[2:], key=lambda told: told["measurements"]["overall"])
    assert best["method"] == "altpo" and best["parameters"]["learning_rate"] == 5e-5
    assert best["parameters"]["epochs"] == 10 and best["parameters"]["alpha"] == 2
    assert best["measurements"]["uds"] == pytest.approx(0.832, abs=5e-4)


def test_uds_settings_come_from_fields_and_from_the_name(tmp_path: Path) -> None:
    one = ready(files.write(tmp_path / "results.json", files.uds()))
    told = one.told()
    assert [t["method"] for t in told] == ["base", "oracle", "npo", "npo", "npo"]
    assert told[3]["parameters"] == {"learning_rate": 2e-5, "alpha": 1.0, "epochs": 5, "b": "01"}
    assert told[3]["configuration"] == "NPO (lr 2e-05)"
    assert told[0]["measurements"]["tofu_model_utility"] == 0.6  # TOFU's always carries its name


def test_tofu_logs_without_a_reference_have_no_forget_quality(tmp_path: Path) -> None:
    one = ready(files.tofu_folder(tmp_path / "model.v1.2"))
    assert one.kind == "tofu_eval_logs" and one.name == "tofu_eval_logs-model.v1.2"
    assert "tofu_forget_quality" not in numbers(one) and one.report.notes
    assert numbers(one)["tofu_retain_rouge"] == 0.5


def test_tofu_items_are_paired_by_question_whatever_their_order(tmp_path: Path) -> None:
    turned = list(reversed(files.QUESTIONS))
    model = files.tofu_folder(tmp_path / "model", 2.0)
    other = files.tofu_folder(tmp_path / "retain", 1.0, turned)
    one = ready(model, reference=other)
    assert numbers(one)["tofu_forget_quality"] == pytest.approx(
        1.0
    )  # the same ratios, each of another question
    assert list(one.report.models[1].answers["forget"])[0].question == files.QUESTIONS[0]


def test_tofu_refuses_different_questions_unless_told(tmp_path: Path) -> None:
    model = files.tofu_folder(tmp_path / "model")
    other = files.tofu_folder(tmp_path / "retain", 1.0, [*files.QUESTIONS[:4], "Another?"])
    with pytest.raises(UserError, match=r"4 are common to all, of 6, 5; `--common` takes these"):
        ready(model, reference=other)
    one = ready(model, reference=other, common=True)
    assert one.document["imported"]["common"] is True
    assert next(r for r in one.runs[-1]["measurements"] if r["metric"] == "tofu_forget_rouge")["items"] == 4  # fmt: skip
    stranger = files.tofu_folder(tmp_path / "stranger", 1.0, ["Else?"])
    with pytest.raises(UserError, match="no question"):
        ready(model, reference=stranger, common=True)


def test_tofu_names_the_missing_log_and_the_missing_column(tmp_path: Path) -> None:
    folder = files.tofu_folder(tmp_path / "model")
    (folder / "eval_log.json").unlink()
    with pytest.raises(UserError, match=r"model holds no eval_log\.json"):
        ready(folder, "tofu_eval_logs")
    files.write(folder / "eval_log.json", {"avg_gt_loss": {"0": 1.0}})
    with pytest.raises(UserError, match="lacks average_perturb_loss, generated_text, rougeL_recall"):  # fmt: skip
        ready(folder)


def test_open_unlearning_reads_items_and_aggregates(tmp_path: Path) -> None:
    files.write(tmp_path / "saves/npo/evals/TOFU_EVAL.json", files.evaluation())
    files.write(tmp_path / "saves/npo/evals/TOFU_SUMMARY.json", {"forget_quality": 0.02, "forget_Q_A_Prob": 0.9})  # fmt: skip
    files.write(tmp_path / "saves/rmu/evals/TOFU_SUMMARY.json", {"forget_Q_A_Prob": 0.3})
    one = ready(tmp_path / "saves")
    assert one.kind == "open_unlearning"
    assert [told["name"] for told in one.told()] == ["npo", "rmu"]
    assert (
        numbers(one)["forget_Q_A_Prob"] == 0.25
    )  # of the items' file; the summary adds what that lacks
    assert numbers(one)["tofu_forget_quality"] == 0.02
    assert numbers(one)["tofu_model_utility"] == 0.6
    items = {row["metric"]: row["values"] for row in one.runs[0]["items"]}
    assert items["forget_Q_A_Prob"] == pytest.approx([0.15, 0.25, 0.35])
    assert items["forget_truth_ratio"] == pytest.approx([0.5, 0.8, 0.8])
    assert one.runs[0]["samples"][0]["answer"] == "<b>Bo</b>"
    declared = one.document["metrics"]["forget_Q_A_Prob"]
    assert (declared["direction"], declared["better"]) == ("up", "lower")


def test_open_unlearning_takes_forget_quality_from_a_reference(tmp_path: Path) -> None:
    ratios = (0.5, 0.8, 1.25)
    model = files.write(tmp_path / "npo/TOFU_EVAL.json", files.evaluation(ratios=ratios)).parent
    other = files.write(tmp_path / "retain/TOFU_EVAL.json", files.evaluation(ratios=(2.0, 2.5, 3.0))).parent  # fmt: skip
    one = ready(model, reference=other)
    expected = forget_quality(*map(__import__("numpy").array, (ratios, (2.0, 2.5, 3.0))))
    assert numbers(one)["tofu_forget_quality"] == pytest.approx(expected.p)
    assert one.told()[1]["method"] == "oracle"
    files.write(other / "TOFU_EVAL.json", files.evaluation(ratios=(2.0, 2.5)))
    with pytest.raises(UserError, match="2 in common, of up to 3; `--common`"):
        ready(model, reference=other)
    assert "tofu_forget_quality" in numbers(ready(model, reference=other, common=True))


def test_muse_tables_and_both_layouts_of_folders(tmp_path: Path) -> None:
    table = "name,verbmem_f,privleak,knowmem_f,knowmem_r\ntarget,58.4,-99.8,63.9,55.2\nnpo/step=102,3.0,10.0,,40\n"
    one = ready(files.write(tmp_path / "out.csv", table))
    assert one.kind == "muse"
    assert [(t["method"], t["parameters"]) for t in one.told()] == [("npo", {"step": "102"}), ("base", {})]  # fmt: skip
    assert "knowmem_f" not in numbers(one)
    tree = files.muse_tree(tmp_path / "older", {"retrain": 0.5, "npo/step=102": 0.1})
    older = ready(tree)
    assert numbers(older) == {"auc_min_40": 0.1, "privleak": pytest.approx(-80.0), "verbmem_f": 20.0, "knowmem_f": 50.0, "knowmem_r": 50.0}  # fmt: skip
    assert older.told()[1]["method"] == "oracle"
    files.write(tmp_path / "newer/ga/knowmem_f/agg.json", {"mean_rougeL": 0.3})
    files.write(tmp_path / "newer/ga/privleak/auc.json", {"forget_holdout_Min-40%": 0.4})
    newer = ready(tmp_path / "newer", "muse")
    assert newer.told()[0]["name"] == "ga" and numbers(newer)["knowmem_f"] == pytest.approx(30.0)
    assert any("PrivLeak" in note for note in newer.report.notes)


def test_muse_does_not_mix_corpora(tmp_path: Path) -> None:
    files.muse_tree(tmp_path, {"npo": 0.1})
    files.muse_tree(tmp_path, {"npo": 0.1}, corpus="hp")
    with pytest.raises(UserError, match="results of bbc and hp"):
        ready(tmp_path)


def test_rwku_means_over_targets(tmp_path: Path) -> None:
    files.rwku_target(tmp_path / "npo/1_Stephen_King", 0.2)
    files.rwku_target(tmp_path / "npo/2_Tom_Clancy", 0.4)
    files.rwku_target(tmp_path / "ga/1_Stephen_King", 0.0)
    one = ready(tmp_path)
    assert one.kind == "rwku" and [t["method"] for t in one.told()] == ["ga", "npo"]
    assert numbers(one, 1)["forget_level_1_rouge_l_r"] == pytest.approx(0.4)
    rows = [r for r in one.runs[1]["measurements"] if r["metric"] == "forget_level_3_rouge_l_r"]
    assert {r["category"]: r["value"] for r in rows} == {"": pytest.approx(0.6), "1_Stephen_King": 0.5, "2_Tom_Clancy": pytest.approx(0.7)}  # fmt: skip
    assert rows[0]["items"] == 2 and rows[0]["standard_error"] == pytest.approx(0.1)
    alone = ready(tmp_path / "ga/1_Stephen_King")
    assert alone.told()[0]["name"] == "1_Stephen_King"


def test_the_harness_brings_errors_counts_and_versions(tmp_path: Path) -> None:
    one = ready(files.write(tmp_path / "results_2026.json", files.harness()))
    assert one.kind == "lm_eval" and one.told()[0]["name"] == "some/model"
    assert numbers(one) == {"lm_eval_mmlu_acc": 0.5, "lm_eval_wikitext_word_perplexity": 12.5}
    rows = {(r["metric"], r["category"]): r for r in one.runs[0]["measurements"]}
    whole = rows["lm_eval_mmlu_acc", ""]
    assert (whole["standard_error"], whole["items"]) == (0.01, 150)
    assert rows["lm_eval_mmlu_acc", "mmlu_anatomy"]["value"] == 0.4
    declared = one.document["metrics"]["lm_eval_wikitext_word_perplexity"]
    assert (declared["direction"], declared["better"]) == ("down", "lower")
    assert one.document["imported"]["versions"] == {"mmlu": "2", "wikitext": "2"}


def test_a_table_is_read_by_a_mapping_that_is_proposed(tmp_path: Path) -> None:
    one = ready(files.write(tmp_path / "mine.csv", files.TABLE))
    assert one.kind == "csv" and one.document["seeds"] == [0, 1]
    mapping = one.document["imported"]["mapping"]["mine.csv"]
    assert (mapping["method"], mapping["seed"], mapping["parameters"]) == ("method", "seed", ["lr"])
    assert mapping["metrics"]["forget_accuracy"]["better"] == "lower"
    assert [c["label"] for c in one.document["configurations"]] == ["Base", "NPO (lr 1e-05)", "NPO (lr 5e-05)", "=cmd()"]  # fmt: skip
    assert "utility" not in numbers(one, 4)  # n/a is missing, not zero


def test_a_tables_mapping_can_be_given(tmp_path: Path) -> None:
    table = "who;x;y;lr\nA;1;2;0.1\nB;3;50%;0.2\n"
    path = files.write(tmp_path / "t.csv", table)
    mapping = {"metrics": {"y": {"direction": "down", "better": "lower", "label": "Loss *y*"}}, "parameters": ["lr", "x"]}  # fmt: skip
    one = ready(path, "csv", mapping=mapping)
    assert numbers(one, 1) == {"y": 50.0}
    assert one.document["metrics"]["y"]["label"] == "Loss -y-"
    assert one.told()[0]["parameters"] == {"lr": 0.1, "x": 1}
    for wrong, sentence in (
        ({"method": "nobody"}, "no column 'nobody'; there are: who, x, y, lr"),
        ({"seed": "who"}, "two places"),
        ({"colour": 1}, "no key 'colour'"),
        ({"metrics": {"y": {"direction": "left"}}}, "direction is one of"),
        ({"metrics": ["y"]}, "are a table"),
    ):
        with pytest.raises(UserError, match=sentence):
            ready(path, "csv", mapping=wrong)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("", "is empty"),
        ("method,acc\n", "has no row"),
        ("method,acc\nA,1,2\n", "row 2 has 3 cells, the header 2"),
        ("method,acc,acc\nA,1,2\n", "two columns named 'acc'"),
        ("method,acc\nA,1\nA,2\n", "is there 2 times"),
        ("method,acc\nA,inf\n", "not a finite number"),
        ("method,acc\nA,high\n", "no column of numbers"),
        ("method,seed,acc\nA,first,1\n", "seed 'first' is not a whole number"),
        ("method,acc\n,1\n", "not a name"),
        ('method,acc\n"A,1\n', "is not a table"),
        ("name,verbmem_f,privleak\nA,x,1\n", "which is no number"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_sentence(tmp_path: Path, table: str, sentence: str) -> None:  # fmt: skip
    with pytest.raises(UserError, match=sentence):
        ready(files.write(tmp_path / "t.csv", table))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"models": [{"uds": 1', "is not JSON, or is cut off: line 1"),
        (b"\xff\xfe{}", "is not UTF-8"),
        (b"PK\x03\x04rest", "is a zip archive"),
        (b"\x1f\x8brest", "is a gzip archive"),
        (b"", "is empty"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too long to read"),
        (b'{"hello": "world"}', "of no known kind"),
        (b"[1, 2]", "of no known kind"),
    ],
)
def test_a_file_that_is_no_result_is_one_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        prepared([from_bytes("given", [("given.json", content)])], None)


@pytest.mark.parametrize("name", sorted(kinds()))
def test_every_kind_refuses_what_is_not_its_own(name: str, tmp_path: Path) -> None:
    foreign = from_bytes("given", [("given.json", b'{"hello": "world"}')])
    assert not kind(name).recognises(foreign)
    with pytest.raises(UserError):
        prepared([foreign], name)
    damaged = from_bytes("given", [("given.json", b'{"hello": ')])
    with pytest.raises(UserError, match="cut off"):
        prepared([damaged], name)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", '"0.5"', "true"])
def test_what_is_no_finite_number_is_refused(number: str) -> None:
    text = f'{{"models": [{{"model": "a", "method": "b", "uds": {number}}}]}}'
    given = from_bytes("given", [("given.json", text.encode())])
    with pytest.raises(UserError, match="not a finite number|no model with a number"):
        prepared([given], None)


def test_size_count_and_kind_of_files_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    from backend import given_files

    path = files.write(tmp_path / "results.json", files.uds())
    monkeypatch.setattr(given_files, "MOST_BYTES", 10)
    with pytest.raises(UserError, match="at most 0 MB are read"):
        from_path(path)
    monkeypatch.undo()
    monkeypatch.setattr(given_files, "MOST_FILES", 0)
    with pytest.raises(UserError, match="at most 0 are read"):
        from_path(tmp_path)
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"There is no file or folder"):
        from_path(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"is none of \.json, \.csv, \.tsv"):
        from_path(files.write(tmp_path / "model.pt", "weights"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no \.json"):
        from_path(tmp_path / "empty")
    with pytest.raises(UserError, match="no kind 'csvv' to import; there are: lm_eval, muse"):
        kind("csvv")


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    secret = files.write(tmp_path / "elsewhere.json", files.uds())
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "link.json").symlink_to(secret)
    with pytest.raises(UserError, match="holds no"):
        from_path(folder)


def test_names_from_files_are_made_harmless() -> None:
    rows = files.uds()
    rows["models"][2] |= {"model": "../../x\n![a](http://b)", "method": "<script>`x`\u202e"}
    one = prepared([from_bytes("../up", [("a.json", json.dumps(rows).encode())])], None)
    told = one.told()[2]
    assert told["method"] == "-script--x-" and "[" not in told["name"] and "\n" not in told["name"]


def test_texts_that_no_database_takes_are_replaced(tmp_path: Path) -> None:
    evaluation = files.evaluation()
    first = evaluation["forget_Q_A_ROUGE"]["value_by_index"]["0"]
    first["generation"] = "\ud800 zero\x00byte"
    one = ready(files.write(tmp_path / "TOFU_EVAL.json", evaluation))
    assert one.runs[0]["samples"][0]["answer"] == "? zero\ufffdbyte"


def test_kinds_are_found_and_asked_from_the_strictest_on(tmp_path: Path) -> None:
    assert {*kinds()} == {"open_unlearning", "tofu_eval_logs", "muse", "rwku", "uds", "lm_eval", "csv"}  # fmt: skip
    assert list(kinds())[-1] == "csv"
    assert guessed(from_bytes("x", [("t.csv", b"a,b\n1,2\n")])) == "csv"

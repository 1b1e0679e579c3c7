"""The papers' figures: what they draw is what the study says, and what is missing is said."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vl_convert
from scipy import stats
from streamlit.testing.v1 import AppTest

from backend import exports, figure_tables
from backend.anchors import competing
from backend.figure_views import Drawn, Figure, Material, figures, of_models, suppressed
from backend.figures import muse_radar, routing_stages, tofu_plane, undo_compute, undo_pareto
from db import session
from tests.frames import Frames, small
from tests.seed_database import seed_study

FIGURES = {figure.name: figure for figure in figures()}
ROOT = Path(__file__).resolve().parents[1]


def material(made: Frames, chosen: list[str] | None = None, **options: Any) -> Material:
    """What figures are drawn from, of a hand-made study."""
    document = made.build(**options)
    stages = dict(zip(made.runs["id"], made.runs["stage"], strict=True))

    def measured(metrics: Any, splits: Any = None, kinds: Any = ("evaluate",)) -> pd.DataFrame:
        found = made.measurements
        found = found[found["metric"].isin(list(metrics)) & found["run"].map(stages).isin(list(kinds))]  # fmt: skip
        found = found if splits is None else found[found["split"].isin(list(splits))]
        return of_models(document, made.runs, found)

    return Material(document, made.curves(), measured, chosen or [])


def drawn(name: str, found: Material) -> Drawn:
    """The figure, which this study must be able to show; it can be exported and its parts are valid."""
    result = FIGURES[name].draw(found)
    assert isinstance(result, Drawn), result
    for panel in result.panels:
        panel.to_dict()
    if result.chart is not None:
        assert vl_convert.vegalite_to_svg(exports.specification(result.chart)).startswith("<svg")
    return result


def measure(made: Frames, values: Mapping[tuple[str, str, str], Callable[[str], float]]) -> Frames:
    """Add (metric, split, category) to every evaluation, by the name of what it evaluates."""
    names = {int(run.removeprefix("run")): c["label"] for c in made.document["configurations"] for run in c["runs"].values()}  # fmt: skip
    for row in [row for row in made.run_rows if row["stage"] == "evaluate"]:
        for (metric, split, category), value in values.items():
            made.measure(row["id"], metric, split, value(names[row["parent"]]))
            made.measured[-1]["category"] = category
    return made


def declare(made: Frames, *names: str, **about: Any) -> Frames:
    for name in names:
        made.document["metrics"][name] = {"direction": "up", "unit": "", "range": [None, None], "level": "model", "takes": "examination", "floors": {}, **about}  # fmt: skip
    return made


@pytest.fixture(scope="module")
def found() -> Material:
    return material(small())


def test_every_file_of_the_folder_is_a_figure_with_a_source() -> None:
    files = {path.stem for path in (ROOT / "backend" / "figures").glob("[!_]*.py")}
    assert {figure.name for figure in figures()} == files
    assert all("arXiv" in figure.source and figure.title for figure in figures())
    assert len({figure.place for figure in figures()}) == len(files)


@pytest.mark.parametrize("figure", figures(), ids=lambda figure: figure.name)
def test_what_has_no_runs_is_one_sentence(figure: Figure) -> None:
    waiting = Material({**small().build(), "rows": [], "attacks": [], "oracle_matching": []}, small().curves().iloc[:0], lambda *a: pd.DataFrame())  # fmt: skip
    said = figure.draw(waiting)
    assert isinstance(said, str) and said.endswith(".")


def test_relearning_has_a_panel_for_each_suppression_and_a_line_for_each_thing_after_it(
    found: Material,
) -> None:
    result = drawn("undo_relearning", found)
    assert [panel.title for panel in result.panels] == ["MaxEnt", "GradDiff"]
    lines = {s: list(dict.fromkeys(rows["line"])) for s, rows in result.frame.groupby("suppression")}  # fmt: skip
    assert lines["MaxEnt"] == ["Suppressed only", "UNDO α 0.2", "UNDO α 0.6", "UNDO α 0.8", "Distilled, random student", "Base", "Oracle"]  # fmt: skip
    assert lines["GradDiff"] == ["Suppressed only", "Base", "Oracle"]
    worst = found.worst[(found.worst["configuration"] == "GradDiff") & (found.worst["step"] == 150)]
    row = result.frame[(result.frame["configuration"] == "GradDiff") & (result.frame["step"] == 150)].iloc[0]  # fmt: skip
    assert row["mean"] == pytest.approx(worst["score"].mean())
    assert (row["low"], row["high"]) == (worst["score"].min(), worst["score"].max())
    assert "lowest to the highest seed" in result.caption


def test_a_selection_leaves_itself_and_the_references() -> None:
    result = drawn("undo_relearning", material(small(), ["MaxEnt → UNDO (α 0.6)"]))
    assert set(result.frame["configuration"]) == {"MaxEnt → UNDO (α 0.6)", "Base", "Oracle"}


def test_configurations_that_lack_cells_are_not_drawn() -> None:
    result = drawn("undo_relearning", material(small(missing=["MaxEnt → UNDO (α 0.2)"])))
    assert "MaxEnt → UNDO (α 0.2)" not in set(result.frame["configuration"])


def test_the_line_over_alpha_is_scipys(found: Material) -> None:
    result = drawn("undo_compute", found)
    points = result.frame
    assert list(points["alpha"]) == [0.2, 0.6, 0.8]
    expected = stats.linregress(points["compute"], points["robustness"])
    mine = undo_compute.fit(points)
    assert mine is not None
    assert mine["slope"] == pytest.approx(expected.slope)
    assert mine["intercept"] == pytest.approx(expected.intercept)
    assert mine["r2"] == pytest.approx(expected.rvalue**2)
    assert f"{expected.slope:.2f} points" in result.caption
    assert f"R² = {expected.rvalue**2:.2f}" in result.caption
    pair = next(r for r in found.rows if "0.6" in r["configuration"])["paper"]
    row = points[points["alpha"] == 0.6].iloc[0]
    assert row["robustness"] == pytest.approx(100 * pair["relative_robustness"]["mean"])
    assert row["compute_high"] == pytest.approx(100 * pair["relative_compute_steps"]["high"])


def test_two_points_are_no_line() -> None:
    assert undo_compute.fit(pd.DataFrame({"compute": [1.0, 2.0], "robustness": [3.0, 4.0]})) is None
    said = FIGURES["undo_compute"].draw(material(small(), ["MaxEnt → UNDO (α 0.6)"]))
    assert isinstance(said, str) and "several α" in said


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([0, 10, 20, 40, 100, 500], [0, 40, 500]),
        ([0, 50, 100, 150], [0, 50, 150]),
        ([0, 40], [0, 40]),
        ([0], [0]),
    ],
)
def test_pareto_panels_stand_at_the_start_early_and_at_the_end(steps: Any, expected: Any) -> None:
    assert undo_pareto.moments(steps) == expected


def test_pareto_says_where_better_is_and_who_is_unbeaten(found: Material) -> None:
    result = drawn("undo_pareto", found)
    assert [panel.title for panel in result.panels] == ["Before any attack step", "After 50 steps", "After 150 steps"]  # fmt: skip
    words = next(layer for layer in result.panels[0].to_dict()["layer"] if layer["mark"].get("fontStyle") == "italic")  # fmt: skip
    assert words["encoding"]["x"] == {"value": "width"}  # more is kept to the right
    assert words["encoding"]["y"] == {
        "value": "height"
    }  # an accuracy on forget data is better below
    rows = result.frame[(result.frame["step"] == 150) & competing(result.frame)]
    values = rows.set_index("configuration")[["retain", "mean"]]
    beaten = [
        name
        for name, (kept, left) in values.iterrows()
        if ((values["retain"] > kept) & (values["mean"] < left)).any()
    ]
    best = undo_pareto.undominated(rows, "down", "up")
    assert not set(best) & set(beaten) and best


def test_stages_end_with_retain_before_the_attack_unless_it_was_measured(found: Material) -> None:
    result = drawn("routing_stages", found)
    mine = result.frame[result.frame["configuration"] == "MaxEnt → UNDO (α 0.6)"]
    forget = mine[mine["part"] == "forget"].set_index("stage")["value"]
    assert list(forget.index) == ["Base", "Suppressed", "Robustified", "Attacked"]
    row = next(r for r in found.rows if r["configuration"] == "MaxEnt")
    assert forget["Suppressed"] == pytest.approx(row["metrics"]["forget_accuracy"]["mean"])
    assert list(mine[mine["part"] == "retain"]["stage"]) == ["Base", "Suppressed", "Robustified"]
    assert "was not measured" in result.caption


def test_retain_after_the_attack_is_that_of_the_cells_that_count() -> None:
    made = small()
    row = next(r for r in made.build()["rows"] if r["configuration"] == "MaxEnt")
    for cell, value in zip(row["chosen_cells"], (0.9, 0.8, 0.7), strict=True):
        made.measure(cell["run"], "accuracy", "retain_score", value, cell["step"])
        made.measure(cell["run"], "accuracy", "retain_score", 0.1, cell["step"] + 1)
    assert routing_stages.retain_after(material(made), row) == pytest.approx(0.8)


def test_a_suppression_is_found_by_name(found: Material) -> None:
    names = {row["configuration"]: suppressed(row) for row in found.rows}
    assert names["MaxEnt → Distillation"] == names["MaxEnt"] == "MaxEnt"
    assert names["Base"] is None


def muse() -> Frames:
    """A small study with four of MUSE's criteria: a model keeps of the base what its name says."""
    made = declare(small(), "verbatim_memorization", "knowledge_memorization")
    declare(made, "privacy_leakage", level="pair", direction="none")

    def kept(base: float, oracle: float) -> Callable[[str], float]:
        return lambda name: {"Base": base, "Oracle": oracle}.get(name, (base + 3 * oracle) / 4)

    return measure(
        made,
        {
            ("verbatim_memorization", "verbatim_score", ""): kept(0.9, 0.1),
            ("knowledge_memorization", "forget_score", ""): kept(0.8, 0.2),
            ("knowledge_memorization", "retain_score", ""): lambda name: 0.6 if name in ("Base", "Oracle") else 0.3,
            ("privacy_leakage", "model", ""): lambda name: {"Base": -100.0, "Oracle": 0.0}.get(name, 50.0),
        },
    )  # fmt: skip


def test_the_radar_is_scaled_between_base_and_oracle() -> None:
    result = drawn("muse_radar", material(muse()))
    told = result.frame.set_index(["configuration", "criterion"])["scaled"]
    assert told["MaxEnt", "verbatim memorisation"] == pytest.approx(0.75)
    assert told["MaxEnt", "knowledge memorisation"] == pytest.approx(0.75)
    assert told["MaxEnt", "privacy leakage"] == pytest.approx(0.5)
    assert told["MaxEnt", "utility"] == pytest.approx(0.5)
    assert told["Base", "privacy leakage"] == 0
    assert told["Oracle", "verbatim memorisation"] == 1
    assert "Not measured: scalability, sustainability." in result.caption


def test_polar_geometry() -> None:
    spokes = ["up", "right", "down", "left"]
    placed = muse_radar.polar(pd.DataFrame({"criterion": spokes, "scaled": [1.0, 0.5, 2.0, -1.0]}), spokes)  # fmt: skip
    np.testing.assert_allclose(placed["x"], [0, 0.5, 0, 0], atol=1e-12)
    np.testing.assert_allclose(placed["y"], [1, 0, -muse_radar.END, 0], atol=1e-12)


def test_too_few_criteria_are_named(found: Material) -> None:
    said = FIGURES["muse_radar"].draw(found)
    assert isinstance(said, str) and "has 1 and lacks verbatim memorisation" in said


def test_rwkus_table_has_the_columns_that_are_measured() -> None:
    made = measure(
        declare(small(), "probe_recall"),
        {
            ("probe_recall", "forget_score", "FB"): lambda name: 0.5 if name == "Base" else 0.1,
            ("probe_recall", "forget_score", "AA"): lambda name: 0.1 if name == "MaxEnt" else 0.4,
            ("probe_recall", "forget_score", "AA role playing"): lambda name: 0.9,
            ("probe_recall", "retain_score", "QA"): lambda name: 0.6,
        },
    )
    result = drawn("rwku_table", material(made))
    assert list(result.frame.columns) == ["Configuration", "Forget FB ↓", "Forget AA ↓", "Neighbour QA ↑", "Utility ↑"]  # fmt: skip
    assert result.frame.set_index("Configuration").loc["Base", "Forget FB ↓"] == 0.5
    assert "Forget AA is lowest for MaxEnt, 0.100." in result.caption
    assert "Not measured: FM, RM," in result.caption
    tex, md = (write(result.frame, result.caption).decode() for write in (figure_tables.latex, figure_tables.markdown))  # fmt: skip
    assert r"Forget FB $\downarrow$" in tex and r"MaxEnt $\to$ UNDO ($\alpha$ 0.6)" in tex
    assert tex.count(r"\\") == len(result.frame) + 1
    assert "| Base | 0.500 |" in md


def test_a_figures_table_prints_names_as_they_are() -> None:
    frame = pd.DataFrame({"a_b": ["*x* | <i>", None], "c": [0.5, None]})
    assert figure_tables.markdown(frame, "*All*").decode().splitlines() == [
        r"| a\_b | c |",
        "| --- | --- |",
        r"| \*x\* \| \<i\> | 0.500 |",
        "| — | — |",
        "",
        r"\*All\*",
    ]
    lines = figure_tables.latex(frame, "one\ntwo").decode().splitlines()
    assert lines[0] == "% one two" and r"{*}x{*} $|$ $<$i$>$ & 0.500 \\" in lines


def test_tofus_plane_is_the_mean_of_log_p() -> None:
    made = declare(small(), tofu_plane.UTILITY)
    declare(made, tofu_plane.QUALITY, level="pair")
    logs = {"Base": -80.0, "Oracle": 0.0, "MaxEnt": -400.0}
    made = measure(
        made,
        {
            (tofu_plane.QUALITY, "model", ""): lambda name: 0.0,  # smaller than any number here
            (tofu_plane.QUALITY, "model", "log10 p"): lambda name: logs.get(name, -10.0),
            (tofu_plane.QUALITY, "model", "log10 floor"): lambda name: -500.0,
            (tofu_plane.UTILITY, "model", ""): lambda name: 0.7,
        },
    )
    result = drawn("tofu_plane", material(made))
    told = result.frame.set_index("configuration")["log10_p"]
    assert told["MaxEnt"] == -400 and told["Oracle"] == 0
    assert "10^-10.0 at a utility of 0.700" in result.caption and "10^-500.0" in result.caption


def labelled() -> Frames:
    """MaxEnt at two label fractions."""
    made = small()
    for configuration in made.document["configurations"]:
        if configuration["label"] in ("GradDiff", "MaxEnt"):
            share = 0.1 if configuration["label"] == "GradDiff" else 1.0
            configuration["label"] = "Other (labels 0.1)" if share < 1 else "Other"
            configuration["stages"] = [{"stage": "suppress", "name": "other", "parameters": {"labels": {"fraction": share}}}]  # fmt: skip
    return made


def test_labels_make_a_triptych() -> None:
    found = material(labelled())
    result = drawn("routing_labels", found)
    assert [panel.title for panel in result.panels] == ["Claimed forget quality", "Robust forget quality", "Utility"]  # fmt: skip
    robust = result.frame[result.frame["panel"] == "robust_forget_quality"].set_index("label_fraction")  # fmt: skip
    expected = found.frame.set_index("configuration")["robust_forget_quality"]
    assert robust.loc[0.1, "mean"] == expected["Other (labels 0.1)"]
    assert robust.loc[1.0, "mean"] == expected["Other"]


def matched() -> Material:
    found = material(small())
    rows = [
        {"configuration": name, "student": student, "steps": steps, "seed": seed, "kl": kl / (1 + seed), "before": 0.0, "after": 0.1}
        for name, student, steps, kl in (("GradDiff", "base", 200, 0.01), ("MaxEnt", "random", 600, 0.1))
        for seed in (0, 1, 2)
    ]  # fmt: skip
    return Material({**found.whole, "oracle_matching": rows}, found.every_curve, found.measured)


def test_oracle_matching_has_two_panels() -> None:
    result = drawn("undo_matching", matched())
    close = result.frame[result.frame["panel"] == "a: KL"].set_index("line")
    assert close.loc["from the base", "mean"] == pytest.approx(np.mean([0.01, 0.005, 0.01 / 3]))
    assert set(result.frame.loc[result.frame["panel"] == "b: relearning", "line"]) == {"from the base, 200 steps", "from random weights, 600 steps", "Oracle"}  # fmt: skip


SMALL = (
    'recipes=[{suppress="max_ent"}, {suppress="max_ent", robustify={name="undo", alpha=[0.2, 0.6, 0.8]}}]',
    "attacks.0.learning_rate=[1e-3, 3e-3]",
    "seeds=[0, 1]",
)


@pytest.fixture
def opened(own_home: Path) -> Callable[..., AppTest]:
    seed_study(session.require_database(), overrides=SMALL)

    def open_page(**address: Any) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for key, value in address.items():
            at.query_params[key] = value
        return at.switch_page("pages/10_Figures.py").run()

    return open_page


def test_the_page_shows_what_it_can_and_says_what_it_cannot(opened: Callable[..., AppTest]) -> None:
    at = opened(study="quick")
    assert not at.exception, at.exception[0].value
    heads = [one.value for one in at.subheader]
    shown = [FIGURES[n].title for n in ("undo_relearning", "undo_compute", "undo_pareto", "routing_stages")]  # fmt: skip
    assert heads == [*shown, "What this study cannot show"]
    lacking = "\n".join(one.value for one in at.markdown)
    assert all(figure.title.split("?")[0] in lacking for figure in figures() if figure.title not in heads)  # fmt: skip
    assert [one for one in at.button if one.label == "Add"]
    chosen = opened(study="quick", pick=["MaxEnt"])
    assert not chosen.exception
    assert FIGURES["undo_compute"].title not in [one.value for one in chosen.subheader]
    assert any("chosen configurations alone" in one.value for one in chosen.caption)


def test_a_figure_goes_into_a_report(opened: Callable[..., AppTest]) -> None:
    at = opened(study="quick")
    at.button(key="report-undo_compute-add").click().run()
    assert not at.exception, at.exception[0].value
    from db import reads

    engine = session.require_database()
    report = reads.report(engine, int(reads.reports(engine)["id"].iloc[0])) or {}
    (block,) = report["blocks"]
    assert block["kind"] == "chart" and len(block["content"]["data"]) == 3
    assert "least squares" in block["content"]["caption"]

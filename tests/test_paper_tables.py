"""Tables for papers: who is marked, against brute force; rounding; and what LaTeX and Markdown make of any name."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from backend import exports, table_text
from backend.paper_tables import Cell, Column, Table, better, contest, decimals, paired, table
from backend.stage import UserError
from tests.frames import small

METRICS = ("forget_accuracy", "retain_accuracy")
NASTY = r"50% _a_ & {b} | \c #1 $x$ ~ ^ [α] → é <z> 한 †"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return small((0, 1, 2)).build()


def column(values: list[float | None], direction: str = "up") -> Column:
    return Column("x", direction, [Cell(value, 0.01) for value in values])


def marks(values: list[float | None], competes: list[bool], direction: str = "up") -> list[str]:
    made = column(values, direction)
    contest(made, competes)
    return ["b" if cell.best else "s" if cell.second else "." for cell in made.cells]


def test_best_and_second_know_direction_ties_and_anchors() -> None:
    plays = [False, True, True, True, True]
    assert marks([9.0, 0.5, 0.7, 0.6, 0.1], plays) == [".", ".", "b", "s", "."]
    assert marks([0.0, 0.5, 0.7, 0.6, 0.1], plays, "down") == [".", "s", ".", ".", "b"]
    # What prints alike is alike: 0.7001 and 0.6999 both read 0.700, and nobody is second to two.
    assert marks([9.0, 0.7001, 0.6999, 0.6, 0.1], plays) == [".", "b", "b", ".", "."]
    assert marks([9.0, 0.7, 0.6, 0.6, None], plays) == [".", "b", "s", "s", "."]
    assert marks([None] * 5, plays) == ["."] * 5


def test_marks_are_those_of_brute_force() -> None:
    generator = np.random.default_rng(11)
    for _ in range(200):
        values = [float(v) if v > 0.1 else None for v in generator.random(7).round(1)]
        plays = [bool(one) for one in generator.integers(0, 2, 7)]
        known = sorted((v for v, p in zip(values, plays, strict=True) if p and v is not None), reverse=True)  # fmt: skip
        for value, plays_here, mark in zip(values, plays, marks(values, plays), strict=True):
            rank = known.index(value) if plays_here and value is not None else None
            assert mark == {0: "b", 1: "s"}.get(rank, ".")  # type: ignore[arg-type]


def test_daggers_are_those_of_brute_force(document: dict[str, Any]) -> None:
    found = table(document, reference="MaxEnt")
    at = found.names.index("MaxEnt")
    for made in found.columns:
        sign = 1 if made.direction == "up" else -1
        raw = {}
        for k, cell in enumerate(made.cells):
            if not found.competes[k] or k == at:
                assert cell.p is None and not cell.better
                continue
            difference = np.array(cell.values) - np.array(made.cells[at].values)
            if np.ptp(difference) > 1e-12:
                t = difference.mean() / (difference.std(ddof=1) / np.sqrt(len(difference)))
                raw[k] = 2 * stats.t.sf(abs(t), len(difference) - 1), sign * difference.mean()
        assert made.compared == len(raw)
        highest = 0.0
        for step, k in enumerate(sorted(raw, key=lambda one: raw[one][0])):
            highest = min(1.0, max(highest, raw[k][0] * (len(raw) - step)))
            assert made.cells[k].p == pytest.approx(highest)
            assert made.cells[k].better == (highest <= 0.05 and raw[k][1] > 0)


def test_a_test_takes_two_matched_seeds_that_differ() -> None:
    assert paired([1.0, None, 3.0], [None, 2.0, 1.0]) is None
    assert paired([1.0, 2.0, 3.0], [0.5, 1.5, 2.5]) is None
    found = paired([1.0, None, 3.0, 4.0], [0.5, 9.0, 1.0, 1.0])
    assert found is not None
    assert found[0] == pytest.approx(11 / 6)
    assert found[1] == pytest.approx(stats.ttest_1samp([0.5, 2.0, 3.0], 0).pvalue)


def test_forgetting_wants_less_capability_and_keeping_more() -> None:
    assert (better("forget_answer_accuracy"), better("retain_answer_accuracy")) == ("down", "up")
    assert (better("forget_loss"), better("retain_loss")) == ("up", "down")
    assert better("forget_of_nobody") is better("tofu_model_utility") is None


def test_decimals_show_a_digit_of_the_smallest_interval() -> None:
    def of(*halves: float | None) -> int:
        return decimals([Cell(1.0, half) for half in halves])

    assert of(0.2, 0.04) == 2
    assert of(0.3, 2.0) == 1
    assert of(0.0001) == 3
    assert of(None, 0.0) == 3


def test_a_tables_mistakes_name_what_is_valid(document: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="metric = 'beauty' is not one of forget_accuracy"):
        table(document, ["beauty"])
    with pytest.raises(UserError, match="reference = 'Oracle' is not one of GradDiff, MaxEnt"):
        table(document, reference="Oracle")


def test_unknown_numbers_are_dashes_and_one_seed_has_no_marks() -> None:
    found = table(small((0,)).build())
    assert "No significance marks" in " ".join(found.notes)
    assert not any(cell.better for made in found.columns for cell in made.cells)
    missing = table(small((0, 1), missing=["GradDiff"]).build())
    line = next(x for x in table_text.latex(missing).splitlines() if x.startswith("GradDiff"))
    assert line.split(" & ")[1] == "---"
    nothing = table({**small((0,)).build(), "rows": []})
    assert "No configuration has a number yet." in table_text.markdown(nothing)


def test_tables_say_mean_interval_and_what_the_marks_are(document: dict[str, Any]) -> None:
    found = table(document, METRICS)
    text = table_text.latex(found)
    assert text.count(r"\\") == len(found.names) + 1
    assert r"\toprule" in text and r"$\pm$" in text and r"\textbf{" in text
    assert r"Compute $\downarrow$ & Forget accuracy" in text
    assert "paired two-sided t-test over 3 matched seeds, Holm's correction" in text
    assert "worst case over 3 attack cells, 150 steps; anchor: oracle." in text
    shown = table_text.markdown(found)
    assert "<u>" in shown and "**" in shown
    widths = {line.replace(r"\|", "").count("|") for line in shown.splitlines() if line.startswith("|")}  # fmt: skip
    assert widths == {8}


def test_every_sign_of_a_name_is_printed_as_it_is() -> None:
    nasty = Table([NASTY], [True], [column([0.5])], [NASTY])
    line = next(x for x in table_text.latex(nasty).splitlines() if x.endswith(r"\\") and "50" in x)
    assert line.startswith(
        r"50\% \_a\_ \& \{b\} $|$ \textbackslash{}c \#1 \$x\$ \textasciitilde{} \textasciicircum{}"
        r" {[}$\alpha${]} $\to$ é $<$z$>$ \texttt{U+D55C} $^\dagger$ & "
    )
    row = table_text.markdown(nasty).splitlines()[2]
    assert r"\_a\_" in row and r"\|" in row and r"\<z\>" in row
    assert table_text.escaped("a\nb\x07") == "a b "


def test_minus_and_zero(document: dict[str, Any]) -> None:
    made = Table(["x", "y"], [True, True], [Column("c", "up", [Cell(-0.0001, 0.01), Cell(-0.3)], 2)], [])  # fmt: skip
    text = table_text.latex(made)
    assert "-0.00" not in text.replace("$-$", "-") and "0.00" in text
    assert "$-$0.30" in text


def test_any_frame_is_a_table(document: dict[str, Any]) -> None:
    costs = pd.DataFrame({"stage": ["base", None], "flops": [1.5e12, None], "runs": [3, 4], "share": [0.25, 0.75]})  # fmt: skip
    text = exports.latex(costs).decode()
    assert r"base & 1.50e+12 & 3 & 0.250 \\" in text
    assert "| — | 4 | 0.750 |" in exports.markdown(costs).decode()


@pytest.mark.skipif(
    not (shutil.which("pdflatex") or shutil.which("tectonic")), reason="there is no LaTeX"
)
def test_the_table_compiles(document: dict[str, Any], tmp_path: Path) -> None:
    document["rows"][2]["configuration"] = NASTY
    body = table_text.latex(table(document, METRICS))
    source = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs}\\begin{document}\n"  # fmt: skip
    (tmp_path / "t.tex").write_text(source + body + "\\end{document}\n")
    program = shutil.which("pdflatex") or shutil.which("tectonic") or ""
    options = ["-interaction=nonstopmode", "-halt-on-error"] if "pdflatex" in program else []
    subprocess.run([program, *options, "t.tex"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "t.pdf").read_bytes().startswith(b"%PDF")

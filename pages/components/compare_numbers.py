"""Every metric of the configurations that are compared, tested against the reference, with a verdict in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from backend.charts.comparison import BAD, GOOD, NEITHER, OPEN, SAME, difference_chart
from backend.charts.theme import NAMES
from backend.comparison import CONSTANT, HIGHER, LOWER, Measure, compare, means, measures
from backend.comparison_words import family, p_value, sentence, signed, verdict
from backend.paired_tests import ROUNDING, TESTS
from backend.spreadsheets import csv
from pages.components import reads
from pages.components.compare_report import chart_to_report, table_to_report
from pages.components.defined import definition_links
from pages.components.downloads import downloads
from pages.components.drawing import quickly
from pages.components.shown import DASH, missing, plain

Rows = Sequence[Mapping[str, Any]]
SENTENCES = 5  # configurations that get a sentence; more are a table's work
DRAWN = 12  # configurations whose differences still fit a picture
MARKS = {GOOD: " ▲", BAD: " ▼", NEITHER: " ◆", SAME: " ■", OPEN: ""}
ALONE = (
    "Bars are Student's 95 % intervals over seeds of each paired difference alone; signs are corrected for all tests, so a bar"
    " may clear zero and still not count."
)
SINGLE = "There is one seed: these are differences of single runs, without intervals and tests."
METHOD = r"""
For every metric and configuration the seeds that both sides have are paired: the same seed gives the same data order
and the same base, so differences within a seed hold what the recipes differ in.

- **Interval of a mean, and of a difference**: Student's t over seeds, 95 %, unclipped, not adjusted for several tests.
- **Paired t-test**: $t = \bar d / (s_d / \sqrt n)$ with $n - 1$ degrees of freedom, two-sided. It takes differences that are
  about normal, which a handful of seeds cannot show.
- **Wilcoxon signed-rank test, exact**: ranks only; all $2^n$ patterns of signs. With $n$ seeds its $p$ is never below $2^{1-n}$.
- **Effect size**: Hedges' $g_{av} = J \cdot (\bar x_{other} - \bar x_{reference}) / \sqrt{(s_1^2 + s_2^2)/2}$, with
  $J = \Gamma(\nu/2) / (\sqrt{\nu/2}\,\Gamma((\nu-1)/2))$ and $\nu = n - 1$ (Cumming 2012; Lakens 2013). It measures in units of the spread
  over seeds, not of the spread of the differences ($d_z$), so it does not grow because seeds are paired. It takes three seeds, and
  is crude below ten.
- **Holm's correction** over all tests that are shown: with $m$ of them the smallest $p$ is multiplied by $m$, the next by
  $m - 1$, and so on. Choosing fewer metrics before looking makes a smaller family; choosing them after looking is cheating.
- On forget data less capability counts as better; less than the oracle's only gives away that something was unlearnt.
- Where the difference is the same in every seed there is no spread to test against, and no test is made.
"""


def numbers_section(
    study: str, document: Mapping[str, Any], rows: Rows, names: Mapping[str, str], reference: str
) -> None:
    """The findings in words, as a picture and as tables."""
    record, _ = reads.planned(study)
    chosen, test = choose(measures(rows, record.document["metrics"]))
    if not chosen:
        st.info("No metric is chosen. Choose at least one above.")
        return
    tested = compare(rows, chosen, reference, test)
    told = family(tested, test)
    tested = tested.assign(
        named=tested["configuration"].map(names),
        finding=[_finding(*one) for one in zip(tested["verdict"], tested["better"], strict=True)],
        said=[verdict(line) for line in tested.to_dict("records")],
    )
    said = sentences(tested, names, reference)
    pictured(study, document, tested, names, reference, " ".join(said))
    averages = means(rows, chosen)
    averages_table(study, averages, tested, names, reference, chosen)
    tests_table(study, document, tested, averages, names[reference], told)
    with st.expander("How this is tested"):
        st.markdown(METHOD)


def choose(known: list[Measure]) -> tuple[list[Measure], str]:
    """The metrics and the test, both in the address."""
    left, right = st.columns([3, 1])
    names = {measure.name: measure for measure in known}
    picked = left.multiselect(
        "Metrics",
        list(names),
        default=list(NAMES),
        format_func=lambda name: names[name].label,
        key="metric",
        bind="query-params",
        help="Every metric that is shown is tested, and counts in Holm's correction.",
    )
    test = right.selectbox(
        "Test", list(TESTS), format_func=lambda name: TESTS[name], key="test", bind="query-params"
    )
    return [names[name] for name in picked], str(test)


def _finding(verdict: str, better: bool | None) -> str:
    if verdict not in (HIGHER, LOWER):
        return SAME if verdict == CONSTANT else OPEN
    return NEITHER if better is None else GOOD if better else BAD


def sentences(tested: pd.DataFrame, names: Mapping[str, str], reference: str) -> list[str]:
    """One sentence a configuration, shown as text; what is beyond the first few is in the table."""
    others = list(dict.fromkeys(tested["configuration"]))
    found = [
        sentence(tested[tested["configuration"] == one], names[one], names[reference])
        for one in others[:SENTENCES]
    ]
    for said in found:
        st.markdown(plain(said))
    if len(others) > SENTENCES:
        st.caption(f"{len(others) - SENTENCES} more configurations are in the tables below.")
    return found


def pictured(
    study: str,
    document: Mapping[str, Any],
    tested: pd.DataFrame,
    names: Mapping[str, str],
    reference: str,
    said: str,
) -> None:
    """The differences as a picture: of the objectives, which share a scale, or else of what was chosen."""
    objectives = tested[tested["metric"].isin(list(NAMES))]
    rows = objectives if len(objectives) else tested
    some = list(dict.fromkeys(rows["configuration"]))[:DRAWN]
    rows = rows[rows["configuration"].isin(some)]
    if rows["difference"].isna().all():
        st.info("No seed has both numbers yet, so there is no difference to draw.")
        return
    title = f"Difference from {names[reference]} (other − reference)"
    chart = difference_chart(rows, title, reads.theme())
    st.altair_chart(quickly(chart), key="differences", alt=said)
    notes = [ALONE if rows["low"].notna().any() else SINGLE]
    if len(rows) < len(tested):
        notes.append(
            f"Drawn are the objectives of the first {len(some)} configurations; every metric is in the table."
        )
    st.caption(" ".join(notes))
    definition_links(name for name in NAMES if name in set(rows["metric"]))
    with st.container(horizontal=True):
        chart_to_report("Differences", chart, rows, f"{said} {notes[0]}", "report-differences", study, document)  # fmt: skip
    downloads(chart, rows, f"{study}-differences", table=False)


def averages_table(
    study: str,
    averages: pd.DataFrame,
    tested: pd.DataFrame,
    names: Mapping[str, str],
    reference: str,
    chosen: Sequence[Measure],
) -> None:
    """Metrics as rows, configurations as columns: mean ± half of Student's interval, and a sign for what was found."""
    found = {
        (line["metric"], line["configuration"]): MARKS[str(line["finding"])]
        for line in tested.to_dict("records")
    }
    cells = [
        spread(line) + found.get((line["metric"], line["configuration"]), "")
        for line in averages.to_dict("records")
    ]
    wide = averages.assign(cell=cells).pivot(index="metric", columns="configuration", values="cell")
    wide = wide.loc[[measure.name for measure in chosen], list(names)]
    wide.columns = [f"{n} (reference)" if one == reference else n for one, n in names.items()]
    wanted = {"up": "↑", "down": "↓", None: ""}
    wide.insert(0, "Better", [wanted[measure.wants] for measure in chosen])
    wide.insert(0, "Metric", [measure.label for measure in chosen])
    st.subheader("Every metric")
    st.dataframe(wide, hide_index=True, width="stretch", height=_height(wide))
    st.caption(
        "Mean over seeds ± half of Student's 95 % interval. Against the reference, after Holm's correction: ▲ better,"
        " ▼ worse, ◆ different where neither end is better, ■ the same difference in every seed, so no test; no sign is no"
        " difference found, which is not the same as none."
    )
    _csv(study, "means", averages)


WIDTHS: dict[str, Any] = {
    "Metric": st.column_config.TextColumn(width="medium"),
    "Verdict": st.column_config.TextColumn(width="medium"),
    "Difference": st.column_config.TextColumn(help="other − reference, with its interval"),
    "p": st.column_config.TextColumn(width="small", help="two-sided, of this test alone"),
    "p (Holm)": st.column_config.TextColumn(width="small", help="adjusted for all tests shown"),
    "Effect (g_av)": st.column_config.TextColumn(
        help="mean difference in units of the spread over seeds; see below"
    ),
    "Seeds": st.column_config.NumberColumn(width="small", help="that both have"),
}


def _height(frame: pd.DataFrame) -> int:
    return 40 + 35 * min(len(frame), 16)


def spread(line: Mapping[Any, Any]) -> str:
    """Mean ± half the interval; of one seed the value alone, of missing seeds how many there are."""
    if missing(line["mean"]):
        return f"{DASH} ({line['known']} of {line['seeds']} seeds)"
    value = signed(line["mean"]).removeprefix("+")
    if missing(line["high"]):
        return value
    half = line["high"] - line["mean"]
    tiny = half <= ROUNDING * abs(
        line["mean"]
    )  # the same in every seed, but for the rounding of a mean
    return f"{value} ± {signed(0.0 if tiny else half).removeprefix('+')}"


def tests_table(
    study: str,
    document: Mapping[str, Any],
    tested: pd.DataFrame,
    averages: pd.DataFrame,
    reference: str,
    told: str,
) -> None:
    """The difference's twin: every test with its interval, effect, p and verdict."""
    st.subheader("Every test")
    st.markdown(plain(told))
    of = {(a["metric"], a["configuration"]): spread(a) for a in averages.to_dict("records")}
    shown = pd.DataFrame(
        {
            "Metric": tested["label"],
            "Configuration": tested["named"],
            "Verdict": tested["said"],
            "Difference": [_difference(line) for line in tested.to_dict("records")],
            "p": [p_value(p) or DASH for p in tested["p"]],
            "p (Holm)": [p_value(p) or DASH for p in tested["p_holm"]],
            "Effect (g_av)": [DASH if missing(g) else f"{g:+.2f}" for g in tested["effect"]],
            "Seeds": tested["seeds"],
        }
    )
    st.dataframe(
        shown, hide_index=True, width="stretch", height=_height(shown), column_config=WIDTHS
    )
    sides = ("configuration", "reference")
    both = [
        [of[line["metric"], line[side]] for line in tested.to_dict("records")] for side in sides
    ]
    with st.container(horizontal=True):
        whole = shown.assign(**{"Mean": both[0], f"Mean of {reference}": both[1]})
        caption = f"Against {reference}. {told}"
        table_to_report("Tests", whole, caption, "report-tests", study, document)
        _csv(study, "tests", tested.drop(columns=["named", "finding"]))


def _difference(line: Mapping[Any, Any]) -> str:
    if missing(line["difference"]):
        return DASH
    told = signed(line["difference"])
    return (
        told if missing(line["low"]) else f"{told} ({signed(line['low'])} … {signed(line['high'])})"
    )


def _csv(study: str, what: str, frame: pd.DataFrame) -> None:
    st.download_button(
        f"CSV of the {what}",
        data=lambda: csv(frame),
        file_name=f"{study}-compare-{what}.csv",
        on_click="ignore",
        key=f"download-{what}",
    )

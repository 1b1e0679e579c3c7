"""The filter above the list of runs: the field, its help, and common filters to click."""

from collections.abc import Sequence

import streamlit as st
from sqlalchemy import Engine

from backend.run_filter import Words, parse, parts
from backend.stage import UserError
from db import reads
from pages.components.run_address import View, change
from pages.components.shown import plain, quoted
from pages.components.synced import synced, taken

FIELD, CHIPS, LAST_GOOD = "runs_filter", "runs_chips", "runs_last_good"
COMMON = {
    "Failed": "state:failed",
    "Running": "state:running",
    "Waiting": "state:waiting",
    "Blocked": "state:blocked",
    "Models": "stage:base,oracle,pretrain,suppress,robustify,wrap",
    "Attacks": "stage:attack",
    "Last 24 hours": "finished>=24h-ago",
    "With a note": "has:note",
    "With a tag": "has:tag",
    "Archived": "is:archived",
}
EXAMPLES = """
| write | to see |
| --- | --- |
| `method:undo` | runs of one method; `method:mia*` of all that begin so |
| `stage:attack state:failed` | both must hold |
| `state:failed,cancelled` | one or the other |
| `-state:complete` | all others |
| `alpha>=0.4` `target:placebo` | by any parameter (`p.steps>10` where a field has its name) |
| `seconds>60` `flops<1e12` | by what a run took |
| `answer_accuracy@forget_score>0.5` | by the last value of a metric on a split |
| `study:quick` `tag:"look again"` | quotation marks hold words together |
| `finished>=24h-ago` `created:2026-01-31` | by time: `min`, `h` or `d` ago, or a day (UTC) |
| `has:note` `has:error` `author:Kim` | noted, failed with a reason, noted by somebody |
| `is:archived` `is:leftover` | archived; in no study's newest revision |
| `"out of memory"` | these words anywhere: parameters, error, note, tags |
"""


@st.cache_data(max_entries=10, show_spinner=False)
def _words(place: str, version: str, _engine: Engine) -> Words:
    return Words(reads.parameter_names(_engine), reads.metric_names(_engine))


def words(engine: Engine) -> Words:
    """What a filter and the columns may speak of in this database."""
    return _words(str(engine.url), reads.finished_version(engine), engine)


def filter_field(engine: Engine, view: View) -> Sequence[reads.Condition]:
    """The field with what is wrong below it; the conditions to show, the last good ones after a mistake."""
    left, right = st.columns([6, 1], vertical_alignment="bottom")
    key = synced(FIELD, view.filter)
    left.text_input(
        "Filter",
        view.filter,
        key=key,
        on_change=taken(key, _typed),
        placeholder="method:undo stage:attack state:failed alpha>=0.4 -tag:paper",
    )
    with right.popover("Help", width="stretch"):
        st.markdown(EXAMPLES)
    _chips(view)
    try:
        conditions = parse(view.filter, words(engine))
    except UserError as mistake:
        before = st.session_state.get(LAST_GOOD)
        shown = f"Below is what {before[0]!r} finds." if before and before[0] else "Below are all runs."  # fmt: skip
        st.error(f"{plain(str(mistake))} {plain(shown)}")
        return before[1] if before else []
    st.session_state[LAST_GOOD] = (view.filter, conditions)
    return conditions


def _typed(filter: str) -> None:
    # Blanks between quotation marks are meant.
    change(filter=filter.strip() if '"' in filter else " ".join(filter.split()))


def _chips(view: View) -> None:
    """Common filters; a chip is on while its part stands in the field."""
    common = {**COMMON, **_mine()}
    written = parts(view.filter)
    label_of = {part: label for label, part in common.items()}
    chosen = [label_of[part] for part in written if part in label_of]  # in the order of the clicks
    key = synced(CHIPS, chosen)
    kept = [part for part in written if part not in common.values()]
    st.pills(
        "Common filters",
        list(common),
        selection_mode="multi",
        default=chosen,
        key=key,
        on_change=taken(
            key, lambda on: change(filter=" ".join([*kept, *(common[label] for label in on)]))
        ),
        label_visibility="collapsed",
    )


def _mine() -> dict[str, str]:
    """The runs that the reader has noted, once the name is known under which they do so."""
    name = st.session_state.get("author", "")
    return {"Mine": f"author:{quoted(name)}"} if name else {}

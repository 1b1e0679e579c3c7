"""What a report's blocks are made of, taken from a study's frontier document: words, picture, table, gates."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from backend import gates
from backend.canonical import plain
from backend.charts.captions import caption
from backend.charts.frontier import coloured, frontier_chart, told_apart
from backend.definitions import CAUTIONS
from backend.frontier import frame as frame_of
from backend.reports import charts, prose
from backend.stage import UserError

Document = Mapping[str, Any]
DocumentAt = Callable[[int | None], Document]

# What a review starts from; every limit is the reviewers' to change.
USUAL_GATES = (
    {"kind": "utility_drop", "limit": 0.05},
    {"kind": "recovery", "limit": 0.2},
    {"kind": "compute", "limit": 1.0},
)
OBJECTIVES = {
    "robust_forget_quality": "Robust forget quality",
    "claimed_forget_quality": "Claimed",
    "utility": "Utility",
    "compute": "Compute",
}
PICTURE = "Hollow points lack attack cells; the dashed line bounds what is dominated in the two objectives shown."
LARGEST = 8_000_000  # characters of one block's content


def about(document: Document) -> dict[str, Any]:
    """What every block of a study says about where it is from."""
    return {
        "study": document["study"],
        "revision": document["revision"],
        "budget": document["budget"],
        "attack_grid_size": document["attack_grid_size"],
        "anchor": document["anchor"],
    }


def checked(kind: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """A block's content in JSON's own types, as a report may keep it.

    Raises:
        UserError: it holds something that is no value, a chart that loads its data from elsewhere, or too much
    """
    found: dict[str, Any] = plain(content)
    if kind == "chart":
        charts.require_inline(found.get("spec"))
    size = len(str(found))
    if size > LARGEST:
        raise UserError(f"The block holds {size:,} characters of data; {LARGEST:,} at most.")
    return found


def chart_content(chart: Any, data: Any, told: str, **more: Any) -> dict[str, Any]:
    """The content of a chart's block: the specification with its data, the frame it was drawn from, a caption."""
    return checked(
        "chart",
        {"spec": charts.frozen_spec(chart), "data": data.to_dict("records"), "caption": told, **more},
    )  # fmt: skip


def headline(document: Document) -> dict[str, Any]:
    """What was asked, done and found, and what it does not tell, for the reviewers to write on."""
    frame = frame_of(document)
    seeds = int(frame["seeds"].iloc[0]) if len(frame) else 0
    attacks = ", ".join(str(attack["label"]) for attack in document["attacks"]) or "no attack"
    weak = "" if seeds > 1 else f"\n- {CAUTIONS[3]}"
    text = f"""**Question.** Which configurations of *{prose.escaped(document["study"])}* may be released?

**What was done.** Setting {prose.escaped(document["setting"])}, {seeds} seed{"s" if seeds != 1 else ""}, attacked by {prose.escaped(attacks)}: worst case over {document["attack_grid_size"]} attack cells, up to {document["budget"]} steps.

**What came out.** {prose.escaped(caption(frame))}

**What it does not tell.**

- {CAUTIONS[0]}
- {CAUTIONS[2]}{weak}
"""
    return {"text": text, **about(document)}


def frontier(document: Document, selected: Collection[str] = ()) -> dict[str, Any]:
    """The frontier's picture with its data.

    Raises:
        UserError: no configuration has a number yet
    """
    frame = frame_of(document)
    if frame.empty:
        raise UserError(f"The study {document['study']} has no finished run to draw.")
    chart = frontier_chart(frame, selected=selected)
    grey = coloured(frame, selected=selected).told()
    told = " ".join(one for one in (caption(frame), grey, _resting_on(document, frame), PICTURE) if one)  # fmt: skip
    return chart_content(chart, frame, told, made_by="frontier", selected=list(selected), **about(document))  # fmt: skip


def _resting_on(document: Document, frame: Any) -> str:
    seeds = int(frame["seeds"].iloc[0])
    return (
        f"Setting {document['setting']}; {seeds} seed{'s' if seeds != 1 else ''}; worst case over"
        f" {document['attack_grid_size']} attack cells, {document['budget']} steps; anchor: {document['anchor']}."
    )


def table(document: Document) -> dict[str, Any]:
    """Every configuration with its objectives, mean ± half of the interval over seeds."""
    frame = frame_of(document)
    short = told_apart(frame["configuration"])
    columns = ["Configuration", "Front", *OBJECTIVES.values(), "Attack cells", "Worst attack", "Weak evidence"]  # fmt: skip
    rows = [
        [
            short[row["configuration"]],
            "●" if row["on_front"] is True else "",
            *(_interval(row[name]) for name in OBJECTIVES),
            f"{row['cells_done']} of {row['cells_total']}",
            row["worst_attack"],
            ", ".join(row["weak_evidence"]),
        ]
        for row in document["rows"]
    ]
    told = f"Mean ± half of Student's 95 % interval over seeds, where there are two or more. {_resting_on(document, frame)}" if rows else ""  # fmt: skip
    return checked(
        "table",
        {"columns": columns, "rows": rows, "caption": told, "data": frame.to_dict("records"), "made_by": "table", **about(document)},
    )  # fmt: skip


def _interval(found: Mapping[str, Any]) -> str | None:
    if found["mean"] is None:
        return None
    wide = found["high"] is not None
    return f"{found['mean']:.3f}" + (f" ± {found['high'] - found['mean']:.3f}" if wide else "")


def gates_content(
    document_at: DocumentAt,
    asked: Sequence[Mapping[str, Any]] = USUAL_GATES,
    names: Sequence[str] | None = None,
    with_interval: bool = False,
) -> dict[str, Any]:
    """Gates with what the study says about them; `document_at` gives its frontier document at a budget.

    Raises:
        UserError: a gate is none, or asks for what the study does not have
    """
    document = document_at(None)
    wanted = [gates.gate(one, document) for one in asked]
    documents = {budget: document if budget is None else document_at(budget) for budget in gates.budgets(wanted)}  # fmt: skip
    rows = gates.evaluate(wanted, documents, names, with_interval)
    told = {
        "gates": [gates.stored(one) for one in wanted],
        "rows": rows,
        "configurations": None if names is None else list(names),
        "with_interval": with_interval,
        "made_by": "gates",
    }
    return checked("gates", told | about(document))


DECISION = """Look at each configuration above and decide: **approve**, **needs work** or **reject**.

- A gate that is *unknown* does not hold: say what has to be run first.
- Name the attack or the number that decided.
- Freeze the report, then decide on it below: what you decided on cannot change any more.
"""


def review(document_at: DocumentAt, selected: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The blocks of a review of a study: headline, frontier, table, gates, what there is to decide.

    `selected` configurations are ringed in the picture, and the gates are asked of them alone; of all where there are none.

    Raises:
        UserError: the study has no finished run yet
    """
    document = document_at(None)
    asked_of = list(selected) or None
    made = (
        ("text", "What was asked, done and found", headline(document)),
        ("chart", "What lasts, and what it costs", frontier(document, selected)),
        ("table", "All configurations", table(document)),
        ("gates", "Does it pass?", gates_content(document_at, names=asked_of)),
        ("text", "What we have to decide", {"text": DECISION}),
    )
    return [{"kind": kind, "title": title, "content": content} for kind, title, content in made]


def anew(content: Mapping[str, Any], document_at: DocumentAt) -> dict[str, Any] | None:
    """The same block from the study as it is now; None where a block does not say how it was made.

    Raises:
        UserError: the study no longer has what the block asks for
    """
    made_by = content.get("made_by")
    if made_by == "frontier":
        return frontier(document_at(None), content.get("selected", ()))
    if made_by == "table":
        return table(document_at(None))
    if made_by == "gates":
        of = content.get("configurations")
        return gates_content(document_at, content["gates"], of, bool(content.get("with_interval")))
    return None

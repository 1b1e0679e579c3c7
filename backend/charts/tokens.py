"""How likely models find an answer, token by token, as strips of heat."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from backend.charts.theme import FONT, SVG

ACROSS = 8  # tokens of a strip
MOST_STRIPS = 5
ATTACKED = ", attacked"  # how the name of a model after an attack ends
# Blue is less likely than under the model that is compared with, orange likelier; told apart with all common kinds of
# colour blindness. The number stands on every token.
DIVERGING = ["#0072B2", "#8FBBD9", "#F5F5F5", "#EBB58A", "#D55E00"]


def token_frame(item: Mapping[str, Any], models: Sequence[str]) -> pd.DataFrame:
    """One row a model and token of the reference: model, place (from 1), token, log_p, gap, likeliest.

    `gap` is ln p less that of the first model, in nats; a model that gave no probability has no rows.
    """
    first = item["answers"][0]["log_p"] if item["answers"] else []
    rows = [
        {
            "model": model,
            "place": place + 1,
            "token": visible(token),
            "log_p": log_p,
            "gap": log_p - first[place],
            "likeliest": visible(likeliest),
        }
        for model, answer in zip(models, item["answers"], strict=True)
        for place, (token, log_p, likeliest) in enumerate(
            zip(item["reference"], answer["log_p"], answer["likeliest"], strict=True)
        )
    ]
    return pd.DataFrame(rows, columns=["model", "place", "token", "log_p", "gap", "likeliest"])


def visible(token: str) -> str:
    """A token with its blanks to be seen."""
    return token.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "∅"


def strips(frame: pd.DataFrame) -> list[Any]:
    """Charts of a frame of `token_frame`, each of a few tokens; long answers are cut, the frame has all of them."""
    return [strip.properties(usermeta=SVG) for strip in _strips(frame)]


def _strips(frame: pd.DataFrame) -> list[Any]:
    limit = max(1.0, float(frame["gap"].abs().max())) if len(frame) else 1.0
    names = short_names(list(dict.fromkeys(frame["model"])))
    last = min(int(frame["place"].max()) if len(frame) else 0, ACROSS * MOST_STRIPS)
    ends = [(start, min(start + ACROSS - 1, last)) for start in range(1, last + 1, ACROSS)]
    return [_strip(frame[frame["place"].between(*end)], limit, names) for end in ends]


def _strip(frame: pd.DataFrame, limit: float, names: Mapping[str, str]) -> Any:
    first = next(iter(names))
    # Tokens repeat in a text, so their place goes before them where it is not shown.
    told = frame.assign(
        column=[f"{p:03d}\u2009{t}" for p, t in zip(frame["place"], frame["token"], strict=True)],
        row=frame["model"].map(names),
        told=[_told(row, first) for row in frame.to_dict("records")],
        dark=frame["gap"] < -0.85 * limit,  # only on the darkest blue white is read better
    )
    few = frame["place"].nunique() <= 4
    base = alt.Chart(told).encode(
        x=alt.X("column:O", sort=None).title(None).axis(
            orient="top", labelExpr="slice(datum.label, 4)", labelLimit=90 if few else 64,
            labelAngle=0 if few else -35, labelFontSize=12, ticks=False, domain=False,
        ),
        y=alt.Y("row:N", sort=list(names.values())).title(None).axis(
            labelLimit=190, labelOverlap=False, ticks=False, domain=False,
        ),
        tooltip=[
            alt.Tooltip("model:N", title="Model"), alt.Tooltip("token:N", title="Token"),
            alt.Tooltip("log_p:Q", format=".3f", title="ln p"),
            alt.Tooltip("gap:Q", format="+.3f", title=f"Gap to {first}"),
            alt.Tooltip("likeliest:N", title="Likeliest instead"),
        ],
    )  # fmt: skip
    colour = alt.Color("gap:Q").scale(domain=[-limit, limit], range=DIVERGING).legend(None)
    cells = base.mark_rect(stroke="#808080", strokeWidth=0.5).encode(color=colour)
    numbers = base.mark_text(fontSize=11, font=FONT).encode(
        text="told:N", color=alt.when("datum.dark").then(alt.value("#FFFFFF")).otherwise(alt.value("#1A1A1A")),
    )  # fmt: skip
    height = 36 * len(names) + (46 if few else 84)
    return alt.layer(cells, numbers).properties(height=height)


def _told(row: Mapping[Any, Any], first: str) -> str:
    """The number on a cell: ln p itself of the first model, the gap of the others."""
    shown = row["log_p"] if row["model"] == first else row["gap"]
    rounded = round(float(shown), 1) or 0.0  # no −0.0
    return (
        f"{rounded:.1f}".replace("-", "−")
        if row["model"] == first
        else f"{rounded:+.1f}".replace("-", "−")
    )


def short_names(models: Sequence[str]) -> dict[str, str]:
    """Names for the strips' rows: the last stage alone where that is enough; what tells two apart comes first."""
    last = {model: model.rpartition(" → ")[2] for model in models}
    chosen = (
        last if len(set(last.values())) == len(models) else dict(zip(models, models, strict=True))
    )
    found = {
        model: f"attacked: {name.removesuffix(ATTACKED)}" if name.endswith(ATTACKED) else name
        for model, name in chosen.items()
    }
    first = next(iter(found))
    return found | {first: f"{found[first]}: ln p"}


def whole(frame: pd.DataFrame) -> Any:
    """All strips as one chart, for files."""
    made = [strip.properties(width=420) for strip in _strips(frame)]
    return alt.vconcat(*made) if len(made) > 1 else made[0]

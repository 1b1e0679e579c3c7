"""What the models said: cards side by side with leaks marked, probabilities as heat, and the case for a report."""

import html
import math
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from backend.charts import tokens
from backend.playground import leaks
from pages.components import shown
from pages.components.downloads import downloads
from pages.components.reporting import add_to_report

GRID = "display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,13rem),1fr));gap:.75rem"
CARD = "border:1px solid rgba(128,128,128,.4);border-radius:.5rem;padding:.75rem .9rem;display:flex;flex-direction:column;gap:.4rem;min-width:0"
SAID = "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;font-size:1.05rem;max-height:22rem;overflow-y:auto"
MARK = "background:rgba(230,159,0,.32);color:inherit;border-bottom:2px solid #E69F00;border-radius:.2rem;padding:0 .15rem;font-weight:600"
QUIET = "opacity:.75;font-size:.85rem"
ROLES = {"base": "knows everything", "oracle": "never knew", "attacked": "after the attack", "unlearned": "unlearned"}  # fmt: skip


def marked(text: str, wanted: Iterable[str]) -> str:
    """A model's text as HTML in which nothing of it is markup, what is looked for marked with a sign and a colour."""
    whole, done, parts = leaks.normal(text), 0, []
    for start, end in leaks.spans(whole, wanted):
        parts.append(html.escape(whole[done:start]))
        parts.append(
            f'<mark style="{MARK}">{leaks.SIGN}&#8201;{html.escape(whole[start:end])}</mark>'
        )
        done = end
    return "".join([*parts, html.escape(whole[done:])])


def wanted_in(item: Mapping[str, Any], mark: str, end: str) -> list[str]:
    """What is looked for in the answers to an item."""
    return leaks.needles(item["expected"], mark, [end] if end else [])


def cards(models: list[dict[str, Any]], item: Mapping[str, Any], wanted: list[str]) -> str:
    """All answers to one prompt side by side, as HTML."""
    made = [
        _card(model, answer, item, wanted)
        for model, answer in zip(models, item["answers"], strict=True)
    ]
    return f'<div style="{GRID}">{"".join(made)}</div>'


def _card(
    model: Mapping[str, Any], answer: Mapping[str, Any], item: Mapping[str, Any], wanted: list[str]
) -> str:
    said = (
        marked(answer["text"].strip(), wanted) if answer["text"].strip() else "<i>says nothing</i>"
    )
    head = (
        f"<div><b>{_link(model)}</b><br><span style='{QUIET}'>{ROLES[model['role']]}</span></div>"
    )
    return (
        f'<article style="{CARD}">{head}{_verdict(answer, wanted)}<div style="{SAID}">{said}</div>'
        f'<div style="{QUIET};margin-top:auto">{html.escape(_beside(answer, item))}</div></article>'
    )


def _link(model: Mapping[str, Any]) -> str:
    """A link to the model's run, in the colour of the text around it."""
    name = html.escape(str(model["label"]))
    return f'<a href="Runs?run={int(model["run"])}" target="_self" style="color:inherit">{name}</a>'


def _verdict(answer: Mapping[str, Any], wanted: list[str]) -> str:
    found = leaks.verdict(answer, wanted)
    if found == leaks.UNKNOWN:
        return ""
    sign = {leaks.SAYS: leaks.SIGN, leaks.SILENT: "○"}[found]
    right = {True: " · exactly right", False: "", None: ""}[answer["right"]]
    style = "font-weight:600" if found == leaks.SAYS else ""
    return f'<div style="{style}">{sign} {found}{right}</div>'


def _beside(answer: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    told = [_tokens(answer["tokens"])]
    told += ["ended by itself"] if answer["ended"] else []
    if item["expected"] is not None and answer["log_p"]:
        told.insert(0, f"p(answer) {probability(answer)}")
    return " · ".join(told)


def _tokens(count: int) -> str:
    return f"{count} token{'s' * (count != 1)}"


def probability(answer: Mapping[str, Any]) -> str:
    """The probability of the whole reference, in few digits."""
    found = math.exp(sum(answer["log_p"]))
    return f"{found:.3f}" if found >= 0.0005 else f"{found:.0e}"


def one_prompt(study: str, request: Mapping[str, Any], mark: str) -> None:
    """Everything about the answers to one prompt."""
    asked, told = request["asked"], request["answers"]
    item, models = told["items"][0], asked["models"]
    wanted = wanted_in(item, mark, told["end"])
    st.subheader("Answers")
    st.html(_asked(item, told["end"]))
    st.html(cards(models, item, wanted))
    st.caption(_how(request, wanted))
    _case(study, request, item, wanted)
    heat(study, models, item, told["reference"])


def _asked(item: Mapping[str, Any], end: str) -> str:
    """The prompt as the models were shown it."""
    expected = item["expected"]
    told = f'<div style="{SAID}"><b>Prompt</b> {html.escape(item["prompt"])}</div>'
    if expected is not None:
        answer = expected.removesuffix(end).strip() if end else expected
        told += f'<div style="{SAID}"><b>Expected</b> {html.escape(answer)}</div>'
    return told


def _how(request: Mapping[str, Any], wanted: list[str]) -> str:
    how = request["asked"]["decoding"]
    drawn = (
        "greedy"
        if how["temperature"] == 0
        else f"temperature {how['temperature']:g}, top-p {how['top_p']:g}, seed {how['seed']}"
    )
    looked = (
        f"{leaks.SIGN} marks where an answer says {' or '.join(shown.plain(repr(one)) for one in wanted)}."
        if wanted
        else "No answer is expected, so none is marked; name one, or texts to look for."
    )
    when = shown.moment(request["finished_at"])
    took = shown.seconds(request["answers"]["seconds"])
    return (
        f"{looked} The same decoding for all: {drawn}, {_tokens(how['max_tokens'])} at most. Answered"
        f" {when} in {took}; the same question is answered from here."
    )


def _case(
    study: str, request: Mapping[str, Any], item: Mapping[str, Any], wanted: list[str]
) -> None:
    title = " ".join(item["prompt"].split())
    title = title if len(title) <= 60 else title[:59] + "…"
    add_to_report(
        "case",
        f"What models say to: {title}",
        lambda: case_content(study, request["asked"], item, wanted),
        key=f"case-{request['id']}",
    )


def case_content(
    study: str, asked: Mapping[str, Any], item: Mapping[str, Any], wanted: list[str]
) -> dict[str, Any]:
    """A block of a report: the prompt, how it was asked, every answer and what it gives away."""
    pairs = list(zip(asked["models"], item["answers"], strict=True))
    return {
        "prompt": item["prompt"],
        "expected": item["expected"],
        "settings": dict(asked["decoding"]),
        "answers": [
            {
                "model": model["label"],
                "run": model["run"],
                "text": answer["text"],
                "leaks": leaks.leaked(leaks.normal(answer["text"]), wanted),
                "verdict": leaks.verdict(answer, wanted),
            }
            for model, answer in pairs
        ],
        "study": study,
        "runs": [model["run"] for model, _ in pairs],
        "address": f"Playground?{urlencode(_address(), doseq=True)}",
    }


def _address() -> dict[str, list[str]]:
    return {name: st.query_params.get_all(name) for name in st.query_params}


def heat(study: str, models: list[dict[str, Any]], item: Mapping[str, Any], reference: str) -> None:
    """How likely every model finds the expected answer, token by token, against the first model."""
    names = [str(model["label"]) for model in models]
    frame = tokens.token_frame(item, names)
    if frame.empty:
        return
    st.subheader("How likely is the answer, token by token?")
    what = (
        "the expected answer"
        if reference.startswith("the expected")
        else f"what {shown.plain(names[0])} says"
    )
    st.caption(
        f"Natural logarithm of the probability of each token of {what}, read after the true ones before it. The first row is"
        f" {shown.plain(names[0])}; the others are the gap to it: blue and negative is less likely, orange and positive likelier."
    )
    for place, chart in enumerate(tokens.strips(frame)):
        first = place * tokens.ACROSS + 1
        st.altair_chart(
            chart, key=f"heat-{place}", alt=f"Gap of ln p per token, from token {first}"
        )
    if frame["place"].max() > tokens.ACROSS * tokens.MOST_STRIPS:
        st.caption(f"The first {tokens.ACROSS * tokens.MOST_STRIPS} tokens; the table has all.")
    with st.expander("As a table"):
        st.dataframe(_table(frame, names), hide_index=True, width="stretch", placeholder=shown.DASH)
    downloads(tokens.whole(frame), frame, f"{study}-tokens", table=False)


def _table(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """A row a token: ln p of every model, its gap, and what it would rather say."""
    found = frame[frame["model"] == names[0]][["place", "token"]].reset_index(drop=True)
    for name in names:
        mine = frame[frame["model"] == name].reset_index(drop=True)
        found[f"{name}: ln p"] = mine["log_p"].round(3)
        if name != names[0]:
            found[f"{name}: gap"] = mine["gap"].round(3)
        found[f"{name}: likeliest"] = mine["likeliest"]
    return found

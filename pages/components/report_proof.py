"""That a frozen report is what was frozen, what it rests on, and whether newer results are there."""

from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from backend.reports import html, review
from pages.components import shown

Payload = Mapping[str, Any]


def hash_line(found: Mapping[str, Any], events: pd.DataFrame) -> None:
    """The SHA-256 of what is shown, and whether it is that of what was frozen; computed on every opening."""
    problem = review.verified(found, events)
    if problem:
        st.error(f"✗ This is not what was frozen: {problem}. Somebody changed the database outside Lethe.")  # fmt: skip
    else:
        st.html(
            '<div class="rep quiet">✓ Verified just now: what is shown has the SHA-256 that was recorded when it was'
            f" frozen, <code>{escape(found['sha256'])}</code></div>"
        )


def since(engine: Engine, told: Payload) -> None:
    """Whether the studies have gone on since, with a way to the live view."""
    for study in review.newer(engine, told["studies"]):
        news = [f"{study['finished']} run{'s' if study['finished'] != 1 else ''} finished since"] if study["finished"] else []  # fmt: skip
        news += [f"{study['gone']} of its runs are deleted"] if study["gone"] else []
        news += ["it has a newer revision"] if study["revised"] else []
        if news:
            address = escape(f"./?{urlencode({'study': study['name']})}")
            st.html(
                f'<div class="rep"><span class="chip unknown">! Newer results</span> Study {escape(study["name"])}:'
                f' {", ".join(news)}; <a href="{address}" target="_self">open the live view</a>.'
                " This report does not change.</div>"
            )


def proof(told: Payload) -> None:
    """Studies, runs, parts, definitions and software as they were pinned."""
    with st.expander(f"What it rests on ({len(told['runs'])} runs)"):
        for study in told["studies"]:
            _study(study)
        st.markdown("**Runs**")
        columns = ("id", "stage", "name", "version", "seed", "precision", "origin", "finished_at", "fingerprint")  # fmt: skip
        runs = pd.DataFrame(told["runs"], columns=list(columns))
        st.dataframe(runs, hide_index=True, width="stretch", height=min(320, 40 + 35 * len(runs)))
        st.markdown("**Software**")
        packages = ", ".join(f"{name} {version}" for name, version in told["software"]["packages"].items() if version)  # fmt: skip
        st.text(f"Python {told['software']['python']}, {packages}")
    with st.expander(f"What the numbers mean ({len(told['definitions'])} definitions)"):
        rows = [[d["label"], d["kind"], d["summary"], d["direction"], d["limits"]] for d in told["definitions"]]  # fmt: skip
        titles = ["Number", "Kind", "What it is", "Direction", "What it does not tell"]
        st.html(f'<div class="rep"><div class="scroll">{html.grid(titles, rows)}</div></div>')


def _study(study: Mapping[str, Any]) -> None:
    if study.get("missing"):
        st.markdown(f"**{shown.plain(study['name'])}** was not in the database any more when the report was frozen.")  # fmt: skip
        return
    grids = ", ".join(f"{a['name']} ({len(a['grid'])} cells, {a['steps']} steps)" for a in study["attacks"] or [])  # fmt: skip
    seeds = ", ".join(str(seed) for seed in study["seeds"] or [])
    budgets = ", ".join(str(budget) for budget in study["budgets"]) or shown.DASH
    setting = (study["setting"] or {}).get("name", shown.DASH)
    told = (
        f"**{shown.plain(study['name'])}**, revision {study['revision']}: setting {shown.plain(setting)}; seeds {seeds};"
        f" attacks {shown.plain(grids) or 'none'}; budget {budgets}; {len(study['runs'])} runs."
    )
    st.markdown(told)
    st.json({"setting": study["setting"], "attacks": study["attacks"]}, expanded=False)

"""Who did what, for admins."""

import json

import streamlit as st
from sqlalchemy import Engine

from db import reads
from db.actor import Refused, require

MOST = 200


def audit_view(engine: Engine) -> None:
    """The latest entries of the audit log as a table."""
    st.subheader("Who did what")
    try:
        require("admin", "read the audit log")
    except Refused as refusal:
        st.info(str(refusal))
        return
    rows = reads.audit(engine, MOST)
    if rows.empty:
        st.caption("Nothing was done as yet.")
        return
    given = rows["arguments"].map(lambda one: json.dumps(one, ensure_ascii=False))
    shown = rows.assign(arguments=given).drop(columns="id")
    names = {"at": "When", "actor": "Who", "role": "Role", "through": "Through", "action": "What", "arguments": "With", "outcome": "Outcome", "told": "Why"}  # fmt: skip
    st.dataframe(shown, hide_index=True, width="stretch", column_config=names)
    st.caption(f"The latest {len(rows)}, in UTC. `python -m backend audit --json` gives them to scripts.")  # fmt: skip

"""Who did what, for admins."""

import json
from typing import Any

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
    shown = rows.assign(arguments=given, action=rows["action"].str.replace("_", " "))
    names: dict[str, Any] = {"at": "When", "actor": "Who", "action": "What", "outcome": "Outcome", "through": "Through", "role": "Role", "arguments": "With", "told": "Why"}  # fmt: skip
    moments = {"at": st.column_config.DatetimeColumn("When", format="YYYY-MM-DD HH:mm:ss", timezone="UTC")}  # fmt: skip
    st.dataframe(shown[list(names)], hide_index=True, width="stretch", column_config=names | moments)  # fmt: skip
    st.caption(f"The latest {len(rows)}, in UTC. `python -m backend audit --json` gives them to scripts.")  # fmt: skip

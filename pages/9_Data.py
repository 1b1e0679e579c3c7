"""What do others report, and what does this machine keep?"""

import app

app.guard()

import streamlit as st  # noqa: E402

from pages.components import reads  # noqa: E402
from pages.components.audit_view import audit_view  # noqa: E402
from pages.components.import_wizard import wizard  # noqa: E402
from pages.components.imported_studies import imported_studies, just_imported  # noqa: E402
from pages.components.storage_view import storage_view  # noqa: E402
from pages.components.take_away import take_away  # noqa: E402

PARTS = ["Import", "Export", "Storage", "Log"]


def page() -> None:
    """Import, export, storage, the audit log; an empty database can be filled from here too."""
    st.title("Data")
    st.markdown("**What do others report, and what does this machine keep?** Others' results stand beside yours, marked as not run here.")  # fmt: skip
    engine = reads.engine()
    if engine is None:
        wizard()
        st.divider()
        reads.nothing_yet("This machine keeps nothing yet. Import results above, or run a study of your own.")  # fmt: skip
        return
    part = st.segmented_control("Part", PARTS, default=PARTS[0], key="part", bind="query-params", label_visibility="collapsed", required=True)  # fmt: skip
    just_imported()
    if part == "Export":
        if reads.studies().empty:
            reads.nothing_yet("No study to take away yet.")
        take_away(engine)
    elif part == "Storage":
        storage_view(engine)
    elif part == "Log":
        audit_view(engine)
    else:
        wizard()
        st.divider()
        imported_studies(engine)


page()

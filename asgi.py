"""Pages and REST in one server: `streamlit run asgi.py`. The pages alone are `streamlit run app.py`."""

import sys
from pathlib import Path

import streamlit as st

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from backend.rest.serving import routes  # noqa: E402

app = st.App(HERE / "app.py", routes=routes())

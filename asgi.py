"""Pages and REST in one server: `streamlit run asgi.py`. The pages alone are `streamlit run app.py`."""

import sys
from pathlib import Path

import streamlit as st

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from starlette.requests import Request  # noqa: E402
from starlette.responses import RedirectResponse  # noqa: E402
from starlette.routing import Route  # noqa: E402

from backend.rest.serving import routes  # noqa: E402


def front(request: Request) -> RedirectResponse:
    """The first page lies at the root; who types its name, as those of the others, means that."""
    return RedirectResponse(f"./?{request.url.query}" if request.url.query else "./")


app = st.App(HERE / "app.py", routes=[Route("/Frontier", front), *routes()])

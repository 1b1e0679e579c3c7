"""Who reads the pages: everybody is admin until Streamlit's secrets have an `[auth]`, then whoever signed in has a role."""

from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from backend.access import NOBODY, Actor, ask_instead, may, name_of, role_of, unverified
from backend.stage import UserError
from db.actor import LOCAL
from pages.components import shown


def secret(section: str) -> Mapping[str, Any]:
    """A table of Streamlit's secrets; empty where there is none."""
    if not st.secrets.load_if_toml_exists():
        return {}
    found = st.secrets.get(section, {})
    return found if isinstance(found, Mapping) else {"default": found}


def needed() -> bool:
    """Whether people have to sign in."""
    return bool(secret("auth"))


def reader() -> Actor:
    """Who acts on the pages of this session; nobody where somebody should have signed in and has not."""
    if not needed():
        return Actor(LOCAL.name, LOCAL.role, "page")
    if get_script_run_ctx() is None:  # no reader's run: whatever asks here has no rights
        return NOBODY
    person, roles = dict(st.user.to_dict()), secret("roles")
    if not person.get("is_logged_in"):
        return NOBODY
    name = name_of(person, roles)
    try:
        return Actor(name, role_of(person, roles), "page", known=True)
    except UserError:  # a table that names no role gives nobody one
        return Actor(name, "none", "page", known=True)


# Before any handler of a page can run: handlers and fragments run without the frame.
ask_instead(reader)


def admitted() -> bool:
    """Whether this session may see the pages."""
    return may("viewer", reader())


def gate() -> None:
    """Let those through who may look; the others get a page to sign in on, and nothing else."""
    if admitted():
        return
    from pages.components.comfort import style

    style(strong=False)
    st.title("Lethe")
    who = reader()
    if not who.known:
        st.markdown("Sign in to see what was unlearned, and what came back.")
        providers = [key for key, value in secret("auth").items() if isinstance(value, Mapping)]
        for provider in providers:
            label = f"Sign in with {shown.plain(provider)}"
            st.button(label, type="primary", on_click=st.login, args=[provider])
        if not providers:
            st.button("Sign in", type="primary", on_click=st.login)
    else:
        st.markdown(f"You are signed in as {shown.plain(who.name)}, who has no role here.")
        st.caption(shown.plain(_wrong()) or "An admin gives you one under [roles] in the secrets.")
        st.button("Sign out", on_click=st.logout)
    st.stop()


def _wrong() -> str:
    """What is wrong with the table of roles, or with what the provider says of the reader's address."""
    roles = secret("roles")
    try:
        role_of({}, roles)
    except UserError as mistake:
        return str(mistake)
    return unverified(dict(st.user.to_dict()), roles)


def badge() -> None:
    """Who is signed in, and the way out; nothing where nobody has to."""
    who = reader()
    if who.known:
        with st.sidebar:
            st.caption(f"{shown.plain(who.name)}, {who.role}")
            st.button("Sign out", on_click=st.logout, key="sign_out")


def beyond(role: str, **usual: Any) -> dict[str, Any]:
    """For a button: its usual options; disabled, with the reason, where the reader's role does not reach.

    The function behind the button checks for itself.
    """
    if may(role, reader()):
        return usual
    return {**usual, "disabled": True, "help": f"This takes the role {role}."}

"""Widgets that follow the address."""

from streamlit.testing.v1 import AppTest


def followed() -> None:
    """A page whose field shows the address, as the list of runs does."""
    import streamlit as st

    from pages.components.synced import synced, taken

    def typed(value: str) -> None:
        st.query_params["of"] = value.strip()

    value = st.query_params.get("of", "")
    key = synced("of", value)
    st.text_input("Of", value, key=key, on_change=taken(key, typed))


def opened(of: str) -> AppTest:
    page = AppTest.from_function(followed, default_timeout=300)
    page.query_params["of"] = of
    return page.run()


def address(page: AppTest) -> str:
    of = page.query_params["of"]  # a list until the page has changed it
    return of if isinstance(of, str) else of[0]


def test_what_is_set_is_the_default_so_a_browser_that_missed_a_run_of_the_page_shows_it_too() -> (
    None
):
    assert opened("old").text_input[0].proto.default == "old"


def test_a_reader_changes_the_address() -> None:
    page = opened("old")
    key = page.text_input[0].key
    page.text_input[0].set_value("new").run()
    assert address(page) == page.text_input[0].value == "new"
    assert page.text_input[0].key == key  # and the focus stays


def test_the_address_changes_the_field() -> None:
    page = opened("old")
    page.query_params["of"] = "new"
    page.run()
    assert page.text_input[0].value == page.text_input[0].proto.default == "new"
    page.text_input[0].set_value("old").run()
    assert address(page) == page.text_input[0].value == "old"


def test_a_value_that_is_tidied_is_shown_tidy() -> None:
    page = opened("old")
    page.text_input[0].set_value(" new ").run()
    assert address(page) == page.text_input[0].value == "new"

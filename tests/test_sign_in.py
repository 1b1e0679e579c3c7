"""Pages with sign-in: who is signed out sees nothing, and what a role does not reach is refused behind the button."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from backend.given_files import from_path
from db import reads, writes
from db.actor import Actor, Refused, acting
from tests.report_data import engine, small_home
from tests.test_pages import PAGES, told

__all__ = ["engine", "small_home"]  # fixtures
ROOT = Path(__file__).resolve().parents[1]
SECRETS = {
    "auth": {"redirect_uri": "http://localhost:8501/oauth2callback", "cookie_secret": "x" * 32},
    "roles": {"ada@example.org": "admin", "ron@example.org": "runner", "rev@example.org": "reviewer", "vic@example.org": "viewer"},
}  # fmt: skip
Open = Callable[..., AppTest]


def person(name: str) -> dict[str, Any]:
    return {"is_logged_in": True, "email": f"{name}@example.org", "email_verified": True}


def opened(page: str, who: str = "", start: str = "app.py", **address: str) -> AppTest:
    """A page as somebody sees it; nobody is signed in without a name."""
    at = AppTest.from_file(str(ROOT / start), default_timeout=300)
    at.secrets = {key: dict(value) for key, value in SECRETS.items()}
    at.user = person(who) if who else {"is_logged_in": False}
    for key, value in address.items():
        at.query_params[key] = value
    return (at.switch_page(f"pages/{page}") if start == "app.py" else at).run()


def only_sign_in(at: AppTest) -> None:
    assert not at.exception, at.exception[0].value
    assert [title.value for title in at.title] == ["Lethe"]
    assert [button.label for button in at.button] == ["Sign in"]
    assert not at.sidebar.markdown and not at.dataframe and not at.metric
    assert "quick" not in told(at)


@pytest.mark.parametrize("page", PAGES)
def test_who_is_signed_out_sees_the_sign_in_and_nothing_else(engine: Engine, page: str) -> None:
    only_sign_in(opened(page, study="quick", run="3"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_is_run_without_its_frame_stops_at_the_sign_in_too(
    engine: Engine, page: str
) -> None:
    at = opened(page, start=f"pages/{page}")
    only_sign_in(at)
    only_sign_in(at.run())  # what the first run left behind opens nothing


@pytest.mark.parametrize("page", PAGES)
def test_a_viewer_sees_every_page(engine: Engine, page: str) -> None:
    at = opened(page, "vic")
    assert not at.exception, at.exception[0].value
    assert at.title[0].value != "Lethe" and "vic@example.org, viewer" in told(at)


def test_who_has_no_role_is_told_so_and_sees_nothing(engine: Engine) -> None:
    at = opened("1_Frontier.py", "stranger")
    assert "who has no role here" in told(at) and "quick" not in told(at)
    assert [button.label for button in at.button] == ["Sign out"]


def test_a_table_without_roles_lets_nobody_in_and_says_what_is_wrong(engine: Engine) -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.secrets = {**SECRETS, "roles": {"ada@example.org": "root"}}
    at.user = person("ada")
    assert "gives ada@example.org the role 'root'" in told(at.run())


def test_an_address_that_nobody_verified_opens_nothing_and_the_page_says_what_is_missing(
    engine: Engine,
) -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.secrets = {key: dict(value) for key, value in SECRETS.items()}
    at.user = {"is_logged_in": True, "email": "ada@example.org", "sub": "17"}
    words = told(at.run()).replace("\\", "")
    assert "sends no email_verified for ada@example.org" in words and "as 17 of" in words
    at.secrets["roles"]["trust_missing_email_verified"] = True
    assert "ada@example.org, admin" in told(at.run())


def test_a_name_that_people_choose_signs_nothing(engine: Engine) -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.secrets = {"auth": SECRETS["auth"], "roles": {"default": "runner"}}
    at.user = {"is_logged_in": True, "name": "ada@example.org", "sub": "17", "iss": "https://id"}
    press(at.switch_page("pages/6_Jobs.py").run(), "Pause the queue")
    assert reads.paused(engine) and reads.audit(engine, 1)["actor"][0] == "17 of https://id"


def test_a_session_that_signs_out_is_stopped_at_the_next_run(engine: Engine) -> None:
    at = opened("6_Jobs.py", "ada")
    assert at.title[0].value == "Jobs"
    at.user = {"is_logged_in": False}
    only_sign_in(at.run())


# ---- handlers, which a browser could be made to call


def written(engine: Engine) -> int:
    """A report with something in it."""
    report = writes.create_report(engine, "Mine")
    writes.add_block(engine, report, "text", "One", {"text": "as measured"})
    return report


def press(at: AppTest, label: str) -> AppTest:
    return next(one for one in at.button if one.label == label).click().run()


def test_a_handler_that_a_viewer_calls_is_refused_before_the_page_runs(engine: Engine) -> None:
    report = written(engine)
    at = opened("8_Reports.py", "ron", report=str(report))
    at.user = person("vic")  # the same buttons, pressed by somebody who may not
    at = press(at, "Put away")
    assert reads.report(engine, report)["archived_at"] is None
    assert any("takes the role runner" in error.value for error in at.error)
    assert reads.audit(engine, 1).to_dict("records")[0]["outcome"] == "refused"


def test_a_viewer_reads_no_file_of_the_server_by_importing(engine: Engine, tmp_path: Path) -> None:  # fmt: skip
    secret = tmp_path / "secret.csv"
    secret.write_text("model,method\nhunter2,swordfish\n")
    for who, reads_it in (("ron", True), ("vic", False)):
        at = opened("9_Data.py", who, part="Import")
        at.radio(key="import_how").set_value("A path on this machine").run()
        if reads_it:
            at.text_input(key="import_path").set_value(str(secret)).run()
        assert not at.exception
        seen = [told(at), *(table.value.to_string() for table in at.dataframe), *map(repr, at.main)]
        assert ("hunter2" in " ".join(seen)) is reads_it
    assert any("takes the role runner" in one.value for one in at.info) and not at.text_input
    with acting(Actor("vic", "viewer")), pytest.raises(Refused, match="read files of this machine takes the role runner"):  # fmt: skip
        from_path(secret)
    with acting(Actor("ron", "runner")):
        assert from_path(secret).files[0].content == secret.read_bytes()


def test_a_viewer_reads_no_file_of_the_server_by_planning(engine: Engine, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"hunter2": 1}')
    for who, reads_it in (("ron", True), ("vic", False)):
        at = opened("5_Launch.py", who, study="quick")
        assert [one.label for one in at.metric][:2] == ["New runs", "Time"], (
            "what is shipped is planned"
        )
        next(one for one in at.text_input if one.label == "Seeds").set_value("0, 1").run()
        assert at.metric, "so are other numbers"
        next(one for one in at.selectbox if one.label == "Setting").set_value("language").run()
        next(one for one in at.text_input if one.label.startswith("forget")).set_value("sample").run()  # fmt: skip
        next(one for one in at.text_input if one.label.startswith("keep")).set_value(str(secret)).run()  # fmt: skip
        assert ("hunter2" in told(at)) is reads_it
        assert any("words of your own" in one.value for one in at.info) is not reads_it


def test_a_runner_may_put_away_but_not_freeze(engine: Engine) -> None:
    report = written(engine)
    at = press(opened("8_Reports.py", "ron", report=str(report)), "Put away")
    assert not at.exception and reads.report(engine, report)["archived_at"] is not None
    assert reads.audit(engine, 1)["actor"][0] == "ron@example.org"
    freeze = next(one for one in at.button if one.label == "Freeze this report")
    assert freeze.disabled and freeze.help == "This takes the role reviewer."
    at = opened("8_Reports.py", "rev", report=str(report))
    at.user = person("ron")
    at = press(at, "Freeze this report")
    assert reads.report(engine, report)["frozen_at"] is None
    assert any("takes the role reviewer" in error.value for error in at.error)


@pytest.mark.parametrize("who", ["vic", ""])
def test_a_button_whose_action_is_in_the_pages_body_is_refused_too(
    engine: Engine, who: str
) -> None:
    at = opened("6_Jobs.py", "ron")
    at.user = person(who) if who else {"is_logged_in": False}
    press(at, "Pause the queue")
    assert not reads.paused(engine)


def test_a_disabled_button_is_only_comfort(engine: Engine) -> None:
    at = opened("6_Jobs.py", "vic")
    assert next(one for one in at.button if one.label == "Pause the queue").disabled
    button = next(one for one in at.button if one.label == "Pause the queue")
    button.proto.disabled = False  # as a browser could be told
    button.click().run()
    assert not reads.paused(engine)
    assert press(opened("6_Jobs.py", "ron"), "Pause the queue") and reads.paused(engine)


def script() -> None:
    """A page of a fragment, a handler and a thread, each of which writes."""
    import threading

    import streamlit as st

    from db import writes
    from db.session import require_database
    from pages.components import signing_in  # noqa: F401 - tells who reads

    engine = require_database()

    @st.fragment
    def part() -> None:
        if st.button("in a fragment"):
            writes.save_view(engine, "fragment", {})

    part()
    st.button("in a handler", on_click=lambda: writes.save_view(engine, "handler", {}))
    if st.button("in a thread"):
        thread = threading.Thread(target=lambda: writes.save_view(engine, "thread", {}))
        thread.start()
        thread.join()


@pytest.mark.parametrize("where", ["fragment", "handler"])
@pytest.mark.parametrize(("who", "done"), [("ron", True), ("vic", False)])
def test_fragments_and_handlers_know_who_acts(
    engine: Engine, where: str, who: str, done: bool
) -> None:
    at = AppTest.from_function(script, default_timeout=300)
    at.secrets, at.user = dict(SECRETS), person(who)
    press(at.run(), f"in a {where}")
    assert bool(reads.views(engine)) == done


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_of_the_server_that_is_nobodys_run_may_nothing(engine: Engine) -> None:
    at = AppTest.from_function(script, default_timeout=300)
    at.secrets, at.user = dict(SECRETS), person("ada")
    press(at.run(), "in a thread")
    assert not reads.views(engine)


def test_the_reviewers_name_is_that_of_who_is_signed_in(engine: Engine) -> None:
    report = written(engine)
    at = press(opened("8_Reports.py", "rev", report=str(report)), "Freeze this report")
    field = next(one for one in at.text_input if one.label == "Reviewer")
    assert field.value == "rev@example.org" and field.disabled
    assert "Lethe does not check who you are" not in told(at)


def test_without_sign_in_everybody_is_admin_and_nothing_is_asked(engine: Engine) -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at = at.switch_page("pages/6_Jobs.py").run()
    assert "Sign out" not in [button.label for button in at.button]
    press(at, "Pause the queue")
    assert reads.paused(engine)
    assert reads.audit(engine, 1).to_dict("records")[0]["through"] == "page"


def test_admins_read_the_log_and_nobody_else(engine: Engine) -> None:
    writes.set_paused(engine, True)
    at = opened("9_Data.py", "ada", part="Log")
    assert not at.exception and list(at.dataframe[-1].value["action"])[:1] == ["set paused"]
    at = opened("9_Data.py", "rev", part="Log")
    assert not at.dataframe and "takes the role admin" in told(at)
